//! The state of the watcher: what is watched and in which way, from hints to the files that are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use nix::time::{ClockId, clock_gettime};

use crate::filesystem::stat::FileStamp;
use crate::watch::burst::{Hints, Nanoseconds};
use crate::watch::contents::{Contents, Differences, read_all};
use crate::watch::git::Repository;
use crate::watch::inotify::{Events, remote};
use crate::watch::notices;
use crate::watch::polling::Polling;
use crate::watch::tree::{Enter, Listing, Rules, hops, is_marker, walk};

/// Files that are read between two looks at the events, in the beginning: 3 ms at 10 µs a file.
const SOME: usize = 256;

/// A poller that looks less often than once a second says so: it is felt.
const SLOW: Nanoseconds = 1_000_000_000;

/// How far below a folder is listed and watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Everything.
    All,
    /// Everything, but for folders that a poller knows already.
    Unknown,
    /// The names in the folder itself.
    Names,
}

enum Source {
    Events(Events),
    Polling(Polling),
}

pub struct State {
    rules: Rules,
    /// The paths that the caller asked for.
    anchors: BTreeSet<PathBuf>,
    /// Anchors in which, where they are folders, only the names count.
    shallow: BTreeSet<PathBuf>,
    links: BTreeSet<PathBuf>,
    contents: Contents,
    /// Files whose content was not read yet since the watching began.
    unread: Vec<PathBuf>,
    source: Source,
    shortest: Nanoseconds,
    repositories: Vec<Repository>,
    told_slow: bool,
    /// Set when polling begins, until all folders were compared once.
    compare_all: bool,
    pub notices: Vec<String>,
}

/// The clock of Python's `time.monotonic_ns`.
#[must_use]
pub fn monotonic() -> Nanoseconds {
    #[cfg(target_os = "macos")]
    let clock = ClockId::CLOCK_UPTIME_RAW;
    #[cfg(not(target_os = "macos"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    nanoseconds(clock)
}

fn nanoseconds(clock: ClockId) -> Nanoseconds {
    let now = clock_gettime(clock).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    /// `poll`: do not ask the system to tell. `shortest`: the interval of polling.
    #[must_use]
    pub fn new(ignored: Vec<PathBuf>, poll: bool, shortest: Nanoseconds) -> Self {
        let mut notices = Vec::new();
        let polling = || Source::Polling(Polling::new(shortest, monotonic()));
        let source = match Events::start() {
            _ if poll => polling(),
            Ok(events) => Source::Events(events),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                notices.push(notices::unsupported());
                polling()
            }
            Err(error) => {
                notices.push(notices::refused(&error));
                polling()
            }
        };
        Self {
            rules: Rules::new(ignored),
            anchors: BTreeSet::new(),
            shallow: BTreeSet::new(),
            links: BTreeSet::new(),
            contents: Contents::default(),
            unread: Vec::new(),
            source,
            shortest,
            repositories: Vec::new(),
            told_slow: false,
            compare_all: false,
            notices,
        }
    }

    #[must_use]
    pub fn is_polling(&self) -> bool {
        matches!(self.source, Source::Polling(_))
    }

    /// The descriptor of the event source, if there is one.
    #[must_use]
    pub fn descriptor(&self) -> Option<OwnedFd> {
        match &self.source {
            Source::Events(events) => events.descriptor().ok(),
            Source::Polling(_) => None,
        }
    }

    /// The time of the next look, and the interval of looks: 0 with an event source.
    #[must_use]
    pub fn next_look(&self) -> (Option<Nanoseconds>, Nanoseconds) {
        match &self.source {
            Source::Events(_) => (None, 0),
            Source::Polling(polling) => (Some(polling.next), polling.interval),
        }
    }

    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Watches a path from now on, whether it is there or not. `deep`: a folder with all that is below it, not only the
    /// names in it.
    pub fn add(&mut self, path: &Path, deep: bool) {
        if let (Source::Events(_), Some(kind)) = (&self.source, remote(path)) {
            self.poll(notices::remote(path, kind));
        }
        if let Some(repository) = Repository::of(path) {
            self.join(repository);
        }
        // What came to a path that is watched already is an edit: listed again, it would be known before it is told of.
        let is_known = !self.anchors.insert(path.to_owned());
        if is_known && (!deep || !self.shallow.remove(path)) {
            return;
        }
        if !deep {
            self.shallow.insert(path.to_owned());
        }
        self.begin(path);
    }

    /// From here on every change is noticed; the content is read later, by `read_some`.
    fn begin(&mut self, path: &Path) {
        self.expect(path);
        let depth = self.depth(path, Depth::All);
        let files = match fs::metadata(path) {
            Ok(data) if data.is_dir() => self.list(path, depth).files,
            Ok(_) => vec![path.to_owned()],
            Err(_missing) => return,
        };
        for file in files {
            if self.contents.begin(&file) {
                self.unread.push(file);
            }
        }
    }

    fn depth(&self, path: &Path, otherwise: Depth) -> Depth {
        if self.shallow.contains(path) { Depth::Names } else { otherwise }
    }

    fn join(&mut self, repository: Repository) {
        if self.repositories.iter().any(|known| known.folder() == repository.folder()) {
            return;
        }
        for mark in [repository.lock(), repository.head()] {
            self.expect(&mark);
        }
        self.repositories.push(repository);
    }

    /// Polls from now on, what was watched until now as well.
    fn poll(&mut self, notice: String) {
        self.notices.push(notice);
        self.source = Source::Polling(Polling::new(self.shortest, monotonic()));
        self.compare_all = true;
    }

    /// The way to a path may change: by its links, by its coming, if it is a file by its replacement.
    fn expect(&mut self, path: &Path) {
        let Source::Events(events) = &mut self.source else { return };
        let refused = hops(path).iter().find_map(|(folder, name)| events.expect(folder, name, path).err());
        if let Some(error) = refused {
            self.poll(notices::refused(&error));
        }
    }

    /// Lists a folder, and puts a watch on it and on those below.
    fn list(&mut self, folder: &Path, depth: Depth) -> Listing {
        let links = (!self.anchors.contains(folder)).then_some(&self.links);
        let listing = match &mut self.source {
            Source::Events(events) => {
                let enter = &mut |met: &Path| {
                    if depth == Depth::Names && met != folder {
                        return Ok(Enter::No);
                    }
                    events.enter(met).map(|()| Enter::Yes)
                };
                walk(folder, links, &self.rules, enter)
            }
            Source::Polling(polling) => {
                let enter = &mut |met: &Path| {
                    let is_left_out = match depth {
                        Depth::All => false,
                        Depth::Unknown => polling.knows(met),
                        Depth::Names => true,
                    };
                    if met != folder && is_left_out {
                        return Ok(Enter::No);
                    }
                    polling.enter(met);
                    Ok(Enter::Yes)
                };
                walk(folder, links, &self.rules, enter)
            }
        };
        match listing {
            Ok(listing) => {
                for link in &listing.links {
                    self.links.insert(link.clone());
                    self.expect(link);
                }
                listing
            }
            Err(error) => {
                self.poll(notices::refused(&error));
                self.list(folder, depth)
            }
        }
    }

    /// Takes the hints since the last call; never blocks.
    pub fn gather(&mut self, now: Nanoseconds) -> Hints {
        let mut hints = Hints::default();
        match &mut self.source {
            Source::Events(events) => {
                events.read(&self.rules, &mut hints);
                for repository in &mut self.repositories {
                    hints.git |= hints.paths.remove(&repository.lock()).is_some();
                    hints.git |= hints.paths.remove(&repository.head()).is_some() && repository.has_moved();
                }
            }
            Source::Polling(polling) if polling.next <= now => {
                let before = nanoseconds(ClockId::CLOCK_THREAD_CPUTIME_ID);
                polling.look(&mut self.contents, &mut hints);
                for anchor in &self.anchors {
                    if self.contents.get(anchor).is_none() && !polling.knows(anchor) && anchor.exists() {
                        polling.tell(anchor.clone(), FileStamp::of(anchor).ok(), &mut hints);
                    }
                }
                let worked: Vec<bool> = self.repositories.iter_mut().map(Repository::has_worked).collect();
                // Git's work alone is no reason to compare anything.
                hints.git = !hints.is_empty() && worked.contains(&true);
                polling.took(nanoseconds(ClockId::CLOCK_THREAD_CPUTIME_ID) - before, now);
                if polling.interval >= SLOW && !self.told_slow {
                    self.told_slow = true;
                    self.notices.push(notices::slow(self.contents.iter().count(), polling.interval / 1_000_000));
                }
            }
            Source::Polling(_) => {}
        }
        if hints.lost {
            self.notices.push(notices::lost());
        }
        hints.lost |= std::mem::take(&mut self.compare_all);
        hints
    }

    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.repositories.iter().any(Repository::is_locked)
    }

    /// Reads some of the files that were not read yet, and returns what was hinted at meanwhile. A file that is
    /// touched before that stays unread, and so counts as changed when it is compared. `open`: the burst's paths.
    pub fn read_some(&mut self, open: Option<&BTreeMap<PathBuf, bool>>, stop: &AtomicBool) -> Hints {
        let some = self.unread.split_off(self.unread.len().saturating_sub(SOME));
        let paths: Vec<&Path> = some.iter().map(PathBuf::as_path).collect();
        let Some(found) = read_all(&paths, stop) else { return Hints::default() };
        // An event for each file that was written before it was read has arrived by now.
        let mut hints = self.gather(monotonic());
        for (path, found) in some.iter().zip(&found) {
            let is_open = hints.paths.contains_key(path) || open.is_some_and(|open| open.contains_key(path));
            if !is_open && !self.contents.fill(path, found) {
                hints.add(path.clone(), false);
            }
        }
        hints
    }

    /// Puts in the place of folders the files that may differ in them.
    pub fn expand(&mut self, hints: &mut Hints) {
        let hinted = std::mem::take(&mut hints.paths);
        if hints.lost {
            let everything: Vec<PathBuf> = self.contents.iter().map(|(path, _)| path.clone()).collect();
            hints.paths.extend(everything.into_iter().map(|path| (path, false)));
            for anchor in self.anchors.clone() {
                self.look_at(&anchor, false, Depth::All, hints);
            }
        }
        for (path, written) in hinted {
            self.look_at(&path, written, Depth::Unknown, hints);
        }
    }

    fn look_at(&mut self, path: &Path, written: bool, depth: Depth, hints: &mut Hints) {
        if path.file_name().is_some_and(is_marker) && self.drop_marked(path) {
            return;
        }
        let is_anchor = self.anchors.contains(path);
        let depth = self.depth(path, depth);
        if path.is_symlink() && !is_anchor {
            self.links.insert(path.to_owned());
        }
        if is_anchor || self.links.contains(path) {
            self.expect(path);
        }
        match fs::metadata(path) {
            Ok(data) if data.is_dir() => {
                if is_anchor || !Rules::skips_folder(path) {
                    let known: Vec<PathBuf> = self.contents.below(path).cloned().collect();
                    // Before the listing: what goes meanwhile is told.
                    let files = self.list(path, depth).files;
                    for file in known.into_iter().chain(files) {
                        self.add_if_touched(file, hints);
                    }
                }
            }
            Ok(_) => hints.add(path.to_owned(), written),
            Err(_missing) => {
                for file in self.contents.below(path) {
                    hints.add(file.clone(), false);
                }
                self.leave(path);
                hints.add(path.to_owned(), written);
            }
        }
    }

    fn add_if_touched(&self, file: PathBuf, hints: &mut Hints) {
        let stamp = FileStamp::of_file(&file);
        let is_known = |known: &crate::watch::contents::Known| known.settled && stamp == Some(known.stamp);
        if !self.contents.get(&file).is_some_and(is_known) {
            hints.add(file, false);
        }
    }

    /// A folder below the root that became a virtual environment, or a cache, is left out with all that it holds.
    fn drop_marked(&mut self, marker: &Path) -> bool {
        let Some(folder) = marker.parent().filter(|folder| !self.anchors.contains(*folder)) else { return false };
        if !Rules::skips_folder(folder) || self.contents.get(marker).is_some() || self.anchors.contains(marker) {
            return false;
        }
        let known: Vec<PathBuf> = self.contents.below(folder).cloned().collect();
        for file in &known {
            self.contents.forget(file);
        }
        self.leave(folder);
        true
    }

    fn leave(&mut self, path: &Path) {
        match &mut self.source {
            Source::Events(events) => events.leave(path),
            Source::Polling(polling) => polling.leave(path),
        }
    }

    /// Compares; None if `stop` was set meanwhile.
    pub fn compare(&mut self, hints: &Hints, stop: &AtomicBool) -> Option<Differences> {
        let paths: Vec<&Path> = hints.paths.keys().map(PathBuf::as_path).collect();
        let found = read_all(&paths, stop)?;
        if let Source::Polling(polling) = &mut self.source {
            polling.compared();
        }
        Some(self.contents.compare(&hints.paths, found))
    }
}
