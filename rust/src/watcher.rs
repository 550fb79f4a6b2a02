//! Which files under some folders changed by content. Events are hints: what was hashed is the truth.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use blake3::Hash;
use ignore::WalkBuilder;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Written by tools, ours among them: a loop that woke on these would wake itself.
const IGNORED: [&str; 10] = [
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "node_modules",
    ".tox",
];

/// How often a polling watcher looks. An edit is then seen after 100 ms on average.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Files above this are compared by size and time: hashing 64 MB takes 20 ms at 3 GB/s, a quiet window.
const LARGEST_HASHED: u64 = 64 << 20;

pub struct Settings {
    pub paths: Vec<PathBuf>,
    /// A burst of events ends when none came for so long …
    pub quiet: Duration,
    /// … and at the latest so long after its first.
    pub longest: Duration,
    pub poll: bool,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Content(Hash),
    Large(Stamp),
}

/// What a polling watcher looks at before it reads a file: length, and time of last change of the inode to the
/// nanosecond, which no `utime` sets. (notify's own polling compares whole seconds of the modification time.)
type Stamp = (u64, i64, i64, u64);

enum Backend {
    Native(RecommendedWatcher, Receiver<notify::Result<Event>>),
    Polling,
    Closed,
}

pub struct Watcher {
    settings: Settings,
    backend: Backend,
    known: HashMap<PathBuf, (Stamp, State)>,
}

impl Watcher {
    /// Falls back to polling where the system refuses watches (128 inotify instances, a limit on watches).
    pub fn new(settings: Settings) -> notify::Result<Self> {
        if let Some(missing) = settings.paths.iter().find(|path| !path.exists()) {
            return Err(notify::Error::path_not_found().add_path(missing.clone()));
        }
        let native = if settings.poll { None } else { native(&settings.paths).ok() };
        let backend = native.unwrap_or(Backend::Polling);
        let mut watcher = Self { settings, backend, known: HashMap::new() };
        // After the watches stand: what changes from here on is an event.
        for path in watcher.settings.paths.clone() {
            for file in files_below(&path) {
                watcher.update(&file);
            }
        }
        Ok(watcher)
    }

    #[must_use]
    pub fn is_polling(&self) -> bool {
        matches!(self.backend, Backend::Polling)
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.backend, Backend::Closed)
    }

    /// Ends the watcher's thread.
    pub fn close(&mut self) {
        self.backend = Backend::Closed;
    }

    /// The files whose content changed, appeared or vanished since the last call, after the first burst of
    /// events within `timeout`; none if there was none.
    pub fn changes(&mut self, timeout: Duration) -> BTreeSet<PathBuf> {
        let deadline = Instant::now() + timeout;
        loop {
            let Some(hints) = self.burst(deadline) else { return BTreeSet::new() };
            let changed = self.compare(hints);
            if !changed.is_empty() || Instant::now() >= deadline {
                return changed;
            }
        }
    }

    /// One coalesced burst; None when the time is up without an event.
    fn burst(&self, deadline: Instant) -> Option<Hints> {
        let Backend::Native(_, events) = &self.backend else {
            std::thread::sleep(POLL_INTERVAL.min(deadline.saturating_duration_since(Instant::now())));
            return Some(Hints { rescan: true, ..Hints::default() });
        };
        let mut hints = Hints::default();
        let mut ends: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let until = ends.map_or(deadline, |ends| ends.min(now + self.settings.quiet));
            match events.recv_timeout(until.saturating_duration_since(now)) {
                Ok(event) => {
                    if hints.take(event) {
                        ends.get_or_insert(Instant::now() + self.settings.longest);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return ends.map(|_| hints);
                }
            }
        }
    }

    fn compare(&mut self, hints: Hints) -> BTreeSet<PathBuf> {
        let mut candidates = BTreeSet::new();
        if hints.rescan {
            candidates.extend(self.known.keys().cloned());
            for path in self.settings.paths.clone() {
                // The creation of folders may be among what was lost.
                self.follow(&path);
                candidates.extend(files_below(&path));
            }
        }
        for path in hints.paths {
            if path.is_dir() {
                // Files may have been written before a watch stood on a new folder.
                self.follow(&path);
                candidates.extend(files_below(&path));
            } else if !path.exists() {
                candidates.extend(self.known.keys().filter(|known| known.starts_with(&path)).cloned());
            }
            candidates.insert(path);
        }
        candidates.into_iter().filter(|path| self.is_watched(path) && self.update(path)).collect()
    }

    /// Events of a watched file's neighbours, and of ignored folders, are none of ours.
    fn is_watched(&self, path: &Path) -> bool {
        let below = |root: &PathBuf| path.strip_prefix(root).is_ok_and(|inside| !is_ignored(inside));
        self.settings.paths.iter().any(below)
    }

    fn update(&mut self, path: &Path) -> bool {
        let Some(stamp) = stamp_of(path) else { return self.known.remove(path).is_some() };
        if self.is_polling() && self.known.get(path).is_some_and(|(known, _)| *known == stamp) {
            return false;
        }
        let Some(state) = state_of(path, stamp) else { return self.known.remove(path).is_some() };
        let before = self.known.insert(path.to_owned(), (stamp, state.clone()));
        before.is_none_or(|(_, before)| before != state)
    }

    fn follow(&mut self, folder: &Path) {
        if let Backend::Native(native, _) = &mut self.backend {
            for inner in folders_below(folder) {
                // Vanished meanwhile, or over the limit: the folder above still reports its files' names.
                let _unwatched = native.watch(&inner, RecursiveMode::NonRecursive);
            }
        }
    }
}

#[derive(Default)]
struct Hints {
    paths: BTreeSet<PathBuf>,
    /// Events were lost.
    rescan: bool,
}

impl Hints {
    /// Whether it was a hint at all: opening and reading a file is not.
    fn take(&mut self, event: notify::Result<Event>) -> bool {
        match event {
            Ok(event) if event.need_rescan() => self.rescan = true,
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => return false,
            Ok(event) => self.paths.extend(event.paths),
            Err(_lost) => self.rescan = true,
        }
        true
    }
}

/// A watch for each folder that is not ignored, where the system watches folders one by one.
fn native(paths: &[PathBuf]) -> notify::Result<Backend> {
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender)?;
    for path in paths {
        if cfg!(target_os = "linux") {
            for folder in folders_below(path) {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
        } else {
            watcher.watch(path, RecursiveMode::Recursive)?;
        }
    }
    Ok(Backend::Native(watcher, events))
}

fn is_ignored(inside: &Path) -> bool {
    let ignored = |part: std::path::Component<'_>| IGNORED.iter().any(|name| part.as_os_str() == *name);
    inside.components().any(ignored) || inside.extension().is_some_and(|suffix| suffix == "pyc")
}

fn walk(path: &Path) -> impl Iterator<Item = ignore::DirEntry> {
    let walk = WalkBuilder::new(path)
        // What git ignores is data that tests read as well.
        .standard_filters(false)
        .filter_entry(|entry| entry.depth() == 0 || !IGNORED.iter().any(|name| entry.file_name() == *name))
        .build();
    walk.flatten()
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let is_file = |entry: &ignore::DirEntry| {
        entry.path().is_file() && entry.path().extension().is_none_or(|suffix| suffix != "pyc")
    };
    walk(path).filter(is_file).map(ignore::DirEntry::into_path).collect()
}

/// The folders to watch for a path: for a file, the one that it is in, since editors replace files.
fn folders_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return path.parent().map(Path::to_owned).into_iter().collect();
    }
    walk(path)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()))
        .map(ignore::DirEntry::into_path)
        .collect()
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((data.len(), data.ctime(), data.ctime_nsec(), data.ino()))
}

fn state_of(path: &Path, stamp: Stamp) -> Option<State> {
    if stamp.0 > LARGEST_HASHED {
        return Some(State::Large(stamp));
    }
    fs::read(path).ok().map(|bytes| State::Content(blake3::hash(&bytes)))
}
