//! Pre-faults the pages that a child will write to.
//!
//! Each costs a page fault and a copy on the first write; an idle fork can pay that early. The set is learned from an
//! earlier fork that did the same work, since addresses are identical in all forks.

/// From `linux/mman.h`, Linux 5.14.
#[cfg(target_os = "linux")]
const MADV_POPULATE_WRITE: i32 = 23;

/// Bits of an entry of `/proc/self/pagemap`: in memory; mapped by nobody else (Linux 4.2).
#[cfg(target_os = "linux")]
const PRESENT: u64 = 1 << 63;
#[cfg(target_os = "linux")]
const EXCLUSIVE: u64 = 1 << 56;

/// The size of one run of pages: the addresses of its begin and end.
#[cfg(target_os = "linux")]
const RUN_BYTES: usize = 2 * std::mem::size_of::<u64>();

/// Runs of pages that are this process's own, of all that it may write to; empty where the kernel does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn own() -> Vec<u8> {
    let (writable, Ok(table)) = (writable(), std::fs::File::open("/proc/self/pagemap")) else { return Vec::new() };
    let runs = writable.into_iter().flat_map(|(start, end)| runs(&table, start, end, PRESENT | EXCLUSIVE, 0));
    runs.flat_map(|(start, end)| [start, end]).flat_map(u64::to_le_bytes).collect()
}

/// Makes those of these pages this process's own that are in memory, and shared with another. What they hold stays.
#[cfg(target_os = "linux")]
pub fn make_own(learned: &[u8]) {
    let (writable, Ok(table)) = (writable(), std::fs::File::open("/proc/self/pagemap")) else { return };
    let mut ranges = writable.iter().peekable();
    for run in learned.chunks_exact(RUN_BYTES) {
        let (start, end) = (number(&run[..8]), number(&run[8..]));
        // Both are sorted. What is mapped there may be another thing in this process.
        while ranges.next_if(|range| range.1 <= start).is_some() {}
        let Some((first, last)) = ranges.peek() else { return };
        for (start, end) in runs(&table, start.max(*first), end.min(*last), PRESENT, EXCLUSIVE) {
            let length = usize::try_from(end - start).unwrap_or(0);
            // SAFETY: this changes how memory is backed, not what it holds; a range that is no longer mapped makes the
            // call fail, and a kernel that does not know the advice.
            unsafe { nix::libc::madvise(start as *mut _, length, MADV_POPULATE_WRITE) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn own() -> Vec<u8> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
pub fn make_own(_told: &[u8]) {}

#[cfg(target_os = "linux")]
fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// The private ranges of addresses that may be written to, in order.
#[cfg(target_os = "linux")]
fn writable() -> Vec<(u64, u64)> {
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw-p").then_some((address(start)?, address(end)?))
    };
    std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().filter_map(range).collect()
}

/// Runs of pages between two addresses whose entries have all bits of `with` and none of `without`.
#[cfg(target_os = "linux")]
fn runs(table: &std::fs::File, start: u64, end: u64, with: u64, without: u64) -> Vec<(u64, u64)> {
    use std::os::unix::fs::FileExt;

    let page = page_size();
    let mut entries = vec![0_u8; usize::try_from(end.saturating_sub(start) / page * 8).unwrap_or(0)];
    if table.read_exact_at(&mut entries, start / page * 8).is_err() {
        return Vec::new();
    }
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (address, entry) in (start..end).step_by(usize::try_from(page).unwrap_or(1)).zip(entries.chunks_exact(8)) {
        if number(entry) & (with | without) != with {
            continue;
        }
        match found.last_mut() {
            Some(run) if run.1 == address => run.1 += page,
            _ => found.push((address, address + page)),
        }
    }
    found
}

#[cfg(target_os = "linux")]
fn page_size() -> u64 {
    // SAFETY: sysconf has no precondition.
    u64::try_from(unsafe { nix::libc::sysconf(nix::libc::_SC_PAGESIZE) }).unwrap_or(4 << 10)
}
