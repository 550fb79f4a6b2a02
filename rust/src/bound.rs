//! Which port this process tried to bind last, and when: on a page that another process reads while this one waits.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nix::libc;

/// Where on the page the note lies, in bytes; `protocol.Progress` has what lies before it.
const OFFSET: usize = 16;
/// The least that can be mapped; a page may be larger, and is mapped whole then.
const LENGTH: usize = 4096;
/// Of the note: the port, below the milliseconds.
const PORT_BITS: u32 = 16;

static NOTE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// From now on this process, and those that it forks, note there what they try. The mapping stays: a test may close
/// every descriptor.
pub fn note_on(descriptor: i32) -> std::io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place that the system picks; nothing else is touched.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, protection, libc::MAP_SHARED, descriptor, 0) };
    if page == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: 16 bytes further is within the page, and a multiple of what the number needs.
    let note = unsafe { page.cast::<u8>().add(OFFSET) };
    #[expect(clippy::cast_ptr_alignment, reason = "a page is aligned, and so is 16")]
    NOTE.store(note.cast::<AtomicU64>(), Ordering::Release);
    Ok(())
}

/// 0 stands for a port that the system chooses.
pub fn note(port: u16) {
    let note = NOTE.load(Ordering::Acquire);
    if !note.is_null() {
        // SAFETY: it leads into a mapping that is never undone, and is written by atomic stores alone.
        unsafe { &*note }.store(milliseconds() << PORT_BITS | u64::from(port), Ordering::Release);
    }
}

/// Of Python's `time.monotonic()`, where that is this clock: on Linux.
fn milliseconds() -> u64 {
    // SAFETY: an all-zero timespec is a valid value; the call writes to it and to nothing else.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    #[allow(clippy::useless_conversion, reason = "not 64 bits everywhere")]
    let (seconds, rest) = (part(i64::from(time.tv_sec)), part(i64::from(time.tv_nsec)));
    seconds.saturating_mul(1000).saturating_add(rest / 1_000_000)
}
