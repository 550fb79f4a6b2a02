//! Threads and child processes that a test left.
//!
//! Threads are ended: all their memory goes, as at the end of a forked child. Children are waited for, and refused if
//! they still run.

use nix::libc;

use crate::rewind::descriptors::Failure;
use crate::rewind::proc_text::{self, Cursor};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::signals::{self, Action};
use crate::rewind::syscall::{self, pointer_mut};

/// glibc's and musl's signal for `pthread_cancel`, which they let nobody block.
const CANCEL_SIGNAL: usize = 32;
/// `SA_RESTORER`: x86-64 demands one, although the handler never returns.
const SA_RESTORER: u64 = 0x0400_0000;
/// A thread ends within 0.1 ms of the signal; a child that was killed within some. 400 waits of 50 µs are 20 ms.
const WAITS: usize = 400;
const WAIT_US: i64 = 50;
/// Two seconds: a thread that has the signal ends for certain, but at load 19 on two cores 20 ms were too short.
const THREAD_WAITS: usize = 40_000;
/// How often the signal is sent again, for threads that were started meanwhile.
const WAITS_BETWEEN_SIGNALS: usize = 20;

/// Ends the thread that it runs in. It uses no stack besides the kernel's frame, and no thread-local storage.
extern "C" fn end_thread(_signal: i32) {
    loop {
        // SAFETY: the call does not return, and ends this thread only.
        let _never = unsafe { syscall::call(libc::SYS_exit, [0]) };
    }
}

/// The number of threads: `/proc/self/task` has a link for each, and two of its own.
pub fn count() -> Result<u64, Refusal> {
    let status =
        syscall::status_at(c"/proc/self/task").map_err(|errno| Refusal::new(Reason::ReadProc, errno.into()))?;
    #[allow(clippy::useless_conversion, reason = "32 bits on arm64")]
    Ok(u64::from(status.st_nlink).saturating_sub(2))
}

/// Ends all threads but the calling one, which is the main thread. Returns how many signals were sent.
pub fn end_others(main: i32, buffer: &mut [u8]) -> Result<u64, Refusal> {
    let mut sent = 0;
    for wait in 0..THREAD_WAITS {
        let threads = count()?;
        if threads == 1 {
            return Ok(sent);
        }
        if wait % WAITS_BETWEEN_SIGNALS == 0 {
            sent += signal_others(main, buffer)?;
        }
        syscall::sleep_us(WAIT_US);
    }
    Err(Refusal::new(Reason::ThreadsRemain, count()? as i64))
}

fn signal_others(main: i32, buffer: &mut [u8]) -> Result<u64, Refusal> {
    let handler = end_thread as extern "C" fn(i32) as usize;
    let action = Action { handler, flags: SA_RESTORER, restorer: handler, mask: u64::MAX };
    signals::set_action(CANCEL_SIGNAL, &action).map_err(|errno| Refusal::new(Reason::ThreadsRemain, errno.into()))?;
    let mut sent = 0;
    proc_text::for_each_number::<Failure>(c"/proc/self/task", buffer, |thread| {
        if thread != main {
            // SAFETY: no memory is concerned.
            let _sent = unsafe { syscall::call(libc::SYS_tgkill, [main as usize, thread as usize, CANCEL_SIGNAL]) };
            sent += 1;
        }
        Ok(())
    })
    .map_err(|failure| failure.refusal())?;
    Ok(sent)
}

/// Reaps ended children and waits for those that end just now; refuses where one still runs.
pub fn check_children(main: i32, snapshot_process: i32, buffer: &mut [u8]) -> Result<(), Refusal> {
    for _wait in 0..WAITS {
        reap();
        match other_child(main, snapshot_process, buffer)? {
            None => return Ok(()),
            Some(_running) => syscall::sleep_us(WAIT_US),
        }
    }
    match other_child(main, snapshot_process, buffer)? {
        None => Ok(()),
        Some(pid) => Err(Refusal::new(Reason::ChildRuns, pid.into())),
    }
}

/// The snapshot process is not seen by this wait, as it has no exit signal.
fn reap() {
    let options = (libc::WEXITED | libc::WNOHANG) as usize;
    loop {
        let mut found: libc::siginfo_t = syscall::zeroed();
        let arguments = [libc::P_ALL as usize, 0, pointer_mut(&mut found), options, 0];
        // SAFETY: the call writes one structure.
        let waited = unsafe { syscall::call(libc::SYS_waitid, arguments) };
        // SAFETY: zeros, or what the kernel wrote for a child.
        if waited.is_err() || unsafe { found.si_pid() } == 0 {
            return;
        }
    }
}

/// The pid of a child other than the snapshot process. The list also has children without an exit signal.
fn other_child(main: i32, snapshot_process: i32, buffer: &mut [u8]) -> Result<Option<i32>, Refusal> {
    let mut path = Path::new();
    path.push(b"/proc/self/task/");
    path.push_number(main);
    path.push(b"/children");
    let text = match proc_text::read_file(path.as_c_str(), buffer) {
        Ok(text) => text,
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(libc::ENOENT) => return Ok(any_child()),
        Err(errno) => return Err(Refusal::new(Reason::ReadProc, errno.into())),
    };
    let mut pids = Cursor::new(text);
    let mut other = None;
    while let Some(pid) = pids.decimal() {
        pids.skip_blanks();
        other = other.or_else(|| i32::try_from(pid).ok().filter(|pid| *pid != snapshot_process));
    }
    Ok(other)
}

/// 0 stands for a child whose pid is not known.
fn any_child() -> Option<i32> {
    let options = (libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) as usize;
    // SAFETY: the call may leave the structure out.
    unsafe { syscall::call(libc::SYS_waitid, [libc::P_ALL as usize, 0, 0, options, 0]) }.ok().map(|_waited| 0)
}

/// A short path that is put together without an allocation.
///
/// The longest is `/proc/self/task/2147483647/children`.
pub struct Path {
    bytes: [u8; 48],
    length: usize,
}

impl Path {
    pub const fn new() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }

    pub fn push(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    pub fn push_number(&mut self, number: i32) {
        let mut digits = [0_u8; 10];
        let mut first = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            first -= 1;
            if let Some(digit) = digits.get_mut(first) {
                *digit = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 || first == 0 {
                break;
            }
        }
        self.push(digits.get(first..).unwrap_or(&[]));
    }

    pub fn as_c_str(&self) -> &std::ffi::CStr {
        std::ffi::CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
