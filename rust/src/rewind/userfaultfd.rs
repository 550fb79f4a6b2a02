//! Write protection without a handler: userfaultfd in asynchronous mode, Linux 6.7.
//!
//! The kernel itself removes the protection of a page at the first write, by user space or by the kernel. No fault is
//! ever delivered, so user-mode-only, which needs no privilege, loses nothing.

use nix::libc;

use crate::rewind::area::Range;
use crate::rewind::syscall::{self, Errno, descriptor, pointer_mut};

/// From `linux/userfaultfd.h`.
const USER_MODE_ONLY: i32 = 1;
const API: u64 = 0xaa;
const FEATURE_PAGEFAULT_FLAG_WP: u64 = 1;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 2;

/// `struct uffdio_api`
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`
#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

/// `_IOWR(0xaa, number, type)`
const fn command<T>(number: usize) -> usize {
    0xc000_0000 | size_of::<T>() << 16 | 0xaa << 8 | number
}

const UFFDIO_API: usize = command::<Api>(0x3f);
const UFFDIO_REGISTER: usize = command::<Register>(0x00);

pub fn open() -> Result<i32, Errno> {
    let flags = (libc::O_CLOEXEC | libc::O_NONBLOCK | USER_MODE_ONLY) as usize;
    // SAFETY: no memory is concerned.
    let fd = unsafe { syscall::call(libc::SYS_userfaultfd, [flags]) }? as i32;
    let mut api = Api { api: API, features: FEATURE_WP_ASYNC | FEATURE_PAGEFAULT_FLAG_WP, ioctls: 0 };
    // SAFETY: the call reads and writes one structure.
    match unsafe { syscall::call(libc::SYS_ioctl, [descriptor(fd), UFFDIO_API, pointer_mut(&mut api)]) } {
        Ok(_agreed) => Ok(fd),
        Err(errno) => {
            syscall::close(fd);
            Err(errno)
        }
    }
}

pub fn register(fd: i32, range: Range) -> Result<(), Errno> {
    let (start, length) = (range.start as u64, range.length() as u64);
    let mut register = Register { start, length, mode: REGISTER_MODE_WP, ioctls: 0 };
    // SAFETY: the call reads and writes one structure.
    unsafe { syscall::call(libc::SYS_ioctl, [descriptor(fd), UFFDIO_REGISTER, pointer_mut(&mut register)]) }.map(drop)
}
