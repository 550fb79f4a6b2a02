//! The state of the watcher: what is watched and in which way, from hints to the files that are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use nix::time::{ClockId, clock_gettime};

use crate::filesystem::stat::FileStamp;
use crate::watch::burst::{Hints, Nanoseconds};
use crate::watch::contents::{Contents, Differences, read_all};
use crate::watch::events::Events;
use crate::watch::git::Repository;
use crate::watch::notices;
use crate::watch::polling::Polling;
use crate::watch::remote::remote;
use crate::watch::source::{Depth, Source};
use crate::watch::system::Ring;
use crate::watch::tree::{Listing, Rules, hops, is_marker, walk};

/// Files that are read between two looks at the events, in the beginning: 3 ms at 10 µs a file.
const SOME: usize = 256;

/// A poller that looks less often than once a second says so: it is felt.
const SLOW: Nanoseconds = 1_000_000_000;

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
    let clock = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
    #[cfg(not(target_os = "macos"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    nanoseconds(clock)
}

fn nanoseconds(clock: ClockId) -> Nanoseconds {
    let now = clock_gettime(clock).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    /// `ring`: is called when there are hints; None: poll. `shortest`: the interval of polling.
    #[must_use]
    pub fn new(ignored: Vec<PathBuf>, ring: Option<Ring>, shortest: Nanoseconds) -> Self {
        let mut state = Self {
            rules: Rules::new(ignored),
            anchors: BTreeSet::new(),
            shallow: BTreeSet::new(),
            links: BTreeSet::new(),
            contents: Contents::default(),
            unread: Vec::new(),
            source: Source::Polling(Polling::new(shortest, monotonic())),
            shortest,
            repositories: Vec::new(),
            told_slow: false,
            compare_all: false,
            notices: Vec::new(),
        };
        match ring.map(Events::start) {
            None => {}
            Some(Ok(events)) => state.source = Source::Events(Box::new(events)),
            Some(Err(error)) => state.notices.push(notices::refused(&error)),
        }
        state
    }

    #[must_use]
    pub fn is_polling(&self) -> bool {
        self.source.is_polling()
    }

    /// The time of the next look, and the interval of looks: 0 with events.
    #[must_use]
    pub fn next_look(&self) -> (Option<Nanoseconds>, Nanoseconds) {
        self.source.next_look()
    }

    /// Whether there are hints to gather that did not ring.
    #[must_use]
    pub fn has_hints(&self) -> bool {
        matches!(&self.source, Source::Events(events) if events.has_hints())
    }

    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Watches a path from now on, whether it is there or not. `deep`: a folder with all that is below it, not only the
    /// names in it.
    pub fn add(&mut self, path: &Path, deep: bool) {
        if let (false, Some(kind)) = (self.is_polling(), remote(path)) {
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
        self.repositories.push(repository);
        self.expect_git();
    }

    fn expect_git(&mut self) {
        let marks: Vec<PathBuf> = self.repositories.iter().flat_map(|one| [one.lock(), one.head()]).collect();
        for mark in marks {
            self.expect(&mark);
        }
    }

    /// Polls from now on, what was watched until now as well.
    fn poll(&mut self, notice: String) {
        self.notices.push(notice);
        self.source = Source::Polling(Polling::new(self.shortest, monotonic()));
        self.compare_all = true;
    }

    /// The way to a path may change: by its links, by its coming, if it is a file by its replacement.
    fn expect(&mut self, path: &Path) {
        if self.is_polling() {
            return;
        }
        if let Err(error) = self.source.expect(&hops(path), path) {
            self.poll(notices::refused(&error));
        }
    }

    /// Lists a folder, and puts a watch on it and on those below.
    fn list(&mut self, folder: &Path, depth: Depth) -> Listing {
        let links = (!self.anchors.contains(folder)).then_some(&self.links);
        let source = &mut self.source;
        let enter = &mut |met: &Path, place: &Path| source.enter(met, place, depth, met == folder);
        let listing = walk(folder, links, &self.rules, enter);
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

    /// Afterwards, hints of all that happened before this call are there to be gathered.
    pub fn catch_up(&mut self) {
        self.source.catch_up();
    }

    /// Takes the hints since the last call; never blocks.
    pub fn gather(&mut self, now: Nanoseconds) -> Hints {
        let mut hints = Hints::default();
        match &mut self.source {
            Source::Events(events) => {
                let ended = events.read(&self.rules, &mut hints).err();
                self.note_git(&mut hints);
                if let Some(error) = ended {
                    self.poll(notices::refused(&error));
                }
            }
            Source::Polling(polling) if polling.next <= now => self.look(now, &mut hints),
            Source::Polling(_) => {}
        }
        if hints.lost {
            self.notices.push(notices::lost());
        }
        hints.lost |= std::mem::take(&mut self.compare_all);
        hints
    }

    /// Git's lock and HEAD are no files of the project. What was hinted at may be gone, and come back.
    fn note_git(&mut self, hints: &mut Hints) {
        let mut is_told = false;
        for repository in &mut self.repositories {
            let lock = hints.paths.remove(&repository.lock()).is_some();
            let head = hints.paths.remove(&repository.head()).is_some();
            hints.git |= lock || (head && repository.has_moved());
            is_told |= lock || head;
        }
        if is_told {
            self.expect_git();
        }
    }

    /// Polls once.
    fn look(&mut self, now: Nanoseconds, hints: &mut Hints) {
        let Source::Polling(polling) = &mut self.source else { return };
        let before = nanoseconds(ClockId::CLOCK_THREAD_CPUTIME_ID);
        polling.look(&mut self.contents, hints);
        for anchor in &self.anchors {
            if self.contents.get(anchor).is_none() && !polling.knows(anchor) && anchor.exists() {
                polling.tell(anchor.clone(), FileStamp::of(anchor).ok(), hints);
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
        // An event for each file that was written before it was read is there then.
        self.catch_up();
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
            self.expect_git();
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
                self.source.leave(path);
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
        self.source.leave(folder);
        true
    }

    /// Ends the system's events, and the thread that collects them.
    pub fn close(&mut self) {
        self.source = Source::Polling(Polling::new(self.shortest, monotonic()));
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
