//! Puts pages back: copies those that differ from the snapshot, and empties those that the snapshot did not have.
//!
//! Dirty pages are not protected again after a rewind, so that a page which every test file writes faults only once. The
//! list of dirty pages therefore grows; when it is a quarter longer than after the last protection, all pages are
//! protected anew.

use nix::libc;

use crate::rewind::area::{PageSize, Range, Table};
use crate::rewind::mappings::{Kind, Mapping};
use crate::rewind::page_store::{PageIndex, PageStore, ProcessMemory};
use crate::rewind::plan::walk;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::scan::{self, Pages};
use crate::rewind::syscall;

/// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`, Linux 6.13.
const GUARD_INSTALL: i32 = 102;
const GUARD_REMOVE: i32 = 103;
/// Compared and copied in one piece.
const CHUNK_BYTES: usize = size_of::<Chunk>();

type Chunk = [u64; 8];

/// Counts of one rewind.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Pages that were looked at.
    pub dirty: u64,
    /// Of those: fetched from the snapshot process, copied since they differed, filled with zeros.
    pub fetched: u64,
    pub copied: u64,
    pub zeroed: u64,
    /// Pages of the snapshot that were gone.
    pub lost: u64,
}

/// A stretch of pages that must be looked at.
#[derive(Clone, Copy)]
struct Stretch {
    range: Range,
    /// Whether the snapshot had anonymous pages there.
    was_held: bool,
    is_lost: bool,
    is_absent: bool,
}

/// Visits what is dirty or lost: `held` are the anonymous pages of the snapshot, `current` those of now.
fn for_each_stretch(
    held: &[Range],
    current: &[Pages],
    mut visit: impl FnMut(Stretch) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    walk((held, |range| *range), (current, |pages: &Pages| pages.range), |range, was, is| match (was, is) {
        (Some(_held), None) => visit(Stretch { range, was_held: true, is_lost: true, is_absent: false }),
        (_any, Some(pages)) if pages.is_dirty || was.is_none() => {
            visit(Stretch { range, was_held: was.is_some(), is_lost: false, is_absent: pages.is_absent })
        }
        _clean => Ok(()),
    })
}

pub struct Restore<'a> {
    pub then: &'a [Mapping],
    pub held: &'a [Range],
    pub current: &'a [Pages],
    pub guards: &'a [Range],
    pub index: &'a mut PageIndex,
    pub store: &'a mut PageStore,
    /// Pages that will be fetched together.
    pub pending: &'a mut Table<usize>,
    pub snapshot: ProcessMemory,
    pub page: PageSize,
    /// Written by the kernel at any time, so left alone.
    pub rseq: Range,
    pub counts: Counts,
}

impl Restore<'_> {
    /// Refuses if the page store could not hold what must be fetched.
    pub fn check_store(&mut self) -> Result<(), Refusal> {
        let free = self.store.free_pages();
        let mut most = 0;
        for_each_stretch(self.held, self.current, |stretch| {
            most += self.page.pages(stretch.range.length());
            Ok(())
        })?;
        if most <= free || self.count_missing()? <= free { Ok(()) } else { Err(self.store.full()) }
    }

    /// Pages that are not in the store yet.
    fn count_missing(&mut self) -> Result<usize, Refusal> {
        let (then, page, index) = (self.then, self.page, &mut *self.index);
        let mut missing = 0;
        let mut mappings = then;
        for_each_stretch(self.held, self.current, |stretch| {
            each_mapping(&mut mappings, stretch.range, |mapping, range| {
                let mut address = range.start;
                while address < range.end {
                    let is_stored = index.get(number_of(mapping, address, page)) != 0;
                    missing += usize::from(!is_stored && (stretch.was_held || !mapping.is_anonymous()));
                    address = address.wrapping_add(page.bytes());
                }
                Ok(())
            })
        })?;
        Ok(missing)
    }

    /// Puts all memory back. The mappings must be those of the snapshot.
    pub fn run(&mut self) -> Result<(), Refusal> {
        for mapping in self.then.iter().filter(|mapping| mapping.kind == Kind::Wiped) {
            syscall::advise(mapping.range.start, mapping.range.length(), libc::MADV_DONTNEED).map_err(failed)?;
        }
        let mut mappings = self.then;
        let (held, current) = (self.held, self.current);
        for_each_stretch(held, current, |stretch| {
            each_mapping(&mut mappings, stretch.range, |mapping, range| {
                self.put_back(mapping, Stretch { range, ..stretch })
            })
        })?;
        self.fetch_pending()?;
        for guard in self.guards {
            syscall::advise(guard.start, guard.length(), GUARD_INSTALL).map_err(failed)?;
        }
        Ok(())
    }

    fn put_back(&mut self, mapping: &Mapping, stretch: Stretch) -> Result<(), Refusal> {
        let (range, length) = (stretch.range, stretch.range.length());
        if stretch.is_absent {
            // Fails where the kernel has no guard pages; then there are none.
            let _removed = syscall::advise(range.start, length, GUARD_REMOVE);
        }
        if stretch.is_lost {
            self.counts.lost += self.page.pages(length) as u64;
        }
        if mapping.is_read_write() {
            return self.put_pages_back(mapping, stretch);
        }
        // What waits to be fetched need not be in this mapping; the protection must be back before the next one.
        // Execution stays allowed: this very code may lie there.
        let writable = mapping.protection | (libc::PROT_READ | libc::PROT_WRITE) as u8;
        syscall::protect(range.start, length, writable).map_err(failed)?;
        self.put_pages_back(mapping, stretch)?;
        self.fetch_pending()?;
        syscall::protect(range.start, length, mapping.protection).map_err(failed)
    }

    fn put_pages_back(&mut self, mapping: &Mapping, stretch: Stretch) -> Result<(), Refusal> {
        let mut address = stretch.range.start;
        while address < stretch.range.end {
            self.counts.dirty += 1;
            let number = number_of(mapping, address, self.page);
            let stored = self.index.get(number);
            if stored != 0 {
                self.put_page_back(address, stored);
            } else if !stretch.was_held && mapping.is_anonymous() {
                self.empty(address);
            } else {
                self.index.set(number, self.store.next_number(self.pending.len()));
                if let Err(full) = self.pending.push(address) {
                    self.fetch_pending()?;
                    self.pending.push(address).map_err(|_never| full)?;
                }
            }
            address = address.wrapping_add(self.page.bytes());
        }
        Ok(())
    }

    fn empty(&mut self, address: usize) {
        if !scan::is_zero(address, self.page) {
            // SAFETY: the page is mapped and writable, and of a mapping that is restored.
            unsafe { std::ptr::write_bytes(address as *mut u8, 0, self.page.bytes()) };
            self.counts.zeroed += 1;
        }
    }

    fn fetch_pending(&mut self) -> Result<(), Refusal> {
        let first = self.store.next_number(0);
        self.store.fetch(self.snapshot, self.pending.as_slice())?;
        self.counts.fetched += self.pending.len() as u64;
        for index in 0..self.pending.len() {
            if let Some(address) = self.pending.get(index) {
                self.put_page_back(address, first.wrapping_add(index as u32));
            }
        }
        self.pending.clear();
        Ok(())
    }

    fn put_page_back(&mut self, address: usize, stored: u32) {
        let source = self.store.address(stored);
        let page = Range::new(address, address.wrapping_add(self.page.bytes()));
        let left_alone = page.intersection(&self.rseq);
        if !left_alone.is_empty() {
            copy(source, Range::new(page.start, left_alone.start));
            copy(source.wrapping_add(left_alone.end - page.start), Range::new(left_alone.end, page.end));
        } else if let Some(first) = first_difference(address, source, self.page) {
            copy(source.wrapping_add(first), Range::new(address.wrapping_add(first), page.end));
            self.counts.copied += 1;
        }
    }
}

/// Number of a page among all private pages of the snapshot.
fn number_of(mapping: &Mapping, address: usize, page: PageSize) -> usize {
    mapping.first_page + page.pages(address.wrapping_sub(mapping.range.start))
}

/// Visits the private mappings that a range covers, with the part that it covers. Ranges must come in order.
pub fn each_mapping(
    mappings: &mut &[Mapping],
    range: Range,
    mut visit: impl FnMut(&Mapping, Range) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    while let [first, rest @ ..] = *mappings {
        if first.range.start >= range.end {
            return Ok(());
        }
        let part = first.range.intersection(&range);
        if !part.is_empty() && first.kind == Kind::Private {
            visit(first, part)?;
        }
        if first.range.end > range.end {
            return Ok(());
        }
        *mappings = rest;
    }
    Ok(())
}

/// Copies into a range; an empty one is left alone.
fn copy(source: usize, target: Range) {
    if !target.is_empty() {
        // SAFETY: the source is a page of the store, the target a page of memory that is restored; both are whole.
        unsafe { std::ptr::copy_nonoverlapping(source as *const u8, target.start as *mut u8, target.length()) };
    }
}

/// The offset of the first chunk that differs.
pub fn first_difference(left: usize, right: usize, page: PageSize) -> Option<usize> {
    let chunks = page.bytes() / CHUNK_BYTES;
    // SAFETY: both are addresses of whole pages that are mapped and readable.
    let (left, right) = unsafe {
        (
            std::slice::from_raw_parts(left as *const Chunk, chunks),
            std::slice::from_raw_parts(right as *const Chunk, chunks),
        )
    };
    let differs = |(one, other): (&Chunk, &Chunk)| one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) != 0;
    left.iter().zip(right).position(differs).map(|index| index * CHUNK_BYTES)
}

fn failed(errno: i32) -> Refusal {
    Refusal::new(Reason::Mapping, errno.into())
}
