//! Compares all private memory with that of the snapshot process: the anonymous pages of now, and those of the snapshot.
//!
//! All other pages of private mappings belong to the file or were never written, so nothing there can differ while the
//! mappings are the same. To read them would fill never-written memory with zero pages, which each later scan looks at:
//! in a child with 14,300 pages, a scan took 0.77 instead of 0.47 ms after 20,600 pages had been read.

use crate::rewind::area::{PageSize, Range};
use crate::rewind::mappings::Mapping;
use crate::rewind::page_store::ProcessMemory;
use crate::rewind::plan::walk;
use crate::rewind::refusal::Refusal;
use crate::rewind::restore::each_mapping;
use crate::rewind::scan::Pages;

/// What a verification found.
#[derive(Clone, Copy, Default)]
pub struct Verification {
    pub pages: u64,
    pub mismatched: u64,
    /// Address of the first page that differs.
    pub first: usize,
}

impl Verification {
    pub fn mismatch(&mut self, address: usize) {
        if self.mismatched == 0 {
            self.first = address;
        }
        self.mismatched += 1;
    }
}

pub struct Verify<'a> {
    pub this: ProcessMemory,
    pub snapshot: ProcessMemory,
    pub page: PageSize,
    /// Left alone by the restore.
    pub rseq: Range,
    pub buffer: &'a mut [u8],
    pub result: Verification,
}

impl Verify<'_> {
    /// Compares the pages that the snapshot held, and those that are there now.
    pub fn run(&mut self, then: &[Mapping], held: &[Range], current: &[Pages]) -> Result<(), Refusal> {
        let mut mappings = then;
        walk((held, |range| *range), (current, |pages: &Pages| pages.range), |range, _was, is| {
            let is_present = is.is_some_and(|pages| !pages.is_absent);
            each_mapping(&mut mappings, range, |mapping, part| {
                let mut address = part.start;
                while mapping.is_readable() && address < part.end {
                    address = self.compare_from(address, part.end, is_present);
                }
                Ok(())
            })
        })
    }

    /// Compares as much as one read gives, and returns where to go on.
    ///
    /// Pages that are in memory are compared where they are. The others may be guard pages, which only the file of the
    /// process's memory can tell without a signal.
    fn compare_from(&mut self, address: usize, end: usize, is_present: bool) -> usize {
        let half = self.page.pages(self.buffer.len() / 2) * self.page.bytes();
        let range = Range::new(address, end.min(address.saturating_add(half)));
        let (left, right) = self.buffer.split_at_mut_checked(half).unwrap_or((&mut [], &mut []));
        let left = left.get_mut(..range.length()).unwrap_or(&mut []);
        let right = right.get_mut(..range.length()).unwrap_or(&mut []);
        let now = if is_present { Ok(range.length()) } else { self.this.look(left, range) };
        let then = self.snapshot.look(right, range);
        let left = if is_present {
            // SAFETY: the kernel has just listed these pages as present, and their mapping is readable; no other thread
            // of this process is there.
            unsafe { std::slice::from_raw_parts(address as *const u8, range.length()) }
        } else {
            left
        };
        let (now, then) = (whole_pages(now, self.page), whole_pages(then, self.page));
        let read = now.min(then);
        let bytes = self.page.bytes();
        if now != then {
            self.result.mismatch(address.wrapping_add(read));
        }
        let pages = left.chunks(bytes).zip(right.chunks(bytes)).take(self.page.pages(read));
        for ((now, then), start) in pages.zip((address..).step_by(bytes)) {
            self.result.pages += 1;
            let hidden = Range::new(start, start.wrapping_add(bytes)).intersection(&self.rseq);
            let is_same = if hidden.is_empty() {
                now == then
            } else {
                let (offset, behind) = (hidden.start.wrapping_sub(start), hidden.end.wrapping_sub(start));
                now.get(..offset) == then.get(..offset) && now.get(behind..) == then.get(behind..)
            };
            if !is_same {
                self.result.mismatch(start);
            }
        }
        // A page that neither can read (a guard page, a file that is shorter than its mapping) is skipped.
        let skipped = if read < range.length() { bytes } else { 0 };
        address.wrapping_add(read).wrapping_add(skipped)
    }
}

fn whole_pages(read: Result<usize, i32>, page: PageSize) -> usize {
    page.pages(read.unwrap_or(0)) * page.bytes()
}
