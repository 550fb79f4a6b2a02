//! Signal dispositions, pending signals, the alternate stack, and timers.

use nix::libc;

use crate::rewind::proc_text::{self, Cursor};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno, pointer, pointer_mut};

/// Signals 1 to 64.
const SIGNALS: usize = 64;
/// Bytes of a signal set, as the kernel wants to be told.
const SET_BYTES: usize = 8;
/// `ITIMER_REAL`, `ITIMER_VIRTUAL`, `ITIMER_PROF`
const INTERVAL_TIMERS: [usize; 3] = [0, 1, 2];

/// The kernel's `struct sigaction`, which is the same on both architectures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Action {
    pub handler: usize,
    pub flags: u64,
    pub restorer: usize,
    pub mask: u64,
}

syscall::plain!(Action);

pub fn action_of(signal: usize) -> Option<Action> {
    let mut action: Action = syscall::zeroed();
    // SAFETY: the call writes one structure of the kernel's size.
    let read = unsafe { syscall::call(libc::SYS_rt_sigaction, [signal, 0, pointer_mut(&mut action), SET_BYTES]) };
    read.ok().map(|_read| action)
}

pub fn set_action(signal: usize, action: &Action) -> Result<(), Errno> {
    // SAFETY: the call reads one structure; its handler was set by the process itself, or is one of the engine.
    unsafe { syscall::call(libc::SYS_rt_sigaction, [signal, pointer(action), 0, SET_BYTES]) }.map(drop)
}

/// The set of pending signals of the process and this thread.
pub fn pending() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the call writes one set.
    let _always = unsafe { syscall::call(libc::SYS_rt_sigpending, [pointer_mut(&mut set), SET_BYTES]) };
    set
}

pub struct SignalRecord {
    actions: [Action; SIGNALS],
    stack: libc::stack_t,
}

fn stack_now() -> libc::stack_t {
    let mut stack: libc::stack_t = syscall::zeroed();
    // SAFETY: the call writes one structure.
    let _always = unsafe { syscall::call(libc::SYS_sigaltstack, [0, pointer_mut(&mut stack)]) };
    stack
}

impl SignalRecord {
    /// Refuses where a blocked signal is pending: a test might consume it, and nothing could bring it back.
    pub fn record(&mut self) -> Result<(), Refusal> {
        for (index, action) in self.actions.iter_mut().enumerate() {
            *action = action_of(index + 1).unwrap_or_else(syscall::zeroed);
        }
        self.stack = stack_now();
        match pending() {
            0 => Ok(()),
            set => Err(Refusal::new(Reason::PendingSignal, i64::from(set.trailing_zeros()) + 1)),
        }
    }

    /// Drops the signals of `flushed` that are pending, and puts back dispositions and the alternate stack.
    pub fn put_back(&self, flushed: u64) -> Result<(), Refusal> {
        let ignore = Action { handler: libc::SIG_IGN, flags: 0, restorer: 0, mask: 0 };
        for (index, action) in self.actions.iter().enumerate() {
            let signal = index + 1;
            if flushed >> index & 1 == 1 {
                let _flushed = set_action(signal, &ignore);
            }
            if action_of(signal).is_some_and(|now| now != *action) {
                let _set = set_action(signal, action);
            }
        }
        self.put_stack_back()
    }

    fn put_stack_back(&self) -> Result<(), Refusal> {
        let plain = |stack: &libc::stack_t| (stack.ss_sp, stack.ss_size, stack.ss_flags);
        if plain(&stack_now()) == plain(&self.stack) {
            return Ok(());
        }
        // SAFETY: the call reads one structure, which the kernel gave.
        unsafe { syscall::call(libc::SYS_sigaltstack, [pointer(&self.stack), 0]) }
            .map(drop)
            .map_err(|errno| Refusal::new(Reason::SignalStack, errno.into()))
    }
}

/// Disarms interval timers and deletes POSIX timers. A fork has neither.
pub fn stop_timers(buffer: &mut [u8]) {
    let never: libc::itimerval = syscall::zeroed();
    for timer in INTERVAL_TIMERS {
        // SAFETY: the call reads one structure.
        let _set = unsafe { syscall::call(libc::SYS_setitimer, [timer, pointer(&never), 0]) };
    }
    match proc_text::read_file(c"/proc/self/timers", buffer) {
        Ok(text) => delete_listed(text),
        Err(_no_list) => delete_up_to_next(),
    }
}

/// `ID: 0` begins the lines of one timer.
fn delete_listed(text: &[u8]) {
    let mut lines = Cursor::new(text);
    while let Some(line) = lines.line() {
        if let Some(number) = line.strip_prefix(b"ID: ").and_then(|rest| Cursor::new(rest).decimal()) {
            delete(number);
        }
    }
}

/// A kernel without `CONFIG_CHECKPOINT_RESTORE` has no list. Numbers of timers grow from 0, so a new one has the largest.
fn delete_up_to_next() {
    let mut next = 0_i32;
    let mut event = [0_u64; 8];
    // `sigev_notify`, the fourth half word: `SIGEV_NONE`.
    if let Some(notify) = event.get_mut(1) {
        *notify = u64::from(libc::SIGEV_NONE.unsigned_abs()) << 32;
    }
    let clock = libc::CLOCK_MONOTONIC as usize;
    // SAFETY: the call reads one `sigevent` (64 bytes) and writes one number.
    let made = unsafe { syscall::call(libc::SYS_timer_create, [clock, pointer(&event), pointer_mut(&mut next)]) };
    if made.is_ok() {
        (0..=next as usize).for_each(delete);
    }
}

fn delete(timer: usize) {
    // SAFETY: no memory is concerned; the timer belongs to the test.
    let _deleted = unsafe { syscall::call(libc::SYS_timer_delete, [timer]) };
}
