//! File descriptors: those of the snapshot are put back, those opened since are closed.
//!
//! The snapshot process holds every descriptor of the snapshot, so that one which a test closed or replaced can be
//! fetched from it. As for any child that inherits them, the other end of a pipe or socket therefore sees no end of file
//! while the snapshot process lives. Offsets and flags of an open file description are shared with all processes that
//! inherited it, as under a fork, and left alone.

use nix::libc;

use crate::rewind::area::Table;
use crate::rewind::proc_text;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno, descriptor};

/// `KCMP_FILE` of `linux/kcmp.h`.
const KCMP_FILE: usize = 0;
/// More would make each rewind slow: 1 µs for each.
pub const MAXIMUM: usize = 4096;

/// What a descriptor was at the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    pub number: i32,
    /// `FD_CLOEXEC`
    flags: usize,
    device: u64,
    inode: u64,
    special_device: u64,
    mode: u32,
    /// Belongs to the engine, so it can't be fetched if it is lost.
    is_own: bool,
    /// Opened after the snapshot process was made.
    is_later: bool,
}

impl Descriptor {
    fn of(number: i32, is_own: bool, is_later: bool) -> Result<Self, Errno> {
        let status = syscall::status_of(number)?;
        Ok(Self {
            number,
            flags: syscall::control(number, libc::F_GETFD, 0)?,
            device: status.st_dev,
            inode: status.st_ino,
            special_device: status.st_rdev,
            mode: status.st_mode,
            is_own,
            is_later,
        })
    }

    fn is_same_file(&self) -> bool {
        syscall::status_of(self.number).is_ok_and(|status| {
            (status.st_dev, status.st_ino, status.st_rdev, status.st_mode & libc::S_IFMT)
                == (self.device, self.inode, self.special_device, self.mode & libc::S_IFMT)
        })
    }

    /// Descriptors of the kernel's own objects (epoll, eventfd, …) share one inode, and have no type.
    fn has_no_identity(&self) -> bool {
        self.mode & libc::S_IFMT == 0
    }

    fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// The two processes that are compared.
#[derive(Clone, Copy)]
pub struct Pair {
    pub runner: i32,
    pub snapshot: i32,
    pub snapshot_pidfd: i32,
}

impl Pair {
    /// Whether a descriptor is the same open file description in both. Seccomp may forbid to ask.
    fn is_same_description(&self, fd: i32) -> Result<bool, Errno> {
        let (fd, runner, snapshot) = (descriptor(fd), self.runner as usize, self.snapshot as usize);
        // SAFETY: no memory is concerned.
        unsafe { syscall::call(libc::SYS_kcmp, [runner, snapshot, KCMP_FILE, fd, fd]) }.map(|order| order == 0)
    }
}

/// Records all descriptors, sorted. `own` are those that the engine opened.
pub fn record(buffer: &mut [u8], own: &[i32], out: &mut Table<Descriptor>) -> Result<(), Refusal> {
    out.clear();
    proc_text::for_each_number::<Failure>(c"/proc/self/fd", buffer, |number| {
        out.push(Descriptor::of(number, own.contains(&number), false)?)?;
        Ok(())
    })
    .map_err(|failure| failure.refusal())?;
    sort(out);
    Ok(())
}

/// Adds a descriptor that the engine opened after the snapshot process was made.
pub fn record_later(number: i32, out: &mut Table<Descriptor>) -> Result<(), Refusal> {
    let descriptor = Descriptor::of(number, true, true).map_err(|errno| Failure::from(errno).refusal())?;
    out.push(descriptor)?;
    sort(out);
    Ok(())
}

/// The list is sorted but for a few: the kernel lists descriptors in order.
fn sort(table: &mut Table<Descriptor>) {
    let descriptors = table.as_mut_slice();
    for end in 1..descriptors.len() {
        let mut place = end;
        while place > 0 && is_above(descriptors, place - 1, place) {
            descriptors.swap(place - 1, place);
            place -= 1;
        }
    }
}

fn is_above(descriptors: &[Descriptor], left: usize, right: usize) -> bool {
    descriptors.get(left).map(|one| one.number) > descriptors.get(right).map(|one| one.number)
}

/// Whether `kcmp` works; without it, descriptors without an identity of their own would be a guess.
pub fn can_compare(descriptors: &[Descriptor], pair: Pair) -> Result<bool, Refusal> {
    let mut inherited = descriptors.iter().filter(|one| !one.is_later);
    let Some(first) = inherited.next() else { return Ok(true) };
    if pair.is_same_description(first.number).is_ok() {
        return Ok(true);
    }
    match inherited.chain([first]).find(|one| one.has_no_identity() && !one.is_own) {
        Some(unknown) => Err(Refusal::new(Reason::UnknownDescriptor, unknown.number.into())),
        None => Ok(false),
    }
}

/// Checks that all descriptors are those of the snapshot, and fetches the others. Returns how many were fetched.
pub fn check(descriptors: &[Descriptor], pair: Pair, can_compare: bool) -> Result<u64, Refusal> {
    let is_lost = |one: &&Descriptor| {
        let is_compared = can_compare && !one.is_later;
        !one.is_same_file() || (is_compared && !pair.is_same_description(one.number).unwrap_or(false))
    };
    // The engine's own come first: the others are fetched by means of them.
    if let Some(lost) = descriptors.iter().filter(|one| one.is_own).find(is_lost) {
        return Err(Refusal::new(Reason::EngineDescriptor, lost.number.into()));
    }
    let mut fetched = 0;
    for lost in descriptors.iter().filter(is_lost) {
        fetch(lost, pair).map_err(|_errno| Refusal::new(Reason::Descriptor, lost.number.into()))?;
        fetched += 1;
    }
    Ok(fetched)
}

fn fetch(lost: &Descriptor, pair: Pair) -> Result<(), Errno> {
    let (pidfd, number) = (descriptor(pair.snapshot_pidfd), descriptor(lost.number));
    // SAFETY: no memory is concerned.
    let copy = unsafe { syscall::call(libc::SYS_pidfd_getfd, [pidfd, number, 0]) }? as i32;
    if copy == lost.number {
        return Ok(());
    }
    // SAFETY: no memory is concerned; what is replaced was opened by the test.
    let placed = unsafe { syscall::call(libc::SYS_dup3, [descriptor(copy), number, 0]) };
    syscall::close(copy);
    placed.map(drop)
}

/// Closes all descriptors that the snapshot did not have, and puts back flags and record locks.
pub fn put_back(descriptors: &[Descriptor]) -> Result<(), Refusal> {
    let mut next = 0;
    for one in descriptors {
        let number = one.number as u32;
        if number > next {
            close_range(next, number - 1)?;
        }
        next = number + 1;
    }
    close_range(next, u32::MAX)?;
    for one in descriptors {
        if syscall::control(one.number, libc::F_GETFD, 0) != Ok(one.flags) {
            let _set = syscall::control(one.number, libc::F_SETFD, one.flags);
        }
        if one.is_regular() {
            unlock(one.number);
        }
    }
    Ok(())
}

fn close_range(first: u32, last: u32) -> Result<(), Refusal> {
    // SAFETY: no memory is concerned; what is closed was opened by the test.
    unsafe { syscall::call(libc::SYS_close_range, [first as usize, last as usize, 0]) }
        .map(drop)
        .map_err(|_errno| Refusal::new(Reason::Descriptor, first.into()))
}

/// A fresh fork holds no record locks, so none can be taken away by mistake.
fn unlock(number: i32) {
    let lock = libc::flock { l_type: libc::F_UNLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    let _unlocked = syscall::control(number, libc::F_SETLK, syscall::pointer(&lock));
}

/// What can go wrong while a folder of `/proc` is read.
pub enum Failure {
    Errno(Errno),
    Refusal(Refusal),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl Failure {
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Errno(errno) => Refusal::new(Reason::ReadProc, (*errno).into()),
            Self::Refusal(Refusal { reason: Reason::TooMany, detail }) => {
                Refusal::new(Reason::TooManyDescriptors, *detail)
            }
            Self::Refusal(refusal) => *refusal,
        }
    }
}
