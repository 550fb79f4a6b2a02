//! The engine of this process: one for each process, reachable by a static pointer that a rewind does not change.

use std::sync::atomic::{AtomicPtr, Ordering};

use nix::libc;

use crate::rewind::area::Range;
use crate::rewind::jump;
use crate::rewind::put_back;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::scan::Engine;
use crate::rewind::self_test;
use crate::rewind::snapshot;
use crate::rewind::snapshot_process;
use crate::rewind::state::{Settings, State};
use crate::rewind::syscall;
use crate::rewind::userfaultfd;

/// Written before a snapshot only.
static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

/// The length of the kernel's original `struct rseq`; libc's `__rseq_size` may tell less, or more on newer kernels.
const RSEQ_BYTES: usize = 32;

/// Which engine a caller wants; `None` stands for the best one.
pub fn engine_named(name: &str) -> Option<Option<Engine>> {
    match name {
        "auto" => Some(None),
        "userfaultfd" => Some(Some(Engine::Userfaultfd)),
        "pagemap" => Some(Some(Engine::Pagemap)),
        _unknown => None,
    }
}

/// The name by which snapshot processes are recognised among the children of a process.
pub fn snapshot_name() -> &'static str {
    snapshot_process::NAME.to_str().unwrap_or_default()
}

fn name_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Userfaultfd => "userfaultfd",
        Engine::Pagemap => "pagemap",
    }
}

/// Whether the platform can take snapshots at all. `auto` takes the slower engine where the faster one is forbidden.
fn choose(wanted: Option<Engine>) -> Result<Engine, Refusal> {
    let fd = syscall::open(c"/proc/self/pagemap", libc::O_RDONLY);
    syscall::close(fd.map_err(|errno| Refusal::new(Reason::Pagemap, errno.into()))?);
    if wanted == Some(Engine::Pagemap) {
        return Ok(Engine::Pagemap);
    }
    match (userfaultfd::open(), wanted) {
        (Ok(fd), _any) => {
            syscall::close(fd);
            Ok(Engine::Userfaultfd)
        }
        (Err(_forbidden), None) => Ok(Engine::Pagemap),
        (Err(errno), Some(_engine)) => Err(Refusal::new(Reason::Userfaultfd, errno.into())),
    }
}

/// Reserves the engine's memory. A process has one engine; its forks may make their own.
pub fn create(wanted: Option<Engine>, store_limit: usize, has_sibling: bool) -> Result<(), String> {
    if let Some(state) = own_state() {
        // SAFETY: this thread holds the interpreter lock, so nothing else uses the state.
        let is_taken = unsafe { (*state).is_taken };
        if is_taken {
            return Err("this process has taken a snapshot already".to_owned());
        }
    }
    let engine = choose(wanted).map_err(|refusal| refusal.message())?;
    self_test::require(engine)?;
    let settings = Settings { engine, store_limit, rseq: Range::default(), has_sibling };
    let state =
        State::create(settings).map_err(|errno| format!("memory for the engine can't be reserved (errno {errno})"))?;
    STATE.store(state, Ordering::SeqCst);
    Ok(())
}

/// The state, if this process made it.
fn own_state() -> Option<*mut State> {
    let state = STATE.load(Ordering::SeqCst);
    // SAFETY: the pointer is null or that of the area's beginning, which forks inherit and nothing unmaps.
    let is_own = !state.is_null() && unsafe { (*state).owner } == syscall::process_id();
    is_own.then_some(state)
}

/// The state for a caller that reports errors.
fn any_state() -> Result<*mut State, Refusal> {
    let state = STATE.load(Ordering::SeqCst);
    if state.is_null() { Err(Refusal::new(Reason::NoSnapshot, 0)) } else { Ok(state) }
}

/// Returns 0 at the snapshot, and n after the n-th rewind. With `may_fall_back`, the other engine is tried.
pub fn snapshot(may_fall_back: bool) -> Result<isize, Refusal> {
    let state = any_state()?;
    // SAFETY: this thread holds the interpreter lock; the reference ends before the engine takes its own.
    let (engine, is_taken) = unsafe { ((*state).engine, (*state).is_taken) };
    if is_taken {
        return Err(Refusal::new(Reason::Taken, 0));
    }
    match take(state) {
        Err(Refusal { reason: Reason::Userfaultfd | Reason::Pagemap, .. })
            if may_fall_back && engine == Engine::Userfaultfd =>
        {
            // SAFETY: as above.
            unsafe { (*state).engine = Engine::Pagemap };
            take(state)
        }
        result => result,
    }
}

fn take(state: *mut State) -> Result<isize, Refusal> {
    // SAFETY: the state is the engine's; `take` runs on its stack, and returns here by the context that it records.
    let value = unsafe {
        (*state).rseq = rseq_area();
        let context = &raw mut (*state).contexts[0];
        jump::enter(context, (*state).stack_top, snapshot::take, state.cast())
    };
    // SAFETY: the engine has returned.
    result_of(value, unsafe { (*state).refusal })
}

/// Does not return if it succeeds.
pub fn rewind(must_verify: bool) -> Refusal {
    let state = match any_state() {
        Ok(state) => state,
        Err(refusal) => return refusal,
    };
    // SAFETY: as in `take`. A refusal returns here.
    let value = unsafe {
        (*state).must_verify = must_verify;
        let context = &raw mut (*state).contexts[1];
        jump::enter(context, (*state).stack_top, put_back::rewind, state.cast())
    };
    // SAFETY: the engine has returned.
    result_of(value, unsafe { (*state).refusal }).err().unwrap_or(Refusal::new(Reason::NoSnapshot, 0))
}

fn result_of(value: isize, refusal: Option<Refusal>) -> Result<isize, Refusal> {
    if value >= 0 { Ok(value) } else { Err(refusal.unwrap_or(Refusal::new(Reason::NoSnapshot, 0))) }
}

/// libc's rseq area of this thread, which the kernel writes to; empty where libc has none.
fn rseq_area() -> Range {
    // SAFETY: both names are constants of libc (2.35); where they are missing, the result is null.
    let (offset, size) = unsafe {
        let find = |name: &std::ffi::CStr| libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        (find(c"__rseq_offset").cast::<isize>(), find(c"__rseq_size").cast::<u32>())
    };
    if offset.is_null() || size.is_null() {
        return Range::default();
    }
    // SAFETY: libc's constants.
    let (offset, size) = unsafe { (*offset, *size as usize) };
    if size == 0 {
        return Range::default();
    }
    let start = jump::thread_pointer().wrapping_add_signed(offset);
    Range::new(start, start + size.max(RSEQ_BYTES))
}

pub fn engine_in_use() -> &'static str {
    // SAFETY: this thread holds the interpreter lock.
    any_state().map_or("", |state| name_of(unsafe { (*state).engine }))
}

pub fn snapshot_pid() -> i32 {
    // SAFETY: this thread holds the interpreter lock.
    any_state().map_or(0, |state| unsafe { (*state).snapshot_pid })
}

/// Times and counts of the last rewind.
pub fn statistics() -> Vec<(&'static str, u64)> {
    let Ok(state) = any_state() else { return Vec::new() };
    // SAFETY: this thread holds the interpreter lock; in a fork, the state is a copy.
    let state = unsafe { &*state };
    let statistics = &state.statistics;
    let (counts, verification) = (&statistics.counts, &statistics.verification);
    vec![
        ("rewinds", state.rewinds as u64),
        ("snapshot_ns", statistics.snapshot_ns),
        ("check_ns", statistics.check_ns),
        ("mappings_ns", statistics.mappings_ns),
        ("kernel_ns", statistics.kernel_ns),
        ("scan_ns", statistics.scan_ns),
        ("copy_ns", statistics.copy_ns),
        ("total_ns", statistics.total_ns),
        ("mappings", statistics.mappings),
        ("changes", statistics.changes),
        ("ranges", statistics.ranges),
        ("held_pages", statistics.held_pages),
        ("dirty", counts.dirty),
        ("fetched", counts.fetched),
        ("copied", counts.copied),
        ("zeroed", counts.zeroed),
        ("lost", counts.lost),
        ("store_pages", state.store.pages() as u64),
        ("protections", statistics.protections),
        ("hot_set_baseline", state.hot_set.baseline),
        ("threads_ended", statistics.threads_ended),
        ("descriptors_fetched", statistics.descriptors_fetched),
        ("verified_pages", verification.pages),
        ("mismatched_pages", verification.mismatched),
        ("first_mismatch", verification.first as u64),
    ]
}

/// Tries the engine in a fork and returns the reason of a failure.
pub fn self_test(wanted: Option<Engine>) -> Option<String> {
    match choose(wanted) {
        Ok(engine) => self_test::run(engine, rseq_area()),
        Err(refusal) => Some(refusal.message()),
    }
}
