//! Moves a heap into huge pages before its process is forked many times.
//!
//! A fork copies a page table entry for each page, so 2 GB cost 32 ms in 4 KiB pages and 1.1 ms in 2 MiB ones.

/// The size of one huge page on x86-64 and on arm64 with 4 KiB pages.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// From `linux/mman.h`, Linux 6.1.
#[cfg(target_os = "linux")]
const MADV_COLLAPSE: i32 = 25;

/// Collapses the private anonymous memory of this process into huge pages where most of it is in use; the
/// bytes that are in huge pages then. 0 where the kernel does not know how.
#[cfg(target_os = "linux")]
#[must_use]
pub fn collapse(minimum_bytes: usize) -> usize {
    use std::os::unix::fs::FileExt;

    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return 0 };
    let pages = std::fs::File::open("/proc/self/pagemap").ok();
    let mut collapsed = 0;
    let mut entries = vec![0_u8; HUGE / 4096 * 8];
    for (start, end) in maps.lines().filter_map(anonymous).filter(|(start, end)| end - start >= minimum_bytes) {
        for chunk in (start.next_multiple_of(HUGE)..).step_by(HUGE).take_while(|chunk| chunk + HUGE <= end) {
            let in_use = pages.as_ref().is_none_or(|pages| {
                let read = pages.read_exact_at(&mut entries, (chunk / 4096 * 8) as u64);
                read.is_err() || is_mostly_present(&entries)
            });
            // SAFETY: collapsing changes how memory is backed, not what it holds; a range that is no longer
            // mapped makes the call fail.
            let done = in_use && unsafe { nix::libc::madvise(chunk as *mut _, HUGE, MADV_COLLAPSE) } == 0;
            collapsed += if done { HUGE } else { 0 };
        }
    }
    collapsed
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn collapse(_minimum_bytes: usize) -> usize {
    0
}

/// At least half of the pages: collapsing the rest would take memory that nobody uses.
#[cfg(target_os = "linux")]
fn is_mostly_present(entries: &[u8]) -> bool {
    // Bit 63 of each 8-byte entry: the page is in memory.
    let present = entries.chunks_exact(8).filter(|entry| entry[7] & 0x80 != 0).count();
    present * 16 >= entries.len()
}

/// The range of a line of `/proc/self/maps`, if it is writable, private and backed by no file. The stack grows
/// by itself and is left alone.
#[cfg(target_os = "linux")]
fn anonymous(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_private = fields.next()? == "rw-p";
    let is_anonymous = fields.nth(2)? == "0";
    let is_plain = is_anonymous && fields.next().is_none_or(|name| name == "[heap]" || name.starts_with("[anon"));
    let address = |text| usize::from_str_radix(text, 16).ok();
    (is_private && is_plain).then_some((address(start)?, address(end)?))
}
