//! The operating system's events about folders, by the crate notify: inotify on Linux, `FSEvents` on macOS.
//!
//! Nothing else in this crate knows notify. Other systems are refused: their events (kqueue) need an open descriptor for
//! each file. What comes is collected by path until it is taken, so that equal events cost no memory.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use notify::event::{AccessKind, EventKind, ModifyKind, RenameMode};
use notify::{
    Config, ErrorKind, Event, EventHandler, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _, WatcherKind,
};

use crate::process::thread_pool::{kernel_id, wait_until_gone};
use crate::watch::coverage::{Coverage, Reach};

/// All that changes what a path holds. Opening and reading is not asked for: our own would wake us.
const WANTED: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

/// `FSEvents` watches trees, and each further root costs a new stream. With inotify a tree would be watched together
/// with all folders in it that are not the project's.
const TREES: bool = cfg!(target_os = "macos");

/// The thread of notify ends within microseconds; this is for a machine that is suspended meanwhile.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Called when something can be taken, from any thread.
pub type Ring = Box<dyn Fn() + Send>;

/// What was told of a path since it was last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A content was written there. (A file may be opened for writing, and closed, without.)
    pub written: bool,
    /// What was there may be somewhere else now, or nowhere.
    pub gone: bool,
}

#[derive(Debug, Default)]
pub struct Told {
    pub paths: BTreeMap<PathBuf, Seen>,
    /// The number of events.
    pub count: usize,
    /// Events were lost.
    pub lost: bool,
    /// Nothing will be told any more.
    pub ended: bool,
}

impl Told {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.lost && !self.ended
    }

    fn add(&mut self, event: Event) {
        self.count += 1;
        if event.need_rescan() {
            self.lost = true;
            return;
        }
        let Some(seen) = Seen::of(event.kind) else { return };
        for path in event.paths {
            let known = self.paths.entry(path).or_default();
            known.written |= seen.written;
            known.gone |= seen.gone;
        }
    }
}

impl Seen {
    fn of(kind: EventKind) -> Option<Self> {
        let (written, gone) = match kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => (false, true),
            // FSEvents does not say which side of a rename it is.
            EventKind::Modify(ModifyKind::Name(RenameMode::Any | RenameMode::Other)) => (true, true),
            EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Access(AccessKind::Close(_)) => (false, false),
            // Of a rename within watched folders both sides were told before.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) | EventKind::Access(_) => return None,
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => (true, false),
        };
        Some(Self { written, gone })
    }
}

/// A lock that a panic elsewhere cannot poison for good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Is called by notify's thread, and dropped by it at its end.
struct Listener {
    told: Arc<Mutex<Told>>,
    ring: Ring,
    ended: Sender<i32>,
}

impl Listener {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        let mut told = lock(&self.told);
        let was_empty = told.is_empty();
        change(&mut told);
        let has_come = was_empty && !told.is_empty();
        drop(told);
        if has_come {
            (self.ring)();
        }
    }
}

impl EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        self.tell(|told| match event {
            Ok(event) => told.add(event),
            Err(_unread) => told.lost = true,
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tell(|told| told.ended = true);
        // Nobody may be waiting any more.
        let _waiting = self.ended.send(kernel_id());
    }
}

pub struct SystemEvents {
    /// Is there until the end.
    watcher: Option<RecommendedWatcher>,
    told: Arc<Mutex<Told>>,
    ended: Mutex<Receiver<i32>>,
    coverage: Coverage,
}

impl SystemEvents {
    /// From here on there is a thread of notify. `ring` is called when the first thing since the last `take` came.
    pub fn start(ring: Ring) -> io::Result<Self> {
        Self::with(ring, TREES)
    }

    pub(super) fn with(ring: Ring, trees: bool) -> io::Result<Self> {
        if !matches!(RecommendedWatcher::kind(), WatcherKind::Inotify | WatcherKind::Fsevent) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let told = Arc::new(Mutex::new(Told::default()));
        let (sender, ended) = channel();
        let listener = Listener { told: Arc::clone(&told), ring, ended: sender };
        let config = Config::default().with_event_kinds(WANTED).with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(listener, config).map_err(as_io)?;
        let events = Self { watcher: Some(watcher), told, ended: Mutex::new(ended), coverage: Coverage::new(trees) };
        // notify ignores that the system has no thread left.
        if lock(&events.told).ended { Err(Errno::EAGAIN.into()) } else { Ok(events) }
    }

    #[must_use]
    pub fn take(&self) -> Told {
        let mut told = lock(&self.told);
        let ended = told.ended;
        mem::replace(&mut told, Told { ended, ..Told::default() })
    }

    /// Afterwards all is told that happened before this call, with inotify. `FSEvents` tells when it likes; but the clock
    /// of its file systems has no steps that a second write could fall into.
    ///
    /// For an update notify reads what the kernel holds, answers, and passes it on; what follows is done after that.
    pub fn catch_up(&mut self) {
        if let Some(watcher) = self.watcher.as_mut().filter(|_| !self.coverage.has_trees()) {
            // It fails where its thread has ended, which is told.
            let _ended = watcher.update_paths(Vec::new()).and_then(|()| watcher.update_paths(Vec::new()));
        }
    }

    /// Has the entries of a folder told, under this path, which must be without links. False if the folder is gone or
    /// forbidden.
    pub fn watch(&mut self, folder: &Path, device: u64, reach: Reach) -> io::Result<bool> {
        if self.coverage.covers(folder, device, reach) {
            return Ok(true);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(false) };
        let mode = match self.coverage.reach(reach) {
            Reach::Entries => RecursiveMode::NonRecursive,
            Reach::Everything => RecursiveMode::Recursive,
        };
        match watcher.watch(folder, mode).map_err(as_io) {
            Ok(()) => {
                self.coverage.add(folder, device, reach);
                Ok(true)
            }
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP | Errno::ENAMETOOLONG) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Whether one that was watched with the first reach must be watched again to have the second.
    #[must_use]
    pub fn is_enough(&self, had: Reach, wanted: Reach) -> bool {
        had >= self.coverage.reach(wanted)
    }

    /// Whether a folder that is moved or replaced without an event goes on being told under its former path.
    #[must_use]
    pub fn follows_folders(&self) -> bool {
        !self.coverage.has_trees()
    }

    /// Ends the watching of a folder. `needed`: of folders below it something is still wanted.
    pub fn unwatch(&mut self, folder: &Path, needed: bool) {
        if self.coverage.remove(folder, needed) {
            self.end(folder);
        }
    }

    /// Ends the watching of what was watched at this path and below.
    pub fn unwatch_below(&mut self, folder: &Path) {
        for root in self.coverage.remove_below(folder) {
            self.end(&root);
        }
    }

    fn end(&mut self, folder: &Path) {
        // The watch is gone already if the folder is.
        let _gone = self.watcher.as_mut().map(|watcher| watcher.unwatch(folder));
    }
}

/// No thread of notify is left afterwards.
impl Drop for SystemEvents {
    fn drop(&mut self) {
        let Some(watcher) = self.watcher.take() else { return };
        if lock(&self.told).ended {
            // Its thread has ended, and to tell a thread that is no more to end is a panic of notify's.
            mem::forget(watcher);
            return;
        }
        drop(watcher);
        let ended = lock(&self.ended).recv_timeout(LONGEST_END);
        if let Some(thread) = ended.ok().filter(|thread| *thread != kernel_id()) {
            wait_until_gone(thread);
        }
    }
}

fn as_io(error: notify::Error) -> io::Error {
    match error.kind {
        ErrorKind::Io(error) => error,
        ErrorKind::MaxFilesWatch => Errno::ENOSPC.into(),
        ErrorKind::PathNotFound => Errno::ENOENT.into(),
        _ => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn folder(name: &str) -> (PathBuf, u64) {
        let folder = std::env::temp_dir().canonicalize().unwrap().join(format!("system-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let device = fs::metadata(&folder).unwrap().dev();
        (folder, device)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn after_catching_up_all_is_told() {
        let (folder, device) = folder("told");
        let mut events = SystemEvents::start(Box::new(|| ())).unwrap();
        assert!(events.watch(&folder, device, Reach::Entries).unwrap());
        for number in 0..2000 {
            let path = folder.join(number.to_string());
            fs::write(&path, "").unwrap();
            events.catch_up();
            assert_eq!(events.take().paths.get(&path), Some(&Seen { written: true, gone: false }), "{number}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_only_read_is_not_told() {
        let (folder, device) = folder("read");
        fs::write(folder.join("file"), "").unwrap();
        let mut events = SystemEvents::start(Box::new(|| ())).unwrap();
        assert!(events.watch(&folder, device, Reach::Entries).unwrap());
        fs::read(folder.join("file")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        events.catch_up();
        assert!(events.take().is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_error() {
        let (folder, device) = folder("missing");
        let mut events = SystemEvents::start(Box::new(|| ())).unwrap();
        assert!(!events.watch(&folder.join("missing"), device, Reach::Entries).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_end_is_told_until_the_end() {
        let (rung, rings) = channel();
        let ring = move || rung.send(()).unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (sender, ended) = channel();
        drop(Listener { told: Arc::clone(&told), ring: Box::new(ring), ended: sender });
        assert!(rings.try_recv().is_ok());
        assert_eq!(ended.try_recv(), Ok(kernel_id()));
        let events = SystemEvents { watcher: None, told, ended: Mutex::new(ended), coverage: Coverage::new(false) };
        assert!(events.take().ended && events.take().ended);
    }

    #[test]
    fn it_rings_once_until_what_was_told_is_taken() {
        let (folder, device) = folder("rings");
        let (rung, rings) = channel();
        let ring = move || rung.send(()).unwrap();
        let mut events = SystemEvents::start(Box::new(ring)).unwrap();
        assert!(events.watch(&folder, device, Reach::Entries).unwrap());
        for name in ["a", "b"] {
            fs::write(folder.join(name), "").unwrap();
        }
        rings.recv_timeout(Duration::from_secs(10)).unwrap();
        events.catch_up();
        assert!(rings.try_recv().is_err());
        assert!(!events.take().is_empty());
        fs::write(folder.join("c"), "").unwrap();
        rings.recv_timeout(Duration::from_secs(10)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
