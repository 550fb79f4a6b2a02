//! Restores the modes of a terminal after the process that changed them was killed.
//!
//! The watcher changes the modes of the user's terminal, so that keys arrive one by one. SIGKILL leaves it no time to
//! restore them. Its child, the template, does so in the handler that ends it (see `process/guard.rs`).

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;

/// The flags of Python's `termios.tcgetattr`: input, output, control, local.
pub type Flags = (libc::tcflag_t, libc::tcflag_t, libc::tcflag_t, libc::tcflag_t);

/// Told to a terminal when keys are over: pasted text comes without brackets again (xterm's mode 2004).
const PASTES_OFF: &[u8] = b"\x1b[?2004l";

const CTRL_C: libc::cc_t = 3;

struct Found(UnsafeCell<MaybeUninit<libc::termios>>);

// SAFETY: written by `remember` alone, before `OWNER` names a process; read only where `OWNER` is this process. A
// handler that interrupts `remember` finds no owner.
unsafe impl Sync for Found {}

static FOUND: Found = Found(UnsafeCell::new(MaybeUninit::uninit()));
/// The pid of the one process that restores: forked copies of it inherit these values, and have another pid.
static OWNER: AtomicI32 = AtomicI32::new(0);
static TERMINAL: AtomicI32 = AtomicI32::new(-1);

/// When this process ends because its parent did: give the terminal these modes. The descriptor must stay open.
pub fn remember(terminal: i32, flags: Flags, characters: &[u8]) -> io::Result<()> {
    let mut modes = current(terminal)?;
    (modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag) = flags;
    for (to, from) in modes.c_cc.iter_mut().zip(characters) {
        *to = *from;
    }
    OWNER.store(0, Ordering::SeqCst);
    // SAFETY: nobody reads while there is no owner, and Python calls this with one thread at a time.
    unsafe { (*FOUND.0.get()).write(modes) };
    TERMINAL.store(terminal, Ordering::SeqCst);
    OWNER.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
    Ok(())
}

/// Puts back what was remembered in this process, unless the terminal has other modes than a keyboard's by now:
/// then a shell has it. Also for a signal handler; and from the background, where SIGTTOU would stop us.
pub fn put_back() {
    // SAFETY: getpid, tcgetattr, pthread_sigmask and those of sets, tcsetattr, poll and write are
    // async-signal-safe; an all-zero signal set is a valid value; `FOUND` is initialised wherever there is an owner.
    unsafe {
        if libc::getpid() != OWNER.load(Ordering::SeqCst) {
            return;
        }
        let terminal = TERMINAL.load(Ordering::SeqCst);
        let found = (*FOUND.0.get()).assume_init_ref();
        let Ok(now) = current(terminal) else { return };
        if !is_keyboards(&now, found) {
            return;
        }
        // Not undone: a process that restores modes is about to end.
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::tcsetattr(terminal, libc::TCSANOW, std::ptr::from_ref(found));
        // Output that is halted (Ctrl-S) must not hold up our end.
        let mut output = libc::pollfd { fd: terminal, events: libc::POLLOUT, revents: 0 };
        if libc::poll(&raw mut output, 1, 0) > 0 && output.revents & libc::POLLOUT != 0 {
            libc::write(terminal, PASTES_OFF.as_ptr().cast(), PASTES_OFF.len());
        }
    }
}

/// As `watch/keyboard.py` makes them of what it found: no echo, no lines, signals. Or for a prompt: both, and Ctrl-C
/// ends the line.
fn is_keyboards(now: &libc::termios, found: &libc::termios) -> bool {
    let line = libc::ECHO | libc::ICANON | libc::IEXTEN;
    let asks = now.c_lflag == found.c_lflag | line | libc::ISIG && now.c_cc[libc::VEOL2] == CTRL_C;
    now.c_iflag == found.c_iflag
        && now.c_oflag == found.c_oflag
        && (asks || now.c_lflag == (found.c_lflag & !(libc::ECHO | libc::ICANON)) | libc::ISIG)
}

fn current(terminal: i32) -> io::Result<libc::termios> {
    let mut modes = MaybeUninit::uninit();
    // SAFETY: tcgetattr fills the structure where it succeeds; a bad descriptor fails with EBADF.
    unsafe {
        match libc::tcgetattr(terminal, modes.as_mut_ptr()) {
            0 => Ok(modes.assume_init()),
            _failed => Err(io::Error::last_os_error()),
        }
    }
}
