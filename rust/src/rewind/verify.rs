//! Compares all readable private memory with that of the snapshot process.

use crate::rewind::area::{PageSize, Range};
use crate::rewind::mappings::{Kind, Mapping};
use crate::rewind::page_store::ProcessMemory;

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
    /// Never-written pages become zero pages by being read, which makes the next scan slower: for tests and for the
    /// first rewind of a run.
    pub fn run(&mut self, then: &[Mapping]) {
        for mapping in then.iter().filter(|mapping| mapping.kind == Kind::Private && mapping.is_readable()) {
            let mut address = mapping.range.start;
            while address < mapping.range.end {
                address = self.compare_from(address, mapping.range.end);
            }
        }
    }

    /// Compares as much as one read gives, and returns where to go on.
    fn compare_from(&mut self, address: usize, end: usize) -> usize {
        let half = self.page.pages(self.buffer.len() / 2) * self.page.bytes();
        let range = Range::new(address, end.min(address.saturating_add(half)));
        let (left, right) = self.buffer.split_at_mut_checked(half).unwrap_or((&mut [], &mut []));
        let now = self.this.look(left.get_mut(..range.length()).unwrap_or(&mut []), range);
        let then = self.snapshot.look(right.get_mut(..range.length()).unwrap_or(&mut []), range);
        let (now, then) = (whole_pages(now, self.page), whole_pages(then, self.page));
        if now != then {
            self.result.mismatch(address.wrapping_add(now.min(then)));
        }
        let read = now.min(then);
        let mut offset = 0;
        while offset < read {
            self.compare_page(address.wrapping_add(offset), offset, half);
            offset += self.page.bytes();
        }
        // A page that neither can read (a guard page, a file that is shorter than its mapping) is skipped.
        let skipped = if read < range.length() { self.page.bytes() } else { 0 };
        address.wrapping_add(read).wrapping_add(skipped)
    }

    fn compare_page(&mut self, address: usize, offset: usize, half: usize) {
        self.result.pages += 1;
        let bytes = self.page.bytes();
        let page = Range::new(address, address.wrapping_add(bytes));
        let hidden = page.intersection(&self.rseq);
        let (left, right) = self.buffer.split_at_mut_checked(half).unwrap_or((&mut [], &mut []));
        let left = left.get_mut(offset..offset + bytes).unwrap_or(&mut []);
        let right = right.get_mut(offset..offset + bytes).unwrap_or(&mut []);
        if !hidden.is_empty() {
            for side in [&mut *left, &mut *right] {
                side.get_mut(hidden.start - address..hidden.end - address).unwrap_or(&mut []).fill(0);
            }
        }
        if left != right {
            self.result.mismatch(address);
        }
    }
}

fn whole_pages(read: Result<usize, i32>, page: PageSize) -> usize {
    page.pages(read.unwrap_or(0)) * page.bytes()
}
