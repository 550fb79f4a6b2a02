//! Polls each file and folder without reading it, where no events are available.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::filesystem::stat::FileStamp;
use crate::watch::burst::{Hints, Nanoseconds};
use crate::watch::contents::{Contents, read};

/// The part of a core that looking may take, one in so many: the users' limit is 2 %, one in 50, and a look's system
/// calls cost somewhat more than the thread's own clock says (50 was measured to take 2.1 %). At 1.5 µs a file,
/// 200 ms are enough for 2,000 files.
const PART: u64 = 64;

pub struct Polling {
    /// The shortest interval …
    shortest: Nanoseconds,
    /// … and the one that the last look's cost allows.
    pub interval: Nanoseconds,
    pub next: Nanoseconds,
    folders: BTreeMap<PathBuf, Option<FileStamp>>,
    /// Paths that were hinted at and not compared yet.
    hinted: HashMap<PathBuf, Option<FileStamp>>,
}

impl Polling {
    #[must_use]
    pub fn new(shortest: Nanoseconds, now: Nanoseconds) -> Self {
        let (folders, hinted) = Default::default();
        Self { shortest, interval: shortest, next: now + shortest, folders, hinted }
    }

    #[must_use]
    pub fn knows(&self, folder: &Path) -> bool {
        self.folders.contains_key(folder)
    }

    /// To be called before the folder is listed.
    pub fn enter(&mut self, folder: &Path) {
        // A second entry may come within one tick of the clock: then the listing is to be had again.
        let stamp = FileStamp::of(folder).ok().filter(FileStamp::is_settled);
        self.folders.insert(folder.to_owned(), stamp);
    }

    pub fn leave(&mut self, path: &Path) {
        self.folders.retain(|folder, _| !folder.starts_with(path));
    }

    /// Notes what a look cost, and when the next one is due.
    pub fn took(&mut self, cost: Nanoseconds, now: Nanoseconds) {
        self.interval = self.shortest.max(cost * PART);
        self.next = now + self.interval;
    }

    /// All that was hinted at was compared.
    pub fn compared(&mut self) {
        self.hinted.clear();
    }

    /// Hints at paths whose status differs from that at the last comparison or look.
    pub fn look(&mut self, contents: &mut Contents, hints: &mut Hints) {
        let mut touched: Vec<(PathBuf, Option<FileStamp>)> = Vec::new();
        let mut unsettled: Vec<PathBuf> = Vec::new();
        for (path, known) in contents.iter() {
            let stamp = FileStamp::of_file(path);
            if stamp != Some(known.stamp) {
                touched.push((path.clone(), stamp));
            } else if !known.settled {
                unsettled.push(path.clone());
            }
        }
        for (folder, known) in &self.folders {
            let stamp = FileStamp::of(folder).ok();
            if stamp.is_none() || stamp != *known {
                touched.push((folder.clone(), stamp));
            }
        }
        for (path, stamp) in touched {
            self.tell(path, stamp, hints);
        }
        for path in unsettled {
            if !contents.is_same(&path, read(&path)) {
                hints.add(path, false);
            }
        }
    }

    /// Each state of a path is an event once, or a burst would never be quiet.
    pub fn tell(&mut self, path: PathBuf, stamp: Option<FileStamp>, hints: &mut Hints) {
        if self.hinted.get(&path) != Some(&stamp) {
            self.hinted.insert(path.clone(), stamp);
            // Whether it was written, or its rights were changed, its times will say.
            hints.add(path, false);
        }
    }
}
