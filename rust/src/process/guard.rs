//! Ends a process and its descendants when its parent dies, and adopts orphans.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;

/// `False` where the platform has no child subreaper.
#[cfg(target_os = "linux")]
pub fn set_child_subreaper(enabled: bool) -> io::Result<bool> {
    nix::sys::prctl::set_child_subreaper(enabled)?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
pub fn set_child_subreaper(_enabled: bool) -> io::Result<bool> {
    Ok(false)
}

/// The direct children of a process, adopted ones too; none where `/proc` does not say.
#[must_use]
pub fn children_of(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut children: Vec<i32> = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect();
    children.sort_unstable();
    children.dedup();
    children
}

/// Writes out the buffers of C's own streams, which a fork would copy and write twice.
pub fn flush_c_stdio() -> io::Result<()> {
    // SAFETY: a null stream means all of them; fflush takes each stream's own lock.
    match unsafe { libc::fflush(std::ptr::null_mut()) } {
        0 => Ok(()),
        _failed => Err(io::Error::last_os_error()),
    }
}

/// The process that armed the guard and its parent then. A forked copy of it inherits handler and values,
/// but has another pid, so the handler does nothing there.
static GUARDED: AtomicI32 = AtomicI32::new(0);
static PARENT: AtomicI32 = AtomicI32::new(0);
static LIFELINE: AtomicI32 = AtomicI32::new(-1);

/// A real-time signal, since those have no meaning to anyone by themselves: SIGRTMAX-3 is 61 on Linux, away
/// from the lowest ones (glibc and Go's runtime use some, debuggers others) and from the very last, which
/// container managers use for power events (SIGRTMIN+n, SIGRTMAX-n for n from 15 up in systemd).
#[cfg(target_os = "linux")]
fn signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Where a pipe cannot say which signal it sends.
#[cfg(not(target_os = "linux"))]
fn signal() -> i32 {
    libc::SIGIO
}

/// Makes this process, its group and its children end when its parent does.
///
/// Two messengers, one handler: the kernel's parent-death signal, and the closing of a pipe whose only write end
/// the parent holds. Neither is believed: the handler acts only if the parent is really gone, since the
/// parent-death signal comes when the *thread* that forked ends, too.
pub fn guard(lifeline: i32, parent_death_signal: bool) -> io::Result<()> {
    let lifeline = own_description(lifeline)?;
    let previous = LIFELINE.swap(lifeline, Ordering::SeqCst);
    let was_ours = GUARDED.load(Ordering::SeqCst) == nix::unistd::getpid().as_raw();
    PARENT.store(nix::unistd::getppid().as_raw(), Ordering::SeqCst);
    GUARDED.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
    if was_ours && previous >= 0 {
        // SAFETY: the descriptor is one that an earlier call of this function opened in this process.
        unsafe { libc::close(previous) };
    }
    install()?;
    watch_pipe(lifeline)?;
    if parent_death_signal {
        ask_for_parent_death()?;
    }
    // The parent may have ended before either messenger was armed.
    if is_parent_gone() {
        end_everything();
    }
    Ok(())
}

/// Opens the same pipe through an open file description of our own: the owner and the signal of `O_ASYNC` belong to the
/// description, which forked siblings share, so each would take the signal from the one before. Without `/proc`
/// they do: the parent-death signal is what remains for those before.
#[cfg(target_os = "linux")]
fn own_description(lifeline: i32) -> io::Result<i32> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{lifeline}"))?;
    // SAFETY: the path is a valid C string; open has no other precondition.
    match check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC) }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => duplicate(lifeline),
        opened => opened,
    }
}

/// Elsewhere a description cannot be had again: the controller makes a pipe for each child.
#[cfg(not(target_os = "linux"))]
fn own_description(lifeline: i32) -> io::Result<i32> {
    duplicate(lifeline)
}

fn duplicate(lifeline: i32) -> io::Result<i32> {
    // SAFETY: fcntl on a number that is no descriptor fails with EBADF.
    check(unsafe { libc::fcntl(lifeline, libc::F_DUPFD_CLOEXEC, 3) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn install() -> io::Result<()> {
    let handler = on_signal as extern "C" fn(i32);
    // SAFETY: an all-zero sigaction is a valid value; the mask is then filled by sigfillset, so that no other
    // handler interrupts ours; the handler is async-signal-safe, and its type is that of sa_sigaction without
    // SA_SIGINFO.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigfillset(&raw mut action.sa_mask);
        check(libc::sigaction(signal(), &raw const action, std::ptr::null_mut()))?;
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal());
        match libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn watch_pipe(lifeline: i32) -> io::Result<()> {
    // SAFETY: fcntl takes these commands with an int argument; a bad descriptor fails with EBADF.
    unsafe {
        check(libc::fcntl(lifeline, libc::F_SETOWN, libc::getpid()))?;
        #[cfg(target_os = "linux")]
        check(libc::fcntl(lifeline, F_SETSIG, signal()))?;
        let flags = check(libc::fcntl(lifeline, libc::F_GETFL))?;
        check(libc::fcntl(lifeline, libc::F_SETFL, flags | libc::O_ASYNC | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// Not in the libc crate for every Linux target: 10 in `asm-generic/fcntl.h`.
#[cfg(target_os = "linux")]
const F_SETSIG: i32 = 10;

#[cfg(target_os = "linux")]
fn ask_for_parent_death() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number; the other arguments are not read.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(signal().unsigned_abs())) })?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn ask_for_parent_death() -> io::Result<()> {
    Ok(())
}

/// Everything from here on runs in a signal handler: system calls and the stack only.
extern "C" fn on_signal(_signal: i32) {
    // SAFETY: getpid cannot fail. errno belongs to what was interrupted, so it is put back.
    unsafe {
        let errno = errno();
        let before = *errno;
        if libc::getpid() == GUARDED.load(Ordering::SeqCst) && is_parent_gone() {
            end_everything();
        }
        *errno = before;
    }
}

#[cfg(target_os = "linux")]
unsafe fn errno() -> *mut i32 {
    // SAFETY: no precondition; the pointer is this thread's own for as long as the thread lives.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno() -> *mut i32 {
    // SAFETY: no precondition; the pointer is this thread's own for as long as the thread lives.
    unsafe { libc::__error() }
}

fn is_parent_gone() -> bool {
    let mut lifeline = libc::pollfd { fd: LIFELINE.load(Ordering::SeqCst), events: 0, revents: 0 };
    // SAFETY: one pollfd, owned by this frame; poll and getppid are async-signal-safe.
    unsafe {
        let ready = libc::poll(&raw mut lifeline, 1, 0);
        let closed = ready > 0 && lifeline.revents & libc::POLLHUP != 0;
        closed || libc::getppid() != PARENT.load(Ordering::SeqCst)
    }
}

/// Rounds of a millisecond in which descendants may still come to us as their own parents die. A tree of depth
/// n takes n rounds; a process that cannot die (uninterruptible) must not hold us for ever.
const ROUNDS: u32 = 300;

/// Kills the children, those that come to us as they die, our group if we lead it, and us.
fn end_everything() {
    crate::process::terminal_modes::put_back();
    // SAFETY: kill, waitpid, poll, getpid, getpgrp and _exit are async-signal-safe; waitpid and poll take
    // null pointers where nothing is wanted back.
    unsafe {
        for _ in 0..ROUNDS {
            kill_children();
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            if *errno() == libc::ECHILD {
                break;
            }
            libc::poll(std::ptr::null_mut(), 0, 1);
        }
        let own = libc::getpid();
        let target = if libc::getpgrp() == own { 0 } else { own };
        libc::kill(target, libc::SIGKILL);
        libc::_exit(128 + libc::SIGKILL);
    }
}

#[cfg(target_os = "linux")]
unsafe fn kill_children() {
    // SAFETY: the paths are C strings; the buffers are this frame's and their lengths are passed on.
    unsafe {
        let folder = libc::open(c"/proc/self/task".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if folder < 0 {
            return;
        }
        let mut entries = [0_u8; 2048];
        loop {
            // readdir allocates; the system call under it does not.
            let got = libc::syscall(libc::SYS_getdents64, folder, entries.as_mut_ptr(), entries.len());
            let Ok(got @ 1..) = usize::try_from(got) else { break };
            kill_children_of_tasks(folder, entries.get(..got).unwrap_or(&[]));
        }
        libc::close(folder);
    }
}

/// Where the record length and the name stand in a `linux_dirent64`.
#[cfg(target_os = "linux")]
const RECORD_LENGTH: usize = 16;
#[cfg(target_os = "linux")]
const NAME: usize = 19;

#[cfg(target_os = "linux")]
unsafe fn kill_children_of_tasks(folder: i32, mut entries: &[u8]) {
    while let [low, high] = *entries.get(RECORD_LENGTH..RECORD_LENGTH + 2).unwrap_or(&[]) {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let (Some(entry), Some(rest)) = (entries.get(..length), entries.get(length..)) else { return };
        let name = entry.get(NAME..).unwrap_or(&[]);
        if name.first().is_some_and(u8::is_ascii_digit) {
            // SAFETY: the descriptor is that of /proc/self/task, open until the caller closes it.
            unsafe { kill_children_of_task(folder, name) };
        }
        if length == 0 {
            return;
        }
        entries = rest;
    }
}

#[cfg(target_os = "linux")]
unsafe fn kill_children_of_task(folder: i32, task: &[u8]) {
    let mut path = [0_u8; 48];
    let digits = task.iter().take_while(|byte| byte.is_ascii_digit()).take(20);
    for (to, from) in path.iter_mut().zip(digits.chain(b"/children")) {
        *to = *from;
    }
    // SAFETY: the path ends in a zero, since 20 + 9 bytes at most were written to 48; the buffer is ours.
    unsafe {
        let file = libc::openat(folder, path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let mut buffer = [0_u8; 1024];
        // A number may be cut by the buffer's end: it goes on with the next read.
        let mut pid = 0_i32;
        loop {
            let got = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
            let Ok(got @ 1..) = usize::try_from(got) else { break };
            for byte in buffer.iter().take(got) {
                if byte.is_ascii_digit() {
                    pid = pid.wrapping_mul(10).wrapping_add(i32::from(*byte - b'0'));
                } else {
                    kill_tree(pid);
                    pid = 0;
                }
            }
        }
        kill_tree(pid);
        libc::close(file);
    }
}

/// A child, and its group if it leads one: else no group has its number, and the call fails.
#[cfg(target_os = "linux")]
unsafe fn kill_tree(pid: i32) {
    if pid > 1 {
        // SAFETY: kill is async-signal-safe; 1 and below, which mean other things than a child, are excluded.
        unsafe {
            libc::kill(-pid, libc::SIGKILL);
            libc::kill(pid, libc::SIGKILL);
        }
    }
}

/// Where there is no list of children, the group is all that can be ended.
#[cfg(not(target_os = "linux"))]
unsafe fn kill_children() {}
