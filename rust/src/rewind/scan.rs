//! Finds the anonymous pages of private mappings, and which of them were written since the snapshot.
//!
//! Engine `userfaultfd` (Linux 6.7): all pages were write-protected in asynchronous mode, so the kernel removes the
//! protection at the first write by itself; `PAGEMAP_SCAN` finds pages without it. Engine `pagemap` (Linux 4.2): a page
//! that only this process maps is one that was copied since the snapshot process was forked.
//!
//! In both, what is not provably clean is dirty: also a page in a mapping that replaced one of the snapshot.

use nix::libc;

use crate::rewind::area::{PageSize, Range, Table};
use crate::rewind::mappings::{Kind, Mapping};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    Userfaultfd,
    Pagemap,
}

/// Anonymous pages next to each other that are in one state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pages {
    pub range: Range,
    pub is_dirty: bool,
    /// Not in memory: swapped out, or a guard page, which can't be told apart here.
    pub is_absent: bool,
}

/// Adjoining mappings that one call can scan.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    range: Range,
    is_anonymous: bool,
}

/// `struct page_region` of `linux/fs.h`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vector: u64,
    vector_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_any_of: u64,
    return_mask: u64,
}

syscall::plain!(ScanArguments, Region);

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: usize = 0xc000_0000 | size_of::<ScanArguments>() << 16 | (b'f' as usize) << 8 | 0x10;
const WRITE_PROTECT_MATCHING: u64 = 1;
const IS_PROTECTABLE: u64 = 1;
const IS_WRITTEN: u64 = 1 << 1;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;

/// Smaller anonymous mappings are scanned with their neighbours of files: a call more would cost more than to look
/// whether a page is a file's.
const SEGMENT_MINIMUM_PAGES: usize = 32;

/// Groups the mappings of a snapshot for scanning. For pages of anonymous mappings `IS_FILE` is not asked for, since
/// that makes the kernel look at each page's own structure, which takes most of a scan.
pub fn group(mappings: &[Mapping], area: &Range, page: PageSize, out: &mut Table<Segment>) -> Result<(), Refusal> {
    out.clear();
    for mapping in mappings.iter().filter(|mapping| mapping.kind != Kind::Kernel) {
        let range = mapping.range;
        let is_anonymous = mapping.kind == Kind::Private
            && mapping.is_anonymous()
            && page.pages(range.length()) >= SEGMENT_MINIMUM_PAGES;
        match out.last_mut() {
            Some(last)
                if last.is_anonymous == is_anonymous && !(last.range.end <= area.start && range.start >= area.end) =>
            {
                last.range.end = range.end;
            }
            _other => out.push(Segment { range, is_anonymous })?,
        }
    }
    Ok(())
}

/// Adds pages to a list, joined with those before if they are in the same state.
fn push(out: &mut Table<Pages>, pages: Pages) -> Result<(), Refusal> {
    if let Some(last) = out.last_mut() {
        let is_same = last.is_dirty == pages.is_dirty && last.is_absent == pages.is_absent;
        if is_same && last.range.end == pages.range.start {
            last.range.end = pages.range.end;
            return Ok(());
        }
    }
    out.push(pages)
}

/// Scans the segments by `PAGEMAP_SCAN`.
pub fn scan_protected(
    pagemap: i32,
    segments: &[Segment],
    vector: &mut [Region],
    out: &mut Table<Pages>,
) -> Result<(), Refusal> {
    out.clear();
    for segment in segments {
        let not_file = if segment.is_anonymous { 0 } else { IS_FILE };
        let mut arguments: ScanArguments = syscall::zeroed();
        arguments.category_inverted = not_file;
        arguments.category_mask = not_file;
        arguments.category_any_of = IS_PRESENT | IS_SWAPPED;
        arguments.return_mask = IS_WRITTEN | IS_PROTECTABLE | IS_PRESENT;
        run(pagemap, segment, &mut arguments, vector, |region| {
            let has = |category| region.categories & category != 0;
            let is_absent = !has(IS_PRESENT);
            // What is absent may be a marker that outlived its page, so that it proves nothing.
            let is_dirty = has(IS_WRITTEN) || !has(IS_PROTECTABLE) || is_absent;
            push(out, Pages { range: Range::new(region.start as usize, region.end as usize), is_dirty, is_absent })
        })?;
    }
    Ok(())
}

/// Write-protects all anonymous pages that are in memory. The others count as dirty once they are there.
///
/// The regions are not wanted, but without a vector for them the kernel ignores the categories and protects everything,
/// by markers where no page is (seen on Linux 6.18).
pub fn protect(pagemap: i32, segments: &[Segment], vector: &mut [Region]) -> Result<(), Refusal> {
    for segment in segments {
        let not_file = if segment.is_anonymous { 0 } else { IS_FILE };
        let mut arguments: ScanArguments = syscall::zeroed();
        arguments.flags = WRITE_PROTECT_MATCHING;
        arguments.category_inverted = not_file;
        arguments.category_mask = IS_PROTECTABLE | IS_PRESENT | not_file;
        arguments.return_mask = IS_PRESENT;
        run(pagemap, segment, &mut arguments, vector, |_region| Ok(()))?;
    }
    Ok(())
}

fn run(
    pagemap: i32,
    segment: &Segment,
    arguments: &mut ScanArguments,
    vector: &mut [Region],
    mut visit: impl FnMut(&Region) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    arguments.size = size_of::<ScanArguments>() as u64;
    arguments.start = segment.range.start as u64;
    arguments.end = segment.range.end as u64;
    arguments.vector_length = vector.len() as u64;
    arguments.vector = vector.as_mut_ptr() as u64;
    while arguments.start < arguments.end {
        let call = [syscall::descriptor(pagemap), PAGEMAP_SCAN, syscall::pointer_mut(arguments)];
        // SAFETY: the structure names a vector and its length; the call writes only to both.
        let count = unsafe { syscall::call(libc::SYS_ioctl, call) }.map_err(failed)?;
        for region in vector.get(..count).unwrap_or(&[]) {
            visit(region)?;
        }
        if arguments.walk_end <= arguments.start {
            return Err(failed(libc::EINVAL));
        }
        arguments.start = arguments.walk_end;
    }
    Ok(())
}

/// Bits of an entry of `/proc/self/pagemap`.
const ENTRY_PRESENT: u64 = 1 << 63;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_FILE_OR_SHARED: u64 = 1 << 61;
const ENTRY_EXCLUSIVE: u64 = 1 << 56;

/// What a scan by `/proc/self/pagemap` needs besides the file.
pub struct PagemapScan<'a> {
    pub pagemap: i32,
    pub page: PageSize,
    pub then: &'a [Mapping],
    /// The mappings as they are now, before they are put back.
    pub now: &'a [Mapping],
    /// Whether only the list of pages is wanted.
    pub is_first: bool,
}

impl PagemapScan<'_> {
    pub fn run(&self, entries: &mut [u64], out: &mut Table<Pages>) -> Result<(), Refusal> {
        out.clear();
        let mut now = self.now;
        for mapping in self.then.iter().filter(|mapping| mapping.kind == Kind::Private) {
            while let [first, rest @ ..] = now {
                if first.range.end > mapping.range.start {
                    break;
                }
                now = rest;
            }
            let trusted = now.first().filter(|now| is_whole(mapping, now));
            self.scan_mapping(mapping, trusted, entries, out)?;
        }
        Ok(())
    }

    fn scan_mapping(
        &self,
        mapping: &Mapping,
        trusted: Option<&Mapping>,
        entries: &mut [u64],
        out: &mut Table<Pages>,
    ) -> Result<(), Refusal> {
        let is_readable = trusted.is_some_and(Mapping::is_readable);
        let mut address = mapping.range.start;
        while address < mapping.range.end {
            let wanted = self.page.pages(mapping.range.end - address).min(entries.len());
            for entry in
                read_entries(self.pagemap, self.page.pages(address), entries.get_mut(..wanted).unwrap_or(&mut []))?
            {
                let range = Range::new(address, address.wrapping_add(self.page.bytes()));
                address = range.end;
                if entry & (ENTRY_PRESENT | ENTRY_SWAPPED) == 0 || entry & ENTRY_FILE_OR_SHARED != 0 {
                    continue;
                }
                let is_absent = entry & ENTRY_PRESENT == 0;
                let is_dirty = self.is_first
                    || is_absent
                    || entry & ENTRY_EXCLUSIVE != 0
                    || !is_readable
                    // A page that was dropped and then read is the zero page, which looks like one that is shared with
                    // the snapshot process.
                    || is_zero(range.start, self.page);
                push(out, Pages { range, is_dirty, is_absent })?;
            }
        }
        Ok(())
    }
}

/// Whether a mapping of the snapshot is still there in one piece. Pieces may have come from elsewhere by `mremap`, with
/// pages that are shared with the snapshot process at another address.
fn is_whole(then: &Mapping, now: &Mapping) -> bool {
    then.range.intersection(&now.range) == then.range && then.is_same_object(now, then.range.start)
}

fn read_entries(pagemap: i32, first_page: usize, entries: &mut [u64]) -> Result<impl Iterator<Item = u64>, Refusal> {
    let length = size_of_val(entries);
    // SAFETY: any bytes are valid integers; the length is that of the slice.
    let bytes = unsafe { std::slice::from_raw_parts_mut(entries.as_mut_ptr().cast::<u8>(), length) };
    let read = syscall::read_at(pagemap, bytes, first_page.wrapping_mul(size_of::<u64>())).map_err(failed)?;
    if read == 0 || read % size_of::<u64>() != 0 {
        return Err(failed(libc::EIO));
    }
    Ok(entries.iter().take(read / size_of::<u64>()).copied())
}

/// Whether a readable page holds only zeros. Most pages differ in their first bytes.
pub fn is_zero(address: usize, page: PageSize) -> bool {
    // SAFETY: the caller knows that the page is mapped and readable; the address is a page's.
    let words = unsafe { std::slice::from_raw_parts(address as *const [u64; 8], page.bytes() / size_of::<[u64; 8]>()) };
    words.iter().all(|chunk| chunk.iter().fold(0, |all, word| all | word) == 0)
}

fn failed(errno: i32) -> Refusal {
    Refusal::new(Reason::Pagemap, errno.into())
}
