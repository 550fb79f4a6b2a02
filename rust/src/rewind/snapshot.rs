//! Takes the snapshot, on the engine's stack.
//!
//! From the protection of the pages (engine `userfaultfd`) or the fork (engine `pagemap`) to the return to the caller
//! nothing but the engine's area is written. The memory of the snapshot process and the clean pages of this process are
//! therefore exactly the memory that the caller sees when the call returns.

use std::ffi::c_void;

use nix::libc;

use crate::rewind::area::Range;
use crate::rewind::descriptors;
use crate::rewind::jump::Leave;
use crate::rewind::mappings::Kind;
use crate::rewind::page_store;
use crate::rewind::plan;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::scan::{self, Engine, PagemapScan};
use crate::rewind::snapshot_process;
use crate::rewind::special_mappings;
use crate::rewind::state::{HotSet, State};
use crate::rewind::syscall::{self, Errno, descriptor};
use crate::rewind::threads::{self, Path};
use crate::rewind::userfaultfd;

/// The engine's descriptors are moved up to here, so that tests see the lowest numbers free as after a fork, and that
/// `os.closerange(3, 256)`, which daemons call, misses them.
const FIRST_DESCRIPTOR: usize = 700;
/// `MADV_DONTFORK`
const DONT_FORK: i32 = libc::MADV_DONTFORK;

/// Entry on the engine's stack. Returns 0, or -1 with `State::refusal` set and nothing changed.
///
/// # Safety
///
/// `state` must be the engine's state, of which nothing else has a reference.
pub unsafe extern "C" fn take(state: *mut c_void) -> Leave {
    // SAFETY: the caller's duty.
    let state = unsafe { &mut *state.cast::<State>() };
    let started = syscall::monotonic_ns();
    state.signal_mask = syscall::block_signals();
    let value = match prepare(state).and_then(|()| make_process(state)) {
        Ok(()) => {
            state.is_taken = true;
            state.statistics.snapshot_ns = syscall::monotonic_ns() - started;
            0
        }
        Err(refusal) => {
            undo(state);
            state.refusal = Some(refusal);
            -1
        }
    };
    syscall::change_signal_mask(state.signal_mask);
    let [context, _other] = &state.contexts;
    Leave { context, value }
}

/// Closing the userfaultfd unregisters all mappings and removes the protection.
fn undo(state: &mut State) {
    if state.snapshot_pid > 0 {
        snapshot_process::end(state.snapshot_pid);
        state.snapshot_pid = 0;
    }
    state.own.close();
}

fn prepare(state: &mut State) -> Result<(), Refusal> {
    state.check_caller()?;
    match threads::count()? {
        1 => {}
        count => return Err(Refusal::new(Reason::ThreadsAtSnapshot, count as i64)),
    }
    open_descriptors(state)?;
    let own = state.own.all();
    descriptors::record(state.text.whole(), &own, &mut state.descriptors)?;
    state.kernel.record(state.own.folder, state.text.whole())?;
    state.signals.record()?;
    state.heap_end = plan::program_break(0);
    special_mappings::read(state.text.whole(), &state.area, &mut state.then)?;
    number_pages(state)?;
    scan::group(state.then.as_slice(), &state.area, state.page, &mut state.segments)?;
    if state.engine == Engine::Userfaultfd {
        for mapping in state.then.as_slice().iter().filter(|mapping| mapping.kind == Kind::Private) {
            userfaultfd::register(state.own.userfaultfd, mapping.range)
                .map_err(|_errno| Refusal::at(Reason::SpecialMapping, mapping.range.start))?;
        }
        scan::protect(state.own.pagemap, state.segments.as_slice(), state.regions.whole())?;
    }
    record_pages(state)
}

fn open_descriptors(state: &mut State) -> Result<(), Refusal> {
    let proc = |errno: Errno| Refusal::new(Reason::ReadProc, errno.into());
    let pagemap = |errno: Errno| Refusal::new(Reason::Pagemap, errno.into());
    state.own.pagemap = move_up(syscall::open(c"/proc/self/pagemap", libc::O_RDONLY)).map_err(pagemap)?;
    state.own.mappings = move_up(syscall::open(c"/proc/self/maps", libc::O_RDONLY)).map_err(proc)?;
    let folder = syscall::open(c".", libc::O_PATH | libc::O_DIRECTORY);
    state.own.folder = move_up(folder).map_err(|_errno| Refusal::new(Reason::WorkingFolder, 0))?;
    state.own.runner_pidfd = move_up(snapshot_process::open_pidfd(state.owner)).map_err(proc)?;
    if state.engine == Engine::Userfaultfd {
        let failed = |errno: Errno| Refusal::new(Reason::Userfaultfd, errno.into());
        state.own.userfaultfd = move_up(userfaultfd::open()).map_err(failed)?;
    }
    Ok(())
}

/// A process whose limit of descriptors is too low keeps the low number.
fn move_up(opened: Result<i32, Errno>) -> Result<i32, Errno> {
    let low = opened?;
    match syscall::control(low, libc::F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR) {
        Ok(high) => {
            syscall::close(low);
            Ok(high as i32)
        }
        Err(_limit) => Ok(low),
    }
}

/// Gives each private page its number in the index of the page store.
fn number_pages(state: &mut State) -> Result<(), Refusal> {
    let mut first_page = 0_usize;
    for mapping in state.then.as_mut_slice().iter_mut().filter(|mapping| mapping.kind == Kind::Private) {
        mapping.first_page = first_page;
        first_page = first_page.saturating_add(state.page.pages(mapping.range.length()));
    }
    let capacity = state.index.capacity();
    if first_page > capacity { Err(Refusal::at(Reason::TooMany, capacity)) } else { Ok(()) }
}

/// Lists the anonymous pages that are there, and the guard pages among them.
fn record_pages(state: &mut State) -> Result<(), Refusal> {
    match state.engine {
        Engine::Userfaultfd => scan::scan_protected(
            state.own.pagemap,
            state.segments.as_slice(),
            state.regions.whole(),
            &mut state.current,
        )?,
        Engine::Pagemap => {
            let (pagemap, page, then) = (state.own.pagemap, state.page, state.then.as_slice());
            PagemapScan { pagemap, page, then, now: then, is_first: true }
                .run(state.entries.whole(), &mut state.current)?;
        }
    }
    state.held.clear();
    state.guards.clear();
    let this = page_store::ProcessMemory { pid: state.owner, file: -1 };
    for index in 0..state.current.len() {
        let Some(pages) = state.current.get(index) else { continue };
        let mut address = pages.range.start;
        while address < pages.range.end {
            // Pages in memory are taken whole; absent ones are read one by one, since a guard page can't be read.
            let length = if pages.is_absent { state.page.bytes() } else { pages.range.length() };
            let range = Range::new(address, address.wrapping_add(length));
            address = range.end;
            if pages.is_absent && page_store::check_access(this, range.start).is_err() {
                state.guards.push(range)?;
            } else {
                add_held(state, range)?;
            }
        }
    }
    Ok(())
}

fn add_held(state: &mut State, range: Range) -> Result<(), Refusal> {
    state.statistics.held_pages += state.page.pages(range.length()) as u64;
    match state.held.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _other => state.held.push(range)?,
    }
    Ok(())
}

fn make_process(state: &mut State) -> Result<(), Refusal> {
    let failed = |errno: Errno| Refusal::new(Reason::Clone, errno.into());
    let runner = snapshot_process::Runner::new(state.owner, state.own.runner_pidfd, state.has_sibling);
    state.snapshot_pid = snapshot_process::start(runner).map_err(failed)?;
    // A fork by a test need not copy the page tables of the engine's tables.
    let _advised = syscall::advise(state.bulk.start, state.bulk.length(), DONT_FORK);
    state.own.snapshot_pidfd = move_up(snapshot_process::open_pidfd(state.snapshot_pid)).map_err(failed)?;
    descriptors::record_later(state.own.snapshot_pidfd, &mut state.descriptors)?;
    let mut path = Path::new();
    path.push(b"/proc/");
    path.push_number(state.snapshot_pid);
    path.push(b"/mem");
    if let Ok(memory) = move_up(syscall::open(path.as_c_str(), libc::O_RDONLY)) {
        state.own.snapshot_memory = memory;
        descriptors::record_later(memory, &mut state.descriptors)?;
    }
    if let Some(readable) = state.then.as_slice().iter().find(|mapping| mapping.is_readable()) {
        page_store::check_access(state.snapshot_memory(), readable.range.start)?;
    }
    state.can_compare_descriptors = descriptors::can_compare(state.descriptors.as_slice(), state.pair())?;
    check_close_range()?;
    state.hot_set = HotSet::default();
    state.rewinds = 0;
    Ok(())
}

/// Linux 5.9. The range above all descriptors is empty.
fn check_close_range() -> Result<(), Refusal> {
    let last = u32::MAX as usize;
    // SAFETY: no memory is concerned.
    unsafe { syscall::call(libc::SYS_close_range, [last, last, 0]) }
        .map(drop)
        .map_err(|_errno| Refusal::new(Reason::Descriptor, descriptor(-1) as i64))
}
