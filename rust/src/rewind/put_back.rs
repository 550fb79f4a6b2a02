//! The rewind, on the engine's stack: checks, kernel state, mappings, memory.

use std::ffi::c_void;

use nix::libc;

use crate::rewind::descriptors;
use crate::rewind::jump::Leave;
use crate::rewind::mappings;
use crate::rewind::page_store::ProcessMemory;
use crate::rewind::plan;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::scan::{self, Engine, PagemapScan};
use crate::rewind::signals;
use crate::rewind::snapshot_process;
use crate::rewind::state::State;
use crate::rewind::syscall;
use crate::rewind::threads;
use crate::rewind::verify::{Verification, Verify};

/// Exit status of a process whose memory could only be put back in part: nothing may run in it any more.
pub const REWIND_BROKEN: i32 = 113;
/// The hot set is protected anew when it is larger by a quarter and this many pages, and not within so many rewinds of
/// the last time: the first rewinds after a protection find pages one by one.
const HOT_SET_SLACK_PAGES: u64 = 64;
const HOT_SET_REWINDS: u64 = 8;
/// Compared at once by a verification.
const VERIFY_BYTES: usize = 8 << 20;

/// Entry on the engine's stack. Leaves by the context of the snapshot, or by that of the caller with `State::refusal`.
///
/// # Safety
///
/// `state` must be the engine's state, of which nothing else has a reference.
pub unsafe extern "C" fn rewind(state: *mut c_void) -> Leave {
    // SAFETY: the caller's duty.
    let state = unsafe { &mut *state.cast::<State>() };
    let started = syscall::monotonic_ns();
    if let Err(refusal) = check_use(state) {
        return refuse(state, refusal);
    }
    signals::stop_timers(state.text.whole());
    // Those that the test blocked, and nothing that comes from outside during the rewind.
    let flushed = signals::pending();
    let mask = syscall::block_signals();
    if let Err(refusal) = put_kernel_state_back(state, flushed) {
        syscall::change_signal_mask(mask);
        return refuse(state, refusal);
    }
    if put_memory_back(state).is_err() {
        syscall::exit_group(REWIND_BROKEN);
    }
    state.rewinds += 1;
    state.statistics.total_ns = syscall::monotonic_ns() - started;
    if state.must_verify {
        verify(state);
    }
    syscall::change_signal_mask(state.signal_mask);
    let [context, _other] = &state.contexts;
    Leave { context, value: state.rewinds }
}

fn refuse(state: &mut State, refusal: Refusal) -> Leave {
    state.refusal = Some(refusal);
    let [_snapshot, context] = &state.contexts;
    Leave { context, value: -1 }
}

fn check_use(state: &State) -> Result<(), Refusal> {
    state.check_caller()?;
    if state.is_taken { Ok(()) } else { Err(Refusal::new(Reason::NoSnapshot, 0)) }
}

/// All that may be refused. What cannot be undone (ending threads) comes after the checks that need not wait for it.
fn put_kernel_state_back(state: &mut State, flushed: u64) -> Result<(), Refusal> {
    let started = syscall::monotonic_ns();
    let must_unlock = check(state)?;
    let checked = syscall::monotonic_ns();
    plan_mappings(state)?;
    let planned = syscall::monotonic_ns();
    scan_pages(state)?;
    state.restore().check_store()?;
    let scanned = syscall::monotonic_ns();
    descriptors::put_back(state.descriptors.as_slice())?;
    state.kernel.put_back(must_unlock)?;
    state.signals.put_back(flushed)?;
    if must_unlock {
        state.give_back_unused();
    }
    let statistics = &mut state.statistics;
    statistics.check_ns = checked - started;
    statistics.mappings_ns = planned - checked;
    statistics.scan_ns = scanned - planned;
    statistics.kernel_ns = syscall::monotonic_ns() - scanned;
    Ok(())
}

fn check(state: &mut State) -> Result<bool, Refusal> {
    let (main, snapshot_process) = (state.owner, state.snapshot_pid);
    threads::check_children(main, snapshot_process, state.text.whole())?;
    let at_once: libc::timespec = syscall::zeroed();
    if snapshot_process::has_ended(state.own.snapshot_pidfd, Some(&at_once)) {
        return Err(Refusal::new(Reason::SnapshotProcessGone, snapshot_process.into()));
    }
    let must_unlock = state.kernel.check(state.text.whole())?;
    state.statistics.threads_ended = 0;
    if threads::count()? != 1 {
        plan_mappings(state)?;
        state.statistics.threads_ended = threads::end_others(main, state.text.whole())?;
        threads::check_children(main, snapshot_process, state.text.whole())?;
    }
    let (descriptors, can_compare) = (state.descriptors.as_slice(), state.can_compare_descriptors);
    state.statistics.descriptors_fetched = descriptors::check(descriptors, state.pair(), can_compare)?;
    Ok(must_unlock)
}

fn plan_mappings(state: &mut State) -> Result<(), Refusal> {
    mappings::read(state.own.mappings, state.text.whole(), &state.area, &mut state.now)?;
    plan::plan(state.then.as_slice(), state.now.as_slice(), &mut state.changes)?;
    state.statistics.mappings = state.now.len() as u64;
    state.statistics.changes = state.changes.len() as u64;
    Ok(())
}

/// Pages in mappings that the plan replaces need no care: they are dirty or gone in any case.
fn scan_pages(state: &mut State) -> Result<(), Refusal> {
    let pagemap = state.own.pagemap;
    match state.engine {
        Engine::Userfaultfd => {
            let segments = state.segments.as_slice();
            scan::scan_protected(pagemap, segments, state.regions.whole(), &mut state.current)?;
        }
        Engine::Pagemap => {
            let (page, then, now) = (state.page, state.then.as_slice(), state.now.as_slice());
            PagemapScan { pagemap, page, then, now, is_first: false }.run(state.entries.whole(), &mut state.current)?;
        }
    }
    state.statistics.ranges = state.current.len() as u64;
    Ok(())
}

fn put_memory_back(state: &mut State) -> Result<(), Refusal> {
    let started = syscall::monotonic_ns();
    plan::apply(state.changes.as_slice(), state.heap_end, state.page)
        .map_err(|errno| Refusal::new(Reason::Mapping, errno.into()))?;
    let mapped = syscall::monotonic_ns();
    let mut restore = state.restore();
    restore.run()?;
    state.statistics.counts = restore.counts;
    protect_anew(state)?;
    state.statistics.mappings_ns += mapped - started;
    state.statistics.copy_ns = syscall::monotonic_ns() - mapped;
    Ok(())
}

/// When too many pages are looked at that nobody writes any more, all are protected, and the hot set begins anew.
fn protect_anew(state: &mut State) -> Result<(), Refusal> {
    let dirty = state.statistics.counts.dirty;
    let hot_set = &mut state.hot_set;
    hot_set.rewinds += 1;
    if hot_set.baseline == 0 {
        hot_set.baseline = dirty;
    }
    let limit = hot_set.baseline + hot_set.baseline / 4 + HOT_SET_SLACK_PAGES;
    if state.engine == Engine::Userfaultfd && dirty > limit && hot_set.rewinds >= HOT_SET_REWINDS {
        scan::protect(state.own.pagemap, state.segments.as_slice(), state.regions.whole())?;
        state.statistics.protections += 1;
        (hot_set.baseline, hot_set.rewinds) = (0, 0);
    }
    Ok(())
}

fn verify(state: &mut State) {
    let own = syscall::open(c"/proc/self/mem", libc::O_RDONLY);
    let this = ProcessMemory { pid: state.owner, file: own.unwrap_or(-1) };
    let snapshot = state.snapshot_memory();
    let mut result = Verification::default();
    match plan_mappings(state).and_then(|()| scan_pages(state)) {
        Ok(()) => {
            if let Some(change) = state.changes.get(0) {
                result.mismatch(change.range.start);
            }
        }
        Err(_refusal) => result.mismatch(0),
    }
    let (page, rseq) = (state.page, state.rseq);
    let buffer = state.text.whole().get_mut(..VERIFY_BYTES).unwrap_or(&mut []);
    let mut verify = Verify { this, snapshot, page, rseq, buffer, result };
    if verify.run(state.then.as_slice(), state.held.as_slice(), state.current.as_slice()).is_err() {
        verify.result.mismatch(0);
    }
    state.statistics.verification = verify.result;
    if let Ok(file) = own {
        syscall::close(file);
    }
}
