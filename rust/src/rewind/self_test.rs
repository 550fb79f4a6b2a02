//! Tries the engine in a fork: a snapshot, changes to memory of every kind, a verified rewind, twice.
//!
//! On x86-64 the engine is tested with each release, and a run verifies its first rewind. Elsewhere the engine is
//! offered only in a process that, or whose parent, has passed this test.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::libc;

use crate::rewind::area::{PageSize, Range};
use crate::rewind::jump;
use crate::rewind::put_back;
use crate::rewind::refusal::Refusal;
use crate::rewind::scan::Engine;
use crate::rewind::snapshot;
use crate::rewind::snapshot_process;
use crate::rewind::state::{Settings, State};
use crate::rewind::syscall;

/// Inherited by forks.
static HAS_PASSED: AtomicBool = AtomicBool::new(false);
/// A value in the library's own data.
static GLOBAL: AtomicU64 = AtomicU64::new(0);

const STORE_BYTES: usize = 64 << 20;
const PAGES: usize = 64;
const REWINDS: isize = 2;
/// A test took 92 to 154 ms on a busy machine.
const LIMIT: libc::timespec = libc::timespec { tv_sec: 10, tv_nsec: 0 };
/// `__WALL`
const WAIT_FOR_ALL: usize = 0x4000_0000;

/// What the fork reports, in memory that both share.
#[repr(C)]
struct Report {
    /// 0: it did not come to an end.
    outcome: u64,
    refusal: Option<Refusal>,
}

const PASSED: u64 = 1;
const REFUSED: u64 = 2;
const WRONG_VALUE: u64 = 3;
const MISMATCH: u64 = 4;
const NO_AREA: u64 = 5;

/// Refuses where the engine needs a test that has not passed.
pub fn require(_engine: Engine) -> Result<(), String> {
    if cfg!(target_arch = "x86_64") || HAS_PASSED.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err("the self-test has not passed on this machine".to_owned())
    }
}

/// Runs the test and returns the reason of a failure. `rseq` is that of the calling thread.
pub fn run(engine: Engine, rseq: Range) -> Option<String> {
    let Some(page) = PageSize::of_this_machine() else { return Some("the size of a page is unknown".to_owned()) };
    let shared = map(page.bytes(), libc::MAP_SHARED) as *mut Report;
    if shared.is_null() {
        return Some("memory can't be mapped".to_owned());
    }
    // SAFETY: a plain fork; the child runs nothing but `test` and ends.
    let pid = match unsafe { syscall::call(libc::SYS_clone, [0, 0, 0, 0, 0]) } {
        Ok(0) => {
            // SAFETY: the page is shared with the parent, which reads it after this process has ended.
            unsafe { (*shared).outcome = test(engine, rseq, page, shared) };
            syscall::exit_group(0)
        }
        Ok(pid) => pid as i32,
        Err(errno) => return Some(format!("the test's process can't be started (errno {errno})")),
    };
    let status = wait(pid);
    // SAFETY: the child has ended.
    let failure = unsafe { failure_of(&*shared, status) };
    // SAFETY: the page was mapped above.
    let _unmapped = unsafe { syscall::call(libc::SYS_munmap, [shared as usize, page.bytes()]) };
    HAS_PASSED.fetch_or(failure.is_none(), Ordering::Relaxed);
    failure
}

fn wait(pid: i32) -> i32 {
    if let Ok(pidfd) = snapshot_process::open_pidfd(pid) {
        if !snapshot_process::has_ended(pidfd, Some(&LIMIT)) {
            // SAFETY: the child is not reaped yet, so the pid is its own.
            let _sent = unsafe { syscall::call(libc::SYS_kill, [pid as usize, libc::SIGKILL as usize]) };
        }
        syscall::close(pidfd);
    }
    let mut status = 0_i32;
    let arguments = [pid as usize, syscall::pointer_mut(&mut status), WAIT_FOR_ALL, 0];
    // SAFETY: the call writes one integer.
    while unsafe { syscall::call(libc::SYS_wait4, arguments) } == Err(libc::EINTR) {}
    status
}

fn failure_of(report: &Report, status: i32) -> Option<String> {
    match (report.outcome, report.refusal) {
        (PASSED, _none) => None,
        (REFUSED, Some(refusal)) => Some(refusal.message()),
        (WRONG_VALUE, _none) => Some("memory was not restored".to_owned()),
        (MISMATCH, _none) => Some("the verification found a page that differs".to_owned()),
        (NO_AREA, _none) => Some("memory for the engine can't be reserved".to_owned()),
        _other => Some(format!("the test's process ended with wait status {status}")),
    }
}

fn map(length: usize, kind: i32) -> usize {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (kind | libc::MAP_ANONYMOUS) as usize;
    // SAFETY: a new mapping.
    unsafe { syscall::call(libc::SYS_mmap, [0, length, protection, flags, syscall::descriptor(-1), 0]) }.unwrap_or(0)
}

/// In the fork. Nothing here may be kept in a variable across the rewind: it is read after the second return.
fn test(engine: Engine, rseq: Range, page: PageSize, report: *mut Report) -> u64 {
    let Ok(state) = State::create(Settings { engine, store_limit: STORE_BYTES, rseq, has_sibling: false }) else {
        return NO_AREA;
    };
    let length = PAGES * page.bytes();
    let (filled, untouched) = (map(length, libc::MAP_PRIVATE), map(length, libc::MAP_PRIVATE));
    if filled == 0 || untouched == 0 {
        return NO_AREA;
    }
    fill(filled, length, 7);
    GLOBAL.store(7, Ordering::SeqCst);
    let mut local = [7_u64; 32];
    // SAFETY: the state is this engine's; each call returns by a context that was recorded in this frame.
    unsafe {
        let rewinds = jump::enter(&raw mut (*state).contexts[0], (*state).stack_top, snapshot::take, state.cast());
        if rewinds < 0 {
            (*report).refusal = (*state).refusal;
            return REFUSED;
        }
        let is_right = holds(filled, length, 7)
            && holds(untouched, length, 0)
            && GLOBAL.load(Ordering::SeqCst) == 7
            && std::hint::black_box(&mut local).iter().all(|word| *word == 7);
        if !is_right {
            return WRONG_VALUE;
        }
        if rewinds > 0 && (*state).statistics.verification.mismatched != 0 {
            return MISMATCH;
        }
        if rewinds == REWINDS {
            return PASSED;
        }
        change(filled, untouched, length);
        std::hint::black_box(&mut local).fill(9);
        (*state).must_verify = true;
        jump::enter(&raw mut (*state).contexts[1], (*state).stack_top, put_back::rewind, state.cast());
        (*report).refusal = (*state).refusal;
    }
    REFUSED
}

fn change(filled: usize, untouched: usize, length: usize) {
    fill(filled, length / 2, 9);
    fill(untouched, length / 2, 9);
    GLOBAL.store(9, Ordering::SeqCst);
    fill(map(length, libc::MAP_PRIVATE), length, 9);
    let quarter = length / 4;
    // SAFETY: both ranges are this test's own, and are not used before the rewind.
    unsafe {
        let _unmapped = syscall::call(libc::SYS_munmap, [filled + quarter, quarter]);
        let _protected = syscall::call(libc::SYS_mprotect, [filled + 3 * quarter, quarter, libc::PROT_READ as usize]);
        let _dropped = syscall::call(libc::SYS_madvise, [filled, quarter, libc::MADV_DONTNEED as usize]);
        let _opened = syscall::call(libc::SYS_dup, [0]);
    }
}

fn fill(start: usize, length: usize, byte: u8) {
    if start != 0 {
        // SAFETY: the caller has mapped the range.
        unsafe { std::ptr::write_bytes(start as *mut u8, byte, length) };
    }
}

fn holds(start: usize, length: usize, byte: u8) -> bool {
    // SAFETY: the caller has mapped the range.
    let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, length) };
    std::hint::black_box(bytes).iter().all(|one| *one == byte)
}
