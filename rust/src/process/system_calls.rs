//! The clock, sending and leaving, as system calls that no test can replace.
//!
//! Tests replace `time.monotonic`, `socket.send` and `os._exit` by fixtures, for good, or in C (time-machine swaps the
//! function behind the Python object). The system calls that are made here are out of their reach.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;

/// Nanoseconds of the clock that `time.monotonic()` reads on Linux, and that all processes of a machine share.
#[must_use]
pub fn monotonic_ns() -> i64 {
    // SAFETY: an all-zero timespec is a valid value; the call writes to it and to nothing else.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    #[allow(clippy::useless_conversion, reason = "not 64 bits everywhere")]
    let (seconds, rest) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Nanoseconds since 1970; 0 on a machine whose clock is set before that.
#[must_use]
pub fn time_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Writes all of a frame to a socket. A signal does not tear it: its Python handler runs after the call.
pub fn send_all(socket: i32, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        // SAFETY: the pointer and the length are those of one slice; a bad descriptor fails with EBADF.
        let sent = unsafe { libc::send(socket, data.as_ptr().cast(), data.len(), NO_SIGNAL) };
        match usize::try_from(sent) {
            Ok(sent) => data = data.get(sent..).unwrap_or(&[]),
            Err(_negative) => wait_or_fail(socket, io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// A test that inherited the socket may have made it non-blocking: the flag belongs to all who share it.
fn wait_or_fail(socket: i32, error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => {
            let mut writable = libc::pollfd { fd: socket, events: libc::POLLOUT, revents: 0 };
            // SAFETY: one pollfd, owned by this frame.
            unsafe { libc::poll(&raw mut writable, 1, -1) };
            Ok(())
        }
        _other => Err(error),
    }
}

/// SIGPIPE would end the process without a word; the error tells the same.
#[cfg(target_os = "linux")]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: i32 = 0;

/// Ends this process now, as `os._exit` does.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(status) }
}
