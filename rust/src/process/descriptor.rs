//! The open descriptors of this process, as the kernel describes them.

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// What tells two files apart. Epoll sets, eventfds and their like share one inode, and have no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    pub inode: u64,
    /// The bits of `S_IFMT`.
    pub kind: u32,
}

impl Identity {
    /// `None` if the number is no open descriptor.
    #[must_use]
    pub fn of(number: i32) -> Option<Self> {
        // SAFETY: an all-zero stat is a valid value; fstat writes to it and to nothing else.
        let (status, result) = unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            let result = libc::fstat(number, &raw mut status);
            (status, result)
        };
        (result == 0).then_some(Self {
            device: status.st_dev,
            inode: status.st_ino,
            kind: status.st_mode & libc::S_IFMT,
        })
    }
}

/// One number of the table of descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    pub number: i32,
    pub identity: Identity,
    /// The access mode and the status flags of its description.
    pub flags: i32,
}

/// All numbers of one open file description of this process.
#[derive(Debug)]
pub struct Description {
    pub numbers: Vec<i32>,
    pub flags: i32,
    pub identity: Identity,
}

impl Description {
    #[must_use]
    pub fn first(&self) -> i32 {
        self.numbers.first().copied().unwrap_or(-1)
    }

    /// The numbers that still lead there.
    pub fn still_open(&self) -> impl Iterator<Item = i32> {
        self.numbers.iter().copied().filter(|number| Identity::of(*number) == Some(self.identity))
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.still_open().next().is_some()
    }

    #[must_use]
    pub fn link(&self) -> String {
        link(self.first())
    }

    /// Puts a new description behind the numbers, with the flags that this one had. Returns how many there are.
    pub fn replace(&mut self, new: &OwnedFd) -> usize {
        let Some(identity) = Identity::of(new.as_raw_fd()) else { return 0 };
        if control(new.as_raw_fd(), libc::F_SETFL, self.flags).is_none() {
            return 0;
        }
        let replaced = self.still_open().filter(|number| put_behind(new, *number)).count();
        self.identity = identity;
        replaced
    }
}

/// All descriptors of this process, by number; none without `/proc`.
#[must_use]
pub fn all() -> Vec<Descriptor> {
    let Ok(folder) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut numbers: Vec<i32> = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    // The folder's own descriptor is closed by now.
    numbers.into_iter().filter_map(descriptor).collect()
}

fn descriptor(number: i32) -> Option<Descriptor> {
    Some(Descriptor { number, identity: Identity::of(number)?, flags: control(number, libc::F_GETFL, 0)? })
}

/// `fcntl` with a number as its argument.
pub fn control(number: i32, command: i32, argument: i32) -> Option<i32> {
    // SAFETY: the callers' commands take a number or nothing; a bad descriptor fails with EBADF.
    let result = unsafe { libc::fcntl(number, command, argument) };
    (result >= 0).then_some(result)
}

/// The system's own name of an open file; "" if there is none.
#[must_use]
pub fn link(number: i32) -> String {
    let target = fs::read_link(format!("/proc/self/fd/{number}"));
    target.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The lines of `/proc/self/fdinfo`; "" if there are none.
#[must_use]
pub fn info(number: i32) -> String {
    fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default()
}

/// What stands behind a name in the lines of [`info`].
#[must_use]
pub fn field<'info>(info: &'info str, name: &str) -> Option<&'info str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `KCMP_FILE` of `linux/kcmp.h`.
const KCMP_FILE: i32 = 0;

/// Whether two numbers are one open file description; `None` where seccomp forbids to ask.
#[must_use]
pub fn is_same_description(one: i32, other: i32) -> Option<bool> {
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: no memory is concerned.
    match unsafe { libc::syscall(libc::SYS_kcmp, own, own, KCMP_FILE, one, other) } {
        -1 => None,
        order => Some(order == 0),
    }
}

/// Whether something can be read from it now, the end of the file included.
#[must_use]
pub fn is_readable(number: i32) -> bool {
    let mut wanted = libc::pollfd { fd: number, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, owned by this frame.
    unsafe { libc::poll(&raw mut wanted, 1, 0) != 0 }
}

/// An option of a socket that is a number.
#[must_use]
pub fn socket_option(number: i32, option: i32) -> Option<i32> {
    let mut value = 0_i32;
    let mut length = SIZE_OF_INT;
    // SAFETY: the value and its length are this frame's.
    let result =
        unsafe { libc::getsockopt(number, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}

/// Sets an option of a socket that is a number. What the system refuses stays as it was.
pub fn set_socket_option(number: i32, option: i32, value: i32) {
    // SAFETY: the value is this frame's.
    unsafe { libc::setsockopt(number, libc::SOL_SOCKET, option, (&raw const value).cast(), SIZE_OF_INT) };
}

const SIZE_OF_INT: libc::socklen_t = 4;

/// Opens a file anew by the path of a descriptor.
#[must_use]
pub fn open_again(number: i32, flags: i32) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{number}\0");
    let path = CStr::from_bytes_with_nul(path.as_bytes()).ok()?;
    // SAFETY: the path is a valid C string; open has no other precondition.
    owned(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })
}

/// What a system call returned as a new descriptor.
#[must_use]
pub fn owned(result: i32) -> Option<OwnedFd> {
    // SAFETY: the callers pass what a system call has just returned, so nobody else owns the descriptor.
    (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
}

/// Puts a description behind a number that is open already. `FD_CLOEXEC` stays as it is.
pub fn put_behind(new: &OwnedFd, number: i32) -> bool {
    let Some(flags) = control(number, libc::F_GETFD, 0) else { return false };
    let flags = if flags & libc::FD_CLOEXEC == 0 { 0 } else { libc::O_CLOEXEC };
    // SAFETY: what is replaced is the caller's choice; a bad number fails with EBADF.
    unsafe { libc::dup3(new.as_raw_fd(), number, flags) == number }
}
