//! System calls without libc.
//!
//! libc's wrappers write `errno` into thread-local storage, which is memory that the engine restores. Only the numbers
//! are taken from libc; both supported architectures are 64-bit, so all arguments are one register each.

use std::ffi::CStr;

use nix::libc;

/// An error number, positive.
pub type Errno = i32;

/// The kernel returns errors as -4095 to -1.
const LAST_ERRNO: isize = -4095;

/// Makes a system call.
///
/// # Safety
///
/// The arguments must be valid for the call: pointers must point to memory of the size that the call reads or writes.
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn raw(number: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the kernel changes rax, rcx and r11 only.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes a system call.
///
/// # Safety
///
/// The arguments must be valid for the call: pointers must point to memory of the size that the call reads or writes.
#[cfg(target_arch = "aarch64")]
#[inline]
pub unsafe fn raw(number: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the kernel changes x0 only.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// Makes a system call with up to six arguments and tells success and failure apart.
///
/// # Safety
///
/// As for `raw`.
#[inline]
pub unsafe fn call<const N: usize>(number: i64, arguments: [usize; N]) -> Result<usize, Errno> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the caller's duty.
    let result = unsafe { raw(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if (LAST_ERRNO..0).contains(&result) { Err(-result as Errno) } else { Ok(result as usize) }
}

/// A pointer to a value as an argument.
pub fn pointer<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}

/// A pointer to a value that the call changes, as an argument.
pub fn pointer_mut<T>(value: &mut T) -> usize {
    std::ptr::from_mut(value) as usize
}

/// A file descriptor as an argument; a negative one becomes one that no call accepts.
pub fn descriptor(fd: i32) -> usize {
    fd as isize as usize
}

pub fn open(path: &CStr, flags: i32) -> Result<i32, Errno> {
    let at = descriptor(libc::AT_FDCWD);
    // SAFETY: the path is a C string.
    let fd = unsafe { call(libc::SYS_openat, [at, path.as_ptr() as usize, (flags | libc::O_CLOEXEC) as usize, 0]) }?;
    Ok(fd as i32)
}

pub fn close(fd: i32) {
    // SAFETY: no memory is concerned; the engine closes its own descriptors only.
    let _closed = unsafe { call(libc::SYS_close, [descriptor(fd)]) };
}

pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of one slice.
    unsafe { call(libc::SYS_read, [descriptor(fd), buffer.as_mut_ptr() as usize, buffer.len()]) }
}

pub fn write(fd: i32, buffer: &[u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of one slice.
    unsafe { call(libc::SYS_write, [descriptor(fd), buffer.as_ptr() as usize, buffer.len()]) }
}

pub fn read_at(fd: i32, buffer: &mut [u8], offset: usize) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of one slice.
    unsafe { call(libc::SYS_pread64, [descriptor(fd), buffer.as_mut_ptr() as usize, buffer.len(), offset]) }
}

pub fn rewind_file(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory is concerned.
    unsafe { call(libc::SYS_lseek, [descriptor(fd), 0, libc::SEEK_SET as usize]) }.map(drop)
}

/// An all-zero value of a plain C structure.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` says that all zeros is a value of the type.
    unsafe { std::mem::zeroed() }
}

/// # Safety
///
/// All zeros must be a valid value.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        $(
            // SAFETY: a C structure of integers (and null pointers), for which zeros are valid.
            unsafe impl $crate::rewind::syscall::Plain for $name {}
        )*
    };
}
pub(crate) use plain;

plain!(libc::stat, libc::timespec, libc::itimerval, libc::rlimit64, libc::stack_t, libc::siginfo_t, libc::iovec);
plain!(u64, u32, u8, i32);

pub fn status_of(fd: i32) -> Result<libc::stat, Errno> {
    let mut status: libc::stat = zeroed();
    // SAFETY: the call writes one stat structure.
    unsafe { call(libc::SYS_fstat, [descriptor(fd), pointer_mut(&mut status)]) }?;
    Ok(status)
}

pub fn status_at(path: &CStr) -> Result<libc::stat, Errno> {
    let mut status: libc::stat = zeroed();
    let arguments = [descriptor(libc::AT_FDCWD), path.as_ptr() as usize, pointer_mut(&mut status), 0];
    // SAFETY: the path is a C string; the call writes one stat structure.
    unsafe { call(libc::SYS_newfstatat, arguments) }?;
    Ok(status)
}

/// The `fcntl` commands that take a number.
pub fn control(fd: i32, command: i32, argument: usize) -> Result<usize, Errno> {
    // SAFETY: the engine uses commands without pointers here, and one with a pointer to a valid `flock`.
    unsafe { call(libc::SYS_fcntl, [descriptor(fd), command as usize, argument]) }
}

/// The calls without arguments that never fail.
fn id(number: i64) -> i32 {
    // SAFETY: these calls take no arguments.
    unsafe { call::<0>(number, []) }.map_or(-1, |value| value as i32)
}

pub fn process_id() -> i32 {
    id(libc::SYS_getpid)
}

pub fn thread_id() -> i32 {
    id(libc::SYS_gettid)
}

pub fn process_control(option: i32, argument: usize) -> Result<usize, Errno> {
    // SAFETY: the engine passes numbers, or pointers that are valid for the option.
    unsafe { call(libc::SYS_prctl, [option as usize, argument, 0, 0, 0]) }
}

/// The system call, since the vDSO's function is not known here; 0.1 µs.
pub fn monotonic_ns() -> u64 {
    let mut time: libc::timespec = zeroed();
    // SAFETY: the call writes one timespec.
    let _always = unsafe { call(libc::SYS_clock_gettime, [libc::CLOCK_MONOTONIC as usize, pointer_mut(&mut time)]) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

pub fn sleep_us(microseconds: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: microseconds * 1000 };
    // SAFETY: the call reads one timespec.
    let _done = unsafe { call(libc::SYS_nanosleep, [pointer(&time), 0]) };
}

/// Ends the process without any cleanup.
pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: the call does not return.
        let _never = unsafe { call(libc::SYS_exit_group, [status as usize]) };
    }
}

/// Blocks all signals and returns the mask of before.
pub fn block_signals() -> u64 {
    change_signal_mask(u64::MAX)
}

/// Sets the signal mask and returns the mask of before.
pub fn change_signal_mask(mask: u64) -> u64 {
    let mut before = 0_u64;
    let arguments = [libc::SIG_SETMASK as usize, pointer(&mask), pointer_mut(&mut before), size_of::<u64>()];
    // SAFETY: both masks are 8 bytes, which the call is told.
    let _always = unsafe { call(libc::SYS_rt_sigprocmask, arguments) };
    before
}

pub fn protect(start: usize, length: usize, protection: u8) -> Result<(), Errno> {
    // SAFETY: the engine changes only mappings that it is about to restore.
    unsafe { call(libc::SYS_mprotect, [start, length, usize::from(protection)]) }.map(drop)
}

pub fn advise(start: usize, length: usize, advice: i32) -> Result<(), Errno> {
    // SAFETY: the engine gives up contents only of mappings that it restores, or that a fork would have wiped.
    unsafe { call(libc::SYS_madvise, [start, length, advice as usize]) }.map(drop)
}
