//! The watcher: reports the files below some paths whose content changed. Events are hints; only hashed content
//! counts.
//!
//! One thread waits for events (`watch/events.rs`; a thread of notify collects them) or polls (`watch/polling.rs`), joins
//! events that belong together (`watch/burst.rs`), and compares (`watch/state.rs`, `watch/contents.rs`). The reasons are
//! in `docs/design/watching-files.md`.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::process::thread_pool::{kernel_id, wait_until_gone};
use crate::watch::burst::{Burst, Hints, MILLISECOND, Nanoseconds, Pace};
use crate::watch::contents::Differences;
use crate::watch::notices;
use crate::watch::state::{State, monotonic};
use crate::watch::system::Ring;

pub struct Settings {
    pub paths: Vec<PathBuf>,
    pub ignored: Vec<PathBuf>,
    pub quiet_ms: u64,
    pub longest_ms: u64,
    pub poll: bool,
    pub poll_ms: u64,
}

/// The changes of one burst; each list is sorted.
#[derive(Debug)]
pub struct Changes {
    pub changed: Vec<PathBuf>,
    pub created: Vec<PathBuf>,
    pub deleted: Vec<PathBuf>,
    pub saved: Vec<PathBuf>,
    pub burst: &'static str,
    pub first_ns: Nanoseconds,
    pub ready_ns: Nanoseconds,
}

/// Changes and notices that wait for the caller. The bell is a socket that holds a byte as long as something waits.
struct Outbox {
    changes: Vec<Changes>,
    notices: Vec<String>,
    has_rung: bool,
    bell: UnixStream,
}

impl Outbox {
    fn ring(&mut self) {
        let is_empty = self.changes.is_empty() && self.notices.is_empty();
        if !self.has_rung && !is_empty {
            // Its buffer is empty: one byte always fits.
            self.has_rung = self.bell.write_all(&[0]).is_ok();
        }
    }
}

struct Shared {
    state: Mutex<State>,
    outbox: Mutex<Outbox>,
    stop: AtomicBool,
    polling: AtomicBool,
    thread: AtomicI32,
}

impl Shared {
    fn publish(&self, state: &mut State) {
        self.polling.store(state.is_polling(), Ordering::Release);
        let mut outbox = lock(&self.outbox);
        outbox.notices.append(&mut state.notices);
        outbox.ring();
    }
}

pub struct Watcher {
    shared: Arc<Shared>,
    /// The descriptor that the caller waits on.
    heard: UnixStream,
    /// Wakes the thread.
    wake: Arc<UnixStream>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A lock that a panic elsewhere cannot poison for good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends are closed on exec, as all of the standard library's.
fn channel() -> io::Result<(UnixStream, UnixStream)> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((read, write))
}

fn drain(mut stream: &UnixStream) {
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

impl Watcher {
    /// From its return on no change is missed. Falls back to polling where the system does not tell, with a notice.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let (heard, bell) = channel()?;
        let (woken, wake) = channel()?;
        let wake = Arc::new(wake);
        let ring = Arc::clone(&wake);
        let ring = (!settings.poll).then(|| -> Ring { Box::new(move || wake_up(&ring)) });
        let mut state = State::new(settings.ignored, ring, settings.poll_ms.max(1) * MILLISECOND);
        for path in &settings.paths {
            state.add(path, true);
        }
        let outbox = Outbox { changes: Vec::new(), notices: Vec::new(), has_rung: false, bell };
        let shared = Arc::new(Shared {
            polling: AtomicBool::new(false),
            state: Mutex::new(state),
            outbox: Mutex::new(outbox),
            stop: AtomicBool::new(false),
            thread: AtomicI32::new(0),
        });
        shared.publish(&mut lock(&shared.state));
        let pace = Pace { quiet: settings.quiet_ms * MILLISECOND, longest: settings.longest_ms * MILLISECOND };
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("hotreload-watcher".to_owned());
        let thread = builder.spawn(move || run(&theirs, &woken, pace))?;
        Ok(Self { shared, heard, wake, thread: Mutex::new(Some(thread)) })
    }

    /// None after `close`.
    pub fn descriptor(&self) -> Option<RawFd> {
        (!self.shared.stop.load(Ordering::Acquire)).then(|| self.heard.as_raw_fd())
    }

    /// Takes all waiting changes, oldest first. The bell is silent until more arrive.
    pub fn take(&self) -> Vec<Changes> {
        let mut outbox = lock(&self.shared.outbox);
        drain(&self.heard);
        outbox.has_rung = false;
        std::mem::take(&mut outbox.changes)
    }

    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.outbox).notices)
    }

    pub fn watch(&self, paths: &[PathBuf], deep: bool) {
        let mut state = lock(&self.shared.state);
        for path in paths {
            state.add(path, deep);
        }
        self.shared.publish(&mut state);
        drop(state);
        self.wake();
    }

    pub fn is_polling(&self) -> bool {
        self.shared.polling.load(Ordering::Acquire)
    }

    /// Ends the threads, and waits for that.
    pub fn close(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = lock(&self.thread).take() {
            // A panicked thread has ended all the same.
            let _ended = thread.join();
            wait_until_gone(self.shared.thread.load(Ordering::Acquire));
            lock(&self.shared.state).close();
        }
    }

    fn wake(&self) {
        wake_up(&self.wake);
    }
}

fn wake_up(mut thread: &UnixStream) {
    // A full buffer will wake it as well.
    let _full = thread.write(&[0]);
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(shared: &Shared, woken: &UnixStream, pace: Pace) {
    shared.thread.store(kernel_id(), Ordering::Release);
    let ended = catch_unwind(AssertUnwindSafe(|| Loop { shared, pace, burst: None }.run(woken)));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        let mut outbox = lock(&shared.outbox);
        outbox.notices.push(notices::failed(reason));
        outbox.ring();
    }
}

struct Loop<'a> {
    shared: &'a Shared,
    pace: Pace,
    burst: Option<Burst>,
}

impl Loop<'_> {
    fn run(&mut self, woken: &UnixStream) {
        let mut timeout = Some(0);
        while !self.shared.stop.load(Ordering::Acquire) {
            wait(woken, timeout);
            drain(woken);
            let mut state = lock(&self.shared.state);
            let now = monotonic();
            let hints = state.gather(now);
            self.add(hints, now);
            timeout = self.step(&mut state);
            self.shared.publish(&mut state);
        }
    }

    fn add(&mut self, hints: Hints, now: Nanoseconds) {
        if !hints.is_empty() {
            self.burst.get_or_insert_with(|| Burst::new(now)).add(hints, now);
        }
    }

    /// Does the work that is due; returns the nanoseconds until more is due, None if nothing will be.
    fn step(&mut self, state: &mut State) -> Option<Nanoseconds> {
        if self.burst.as_ref().is_some_and(Burst::may_have_more) && self.is_due(state) {
            // What the system holds by now belongs to this burst.
            state.catch_up();
            let hints = state.gather(monotonic());
            self.add(hints, monotonic());
        }
        if self.is_due(state) {
            self.end(state);
        } else if state.has_unread() {
            let open = self.burst.as_ref().map(|burst| &burst.hints.paths);
            let hints = state.read_some(open, &self.shared.stop);
            self.add(hints, monotonic());
        }
        if state.has_unread() || state.has_hints() {
            return Some(0);
        }
        let next = [self.burst_due(state), state.next_look().0].into_iter().flatten().min();
        next.map(|next| next.saturating_sub(monotonic()))
    }

    fn is_due(&mut self, state: &State) -> bool {
        self.burst_due(state).is_some_and(|due| due <= monotonic())
    }

    fn burst_due(&mut self, state: &State) -> Option<Nanoseconds> {
        let burst = self.burst.as_mut()?;
        let locked = state.is_locked();
        burst.hints.git |= locked;
        Some(burst.due(self.pace, locked, state.next_look().1))
    }

    fn end(&mut self, state: &mut State) {
        let Some(mut burst) = self.burst.take() else { return };
        let was_large = burst.is_large();
        state.expand(&mut burst.hints);
        if burst.is_large() && !was_large {
            // A folder came with more than an edit in it: there may be more to come.
            burst.add(Hints::default(), monotonic());
            self.burst = Some(burst);
            return;
        }
        let Some(mut differences) = state.compare(&burst.hints, &self.shared.stop) else { return };
        let mut again = Hints::default();
        for path in std::mem::take(&mut differences.moving) {
            again.add(path, true);
        }
        self.add(again, monotonic());
        if !differences.is_empty() {
            let name = burst.name(differences.count());
            lock(&self.shared.outbox).changes.push(changes(differences, name, burst.first));
        }
    }
}

fn changes(differences: Differences, burst: &'static str, first_ns: Nanoseconds) -> Changes {
    let Differences { changed, created, deleted, saved, moving: _ } = differences;
    Changes { changed, created, deleted, saved, burst, first_ns, ready_ns: monotonic() }
}

/// Until it is readable, or so many nanoseconds are over; for ever without a number.
fn wait(woken: &UnixStream, timeout: Option<Nanoseconds>) {
    let mut descriptors = [PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
    let timeout = timeout.map_or(PollTimeout::NONE, |span| {
        i32::try_from(span.div_ceil(MILLISECOND))
            .map_or(PollTimeout::MAX, |ms| ms.try_into().unwrap_or(PollTimeout::MAX))
    });
    // Interrupted, it is called again.
    let _interrupted = poll(&mut descriptors, timeout);
}
