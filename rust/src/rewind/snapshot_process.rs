//! The snapshot process: a fork that does nothing but keep the memory of the snapshot, until its runner ends.

use nix::libc;

use crate::rewind::syscall::{self, Errno, pointer, pointer_mut};

/// `PR_SET_PTRACER`: Yama's permission for the runner to read the memory.
const PR_SET_PTRACER: i32 = 0x5961_6d61;
/// At most 15 bytes and a zero.
const NAME_BYTES: usize = 16;
/// The name that a snapshot process shows in `/proc`.
pub const NAME: &std::ffi::CStr = c"hotreload-snap";
/// `__WALL`: also children without an exit signal.
const WAIT_FOR_ALL: usize = 0x4000_0000;

/// The process whose memory is kept.
#[derive(Clone, Copy)]
pub struct Runner {
    pub pid: i32,
    pub pidfd: i32,
    /// Whether the snapshot process becomes a sibling of the runner, which a test does not find among its children.
    has_sibling: bool,
}

impl Runner {
    pub fn new(pid: i32, pidfd: i32, has_sibling: bool) -> Self {
        Self { pid, pidfd, has_sibling }
    }
}

pub fn open_pidfd(pid: i32) -> Result<i32, Errno> {
    // SAFETY: no memory is concerned.
    unsafe { syscall::call(libc::SYS_pidfd_open, [pid as usize, 0]) }.map(|fd| fd as i32)
}

/// Forks the snapshot process and returns its pid. As a child it has no exit signal, so that no `wait` of a test sees it
/// (but for `__WALL` and `__WCLONE`); as a sibling it is reaped by the runner's parent. All signals must be blocked: they
/// are in the snapshot process, for good.
pub fn start(runner: Runner) -> Result<i32, Errno> {
    // The name is set before the fork and inherited: it is there as soon as the process is.
    let mut name = [0_u8; NAME_BYTES];
    let _read = syscall::process_control(libc::PR_GET_NAME, pointer_mut(&mut name));
    let _named = syscall::process_control(libc::PR_SET_NAME, NAME.as_ptr() as usize);
    let flags = if runner.has_sibling { libc::CLONE_PARENT as usize } else { 0 };
    // SAFETY: a plain fork by the kernel; the child goes on on its copy of the engine's stack and never returns.
    let forked = unsafe { syscall::call(libc::SYS_clone, [flags, 0, 0, 0, 0]) };
    if forked == Ok(0) {
        live(runner);
    }
    let _renamed = syscall::process_control(libc::PR_SET_NAME, pointer(&name));
    forked.map(|pid| pid as i32)
}

/// Waits for the end of the runner: the poll can't miss it, even if the runner has ended already. The parent-death signal
/// is a second means.
fn live(runner: Runner) -> ! {
    let _armed = syscall::process_control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
    let _allowed = syscall::process_control(PR_SET_PTRACER, runner.pid as usize);
    while !has_ended(runner.pidfd, None) {}
    syscall::exit_group(0)
}

/// Polls a pidfd: without a limit, or just looks.
pub fn has_ended(pidfd: i32, limit: Option<&libc::timespec>) -> bool {
    let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    let arguments = [pointer_mut(&mut poll), 1, limit.map_or(0, pointer), 0, 0];
    // SAFETY: one pollfd, and one timespec or none.
    match unsafe { syscall::call(libc::SYS_ppoll, arguments) } {
        // A descriptor that is none ends a wait, and is no answer to a look.
        Ok(ready) => ready > 0 && (limit.is_none() || poll.revents & libc::POLLIN != 0),
        Err(libc::EINTR) => false,
        Err(_bad) => true,
    }
}

/// Ends it, and reaps it if it is a child.
pub fn end(pid: i32) {
    // SAFETY: no memory is concerned; the pid is that of a child that was not reaped.
    let _sent = unsafe { syscall::call(libc::SYS_kill, [pid as usize, libc::SIGKILL as usize]) };
    // SAFETY: the call may leave the status out.
    let _reaped = unsafe { syscall::call(libc::SYS_wait4, [pid as usize, 0, WAIT_FOR_ALL, 0]) };
}
