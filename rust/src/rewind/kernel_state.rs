//! The state of a process that the kernel keeps: recorded, checked before a rewind, and put back.
//!
//! Signals, descriptors, threads and mappings have modules of their own. What can't be put back is checked; a difference
//! refuses the rewind. `docs/design/rewind.md` has the whole table.

use std::ffi::CStr;

use nix::libc;

use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::status::StatusRecord;
use crate::rewind::syscall::{self, Errno, descriptor, pointer, pointer_mut};

/// Resource limits 0 to 15.
const LIMITS: usize = 16;
/// 128 words: 8,192 processors, the most that Linux is built for.
const AFFINITY_WORDS: usize = 128;
/// Of `PR_SET_NAME`.
const NAME_BYTES: usize = 16;
/// Numbers and masks in `/proc/self` are shorter.
const TEXT_BYTES: usize = 32;

/// `prctl` options of `linux/prctl.h` whose result is the value. A difference refuses.
const COMPARED_OPTIONS: [i32; 6] = [
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_KEEPCAPS,
    libc::PR_GET_SECUREBITS,
    libc::PR_GET_THP_DISABLE,
    66, // PR_GET_MDWE
    68, // PR_GET_MEMORY_MERGE
];
const NAMESPACES: [&CStr; 8] = [
    c"/proc/self/ns/mnt",
    c"/proc/self/ns/net",
    c"/proc/self/ns/user",
    c"/proc/self/ns/pid_for_children",
    c"/proc/self/ns/ipc",
    c"/proc/self/ns/uts",
    c"/proc/self/ns/cgroup",
    c"/proc/self/ns/time_for_children",
];

/// `struct sched_attr` of `linux/sched/types.h`.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(C)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    clamp_minimum: u32,
    clamp_maximum: u32,
}

syscall::plain!(Scheduling);

/// A short file of `/proc/self` that can be written.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Setting {
    text: [u8; TEXT_BYTES],
    length: usize,
}

impl Setting {
    fn read(path: &CStr) -> Self {
        let mut text = [0; TEXT_BYTES];
        let length = syscall::open(path, libc::O_RDONLY).and_then(|fd| {
            let length = syscall::read(fd, &mut text);
            syscall::close(fd);
            length
        });
        Self { text, length: length.unwrap_or(0) }
    }

    /// `prefix` makes a number of the text that the kernel reads as it wrote it.
    fn put_back(&self, path: &CStr, prefix: &[u8]) -> Result<(), Errno> {
        if Self::read(path) == *self {
            return Ok(());
        }
        let mut text = [0; TEXT_BYTES + 2];
        let number = self.text.get(..self.length).unwrap_or(&[]);
        for (place, byte) in text.iter_mut().zip(prefix.iter().chain(number)) {
            *place = *byte;
        }
        let fd = syscall::open(path, libc::O_WRONLY)?;
        let written = syscall::write(fd, text.get(..prefix.len() + number.len()).unwrap_or(&[]));
        syscall::close(fd);
        written.map(drop)
    }
}

const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";
const CORE_DUMP_FILTER: &CStr = c"/proc/self/coredump_filter";

pub struct KernelRecord {
    status: StatusRecord,
    /// Results, errors as negative numbers.
    options: [isize; COMPARED_OPTIONS.len()],
    personality: usize,
    session: usize,
    process_group: usize,
    namespaces: [u64; NAMESPACES.len()],
    root: (u64, u64),
    gs_base: u64,
    /// Open on the working folder, which a path could not name once it is moved.
    folder: i32,
    umask: usize,
    limits: [libc::rlimit64; LIMITS],
    scheduling: Scheduling,
    affinity: [u64; AFFINITY_WORDS],
    affinity_bytes: usize,
    io_priority: usize,
    parent_death_signal: i32,
    is_subreaper: i32,
    timer_slack: usize,
    name: [u8; NAME_BYTES],
    oom_score: Setting,
    core_dump_filter: Setting,
}

/// A call that only returns a number.
fn ask(number: i64, argument: usize) -> usize {
    // SAFETY: these calls take numbers only.
    unsafe { syscall::call(number, [argument, 0]) }.unwrap_or(usize::MAX)
}

/// The options whose result is the value; an error is a value, too.
fn option_now(option: i32) -> isize {
    syscall::process_control(option, 0).map_or_else(|errno| -(errno as isize), |value| value as isize)
}

/// The options that write an integer.
fn ask_option(option: i32) -> i32 {
    let mut value = 0_i32;
    let _read = syscall::process_control(option, pointer_mut(&mut value));
    value
}

fn identity(path: &CStr) -> (u64, u64) {
    syscall::status_at(path).map_or((0, 0), |status| (status.st_dev, status.st_ino))
}

fn limit_of(number: usize, new: Option<&libc::rlimit64>) -> Result<libc::rlimit64, Errno> {
    let mut before: libc::rlimit64 = syscall::zeroed();
    let new = new.map_or(0, pointer);
    // SAFETY: the call reads and writes one structure each.
    unsafe { syscall::call(libc::SYS_prlimit64, [0, number, new, pointer_mut(&mut before)]) }?;
    Ok(before)
}

fn scheduling_now() -> Scheduling {
    let mut scheduling: Scheduling = syscall::zeroed();
    let size = size_of::<Scheduling>();
    // SAFETY: the call writes one structure, whose size it is told.
    let _read = unsafe { syscall::call(libc::SYS_sched_getattr, [0, pointer_mut(&mut scheduling), size, 0]) };
    scheduling
}

fn affinity_now(words: &mut [u64; AFFINITY_WORDS]) -> usize {
    // SAFETY: the call writes at most the bytes that it is told.
    unsafe { syscall::call(libc::SYS_sched_getaffinity, [0, size_of_val(words), pointer_mut(words)]) }.unwrap_or(0)
}

fn name_now() -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    let _read = syscall::process_control(libc::PR_GET_NAME, pointer_mut(&mut name));
    name
}

/// No C library uses the register; a test could set it by `arch_prctl`.
#[cfg(target_arch = "x86_64")]
fn gs_base() -> u64 {
    const ARCH_GET_GS: usize = 0x1004;
    let mut base = 0_u64;
    // SAFETY: the call writes one word.
    let _read = unsafe { syscall::call(libc::SYS_arch_prctl, [ARCH_GET_GS, pointer_mut(&mut base)]) };
    base
}

#[cfg(not(target_arch = "x86_64"))]
fn gs_base() -> u64 {
    0
}

fn personality() -> usize {
    /// Asks only.
    const QUERY: usize = 0xffff_ffff;
    ask(libc::SYS_personality, QUERY)
}

fn set_umask(mask: usize) -> usize {
    ask(libc::SYS_umask, mask)
}

impl KernelRecord {
    /// `folder` is a descriptor of the working folder, of the engine.
    pub fn record(&mut self, folder: i32, buffer: &mut [u8]) -> Result<(), Refusal> {
        self.status.record(buffer)?;
        for (value, option) in self.options.iter_mut().zip(COMPARED_OPTIONS) {
            *value = option_now(option);
        }
        self.personality = personality();
        self.session = ask(libc::SYS_getsid, 0);
        self.process_group = ask(libc::SYS_getpgid, 0);
        for (inode, path) in self.namespaces.iter_mut().zip(NAMESPACES) {
            *inode = identity(path).1;
        }
        self.root = identity(c"/");
        self.gs_base = gs_base();
        self.folder = folder;
        self.umask = set_umask(0);
        set_umask(self.umask);
        for (number, limit) in self.limits.iter_mut().enumerate() {
            *limit = limit_of(number, None).unwrap_or_else(|_errno| syscall::zeroed());
        }
        self.scheduling = scheduling_now();
        self.affinity_bytes = affinity_now(&mut self.affinity);
        self.io_priority = io_priority();
        self.parent_death_signal = ask_option(libc::PR_GET_PDEATHSIG);
        self.is_subreaper = ask_option(libc::PR_GET_CHILD_SUBREAPER);
        self.timer_slack = syscall::process_control(libc::PR_GET_TIMERSLACK, 0).unwrap_or(0);
        self.name = name_now();
        self.oom_score = Setting::read(OOM_SCORE);
        self.core_dump_filter = Setting::read(CORE_DUMP_FILTER);
        Ok(())
    }

    /// Refuses where something differs that can't be put back. Returns whether memory must be unlocked.
    pub fn check(&self, buffer: &mut [u8]) -> Result<bool, Refusal> {
        let must_unlock = self.status.check(buffer)?;
        for (value, option) in self.options.iter().zip(COMPARED_OPTIONS) {
            require(*value == option_now(option), Reason::Prctl, i64::from(option))?;
        }
        require(self.personality == personality(), Reason::Personality, 0)?;
        require(self.session == ask(libc::SYS_getsid, 0), Reason::Session, 0)?;
        for (index, (inode, path)) in self.namespaces.iter().zip(NAMESPACES).enumerate() {
            require(*inode == identity(path).1, Reason::Namespace, index as i64)?;
        }
        require(self.root == identity(c"/"), Reason::Root, 0)?;
        require(self.gs_base == gs_base(), Reason::SegmentBase, 0)?;
        Ok(must_unlock)
    }

    pub fn put_back(&self, must_unlock: bool) -> Result<(), Refusal> {
        set_umask(self.umask);
        // SAFETY: no memory is concerned.
        let changed = unsafe { syscall::call(libc::SYS_fchdir, [descriptor(self.folder)]) };
        require(changed.is_ok(), Reason::WorkingFolder, 0)?;
        self.put_limits_back()?;
        self.put_process_group_back()?;
        self.put_scheduling_back()?;
        require(self.oom_score.put_back(OOM_SCORE, b"").is_ok(), Reason::OomScore, 0)?;
        require(self.core_dump_filter.put_back(CORE_DUMP_FILTER, b"0x").is_ok(), Reason::CoreDumpFilter, 0)?;
        if must_unlock {
            // SAFETY: no argument.
            let unlocked = unsafe { syscall::call::<0>(libc::SYS_munlockall, []) };
            require(unlocked.is_ok(), Reason::MemoryLock, 0)?;
        }
        self.put_options_back();
        Ok(())
    }

    fn put_limits_back(&self) -> Result<(), Refusal> {
        for (number, limit) in self.limits.iter().enumerate() {
            let is_same = limit_of(number, None)
                .is_ok_and(|now| (now.rlim_cur, now.rlim_max) == (limit.rlim_cur, limit.rlim_max));
            require(is_same || limit_of(number, Some(limit)).is_ok(), Reason::Limit, number as i64)?;
        }
        Ok(())
    }

    fn put_process_group_back(&self) -> Result<(), Refusal> {
        if ask(libc::SYS_getpgid, 0) == self.process_group {
            return Ok(());
        }
        // SAFETY: no memory is concerned.
        let set = unsafe { syscall::call(libc::SYS_setpgid, [0, self.process_group]) };
        require(set.is_ok(), Reason::ProcessGroup, 0)
    }

    fn put_scheduling_back(&self) -> Result<(), Refusal> {
        if scheduling_now() != self.scheduling {
            // SAFETY: the call reads one structure.
            let set = unsafe { syscall::call(libc::SYS_sched_setattr, [0, pointer(&self.scheduling), 0]) };
            require(set.is_ok(), Reason::Scheduling, 0)?;
        }
        let mut now = [0; AFFINITY_WORDS];
        if affinity_now(&mut now) != self.affinity_bytes || now != self.affinity {
            let arguments = [0, self.affinity_bytes, pointer(&self.affinity)];
            // SAFETY: the call reads the bytes that it wrote before.
            let set = unsafe { syscall::call(libc::SYS_sched_setaffinity, arguments) };
            require(set.is_ok(), Reason::Scheduling, 1)?;
        }
        if io_priority() != self.io_priority {
            // SAFETY: no memory is concerned.
            let set = unsafe { syscall::call(libc::SYS_ioprio_set, [IO_PRIORITY_PROCESS, 0, self.io_priority]) };
            require(set.is_ok(), Reason::Scheduling, 2)?;
        }
        Ok(())
    }

    fn put_options_back(&self) {
        if ask_option(libc::PR_GET_PDEATHSIG) != self.parent_death_signal {
            let _set = syscall::process_control(libc::PR_SET_PDEATHSIG, self.parent_death_signal as usize);
        }
        if ask_option(libc::PR_GET_CHILD_SUBREAPER) != self.is_subreaper {
            let _set = syscall::process_control(libc::PR_SET_CHILD_SUBREAPER, self.is_subreaper as usize);
        }
        let _set = syscall::process_control(libc::PR_SET_TIMERSLACK, self.timer_slack);
        if name_now() != self.name {
            let _set = syscall::process_control(libc::PR_SET_NAME, pointer(&self.name));
        }
    }
}

/// `IOPRIO_WHO_PROCESS`
const IO_PRIORITY_PROCESS: usize = 1;

fn io_priority() -> usize {
    ask(libc::SYS_ioprio_get, IO_PRIORITY_PROCESS)
}

fn require(holds: bool, reason: Reason, detail: i64) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::new(reason, detail)) }
}
