//! Hints from the system's events. One folder can have several names, since links lead to it; the system is asked once
//! for each folder, under its path without links, and the names are kept here.
//!
//! notify tells of a folder by the path under which it was watched, and stops watching at that path when the folder, or
//! one above it, was moved or deleted. The same is forgotten here, and all its names are hinted at: who looks at these
//! watches again, before listing again.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::watch::burst::Hints;
use crate::watch::coverage::Reach;
use crate::watch::system::{Ring, Seen, SystemEvents};
use crate::watch::tree::Rules;

/// A folder that is replaced by another one between two looks is looked at again so often.
const ATTEMPTS: usize = 5;

/// The device and the inode, which differ for folders that are there at the same time.
type Id = (u64, u64);

fn identity(folder: &Path) -> Option<Id> {
    fs::metadata(folder).ok().filter(fs::Metadata::is_dir).map(|data| (data.dev(), data.ino()))
}

#[derive(Default)]
struct Folder {
    /// Where it is watched, without links.
    place: PathBuf,
    reach: Reach,
    /// Events were lost, so another folder may be in its place.
    doubtful: bool,
    /// The names under which all that is in the folder is wanted.
    names: Vec<PathBuf>,
    /// Entries that are wanted for the sake of other paths: a link's target, a file that was asked for.
    entries: HashMap<OsString, Vec<PathBuf>>,
}

impl Folder {
    fn is_wanted(&self) -> bool {
        !self.names.is_empty() || !self.entries.is_empty()
    }
}

pub struct Events {
    system: SystemEvents,
    folders: HashMap<Id, Folder>,
    places: BTreeMap<PathBuf, Id>,
    names: BTreeMap<PathBuf, Id>,
    /// Names of folders that are no longer where they were watched.
    displaced: Vec<PathBuf>,
}

impl Events {
    /// `ring`: is called when there is something to read.
    pub fn start(ring: Ring) -> io::Result<Self> {
        Ok(Self::of(SystemEvents::start(ring)?))
    }

    fn of(system: SystemEvents) -> Self {
        let (folders, places, names, displaced) = Default::default();
        Self { system, folders, places, names, displaced }
    }

    /// Watches all that is in a folder. `place`: the folder's path without links. A folder that is gone or forbidden is
    /// no error, reaching the limit is.
    pub fn enter(&mut self, folder: &Path, place: &Path, reach: Reach) -> io::Result<()> {
        let Some(id) = self.watched(place, reach)? else { return Ok(()) };
        let names = &mut self.folders.entry(id).or_default().names;
        if !names.iter().any(|name| name == folder) {
            names.push(folder.to_owned());
        }
        if let Some(old) = self.names.insert(folder.to_owned(), id).filter(|old| *old != id) {
            self.leave_one(folder, old);
        }
        Ok(())
    }

    /// Has events of one name in a folder reported as of `path`.
    pub fn expect(&mut self, place: &Path, name: &OsStr, path: &Path) -> io::Result<()> {
        let Some(id) = self.watched(place, Reach::Entries)? else { return Ok(()) };
        let wanted = self.folders.entry(id).or_default().entries.entry(name.to_owned()).or_default();
        if !wanted.iter().any(|known| known == path) {
            wanted.push(path.to_owned());
        }
        Ok(())
    }

    /// Ends the watching of a folder and of all below, under this name.
    pub fn leave(&mut self, path: &Path) {
        for (name, id) in below(&self.names, path) {
            self.names.remove(&name);
            self.leave_one(&name, id);
        }
    }

    fn leave_one(&mut self, name: &Path, id: Id) {
        let Some(folder) = self.folders.get_mut(&id) else { return };
        folder.names.retain(|known| known != name);
        if folder.is_wanted() {
            return;
        }
        let place = mem::take(&mut folder.place);
        self.folders.remove(&id);
        if self.places.get(&place) == Some(&id) {
            self.places.remove(&place);
            let needed = !below(&self.places, &place).is_empty();
            self.system.unwatch(&place, needed);
        }
    }

    /// The folder that is in a place, watched from now on at the latest.
    fn watched(&mut self, place: &Path, reach: Reach) -> io::Result<Option<Id>> {
        for _ in 0..ATTEMPTS {
            let Some(id) = identity(place) else { return Ok(None) };
            let is_watched = |folder: &Folder| !folder.doubtful && self.system.is_enough(folder.reach, reach);
            if self.folders.get(&id).is_some_and(is_watched) {
                return Ok(Some(id));
            }
            self.make_way(place, id);
            if !self.system.watch(place, id.0, reach)? {
                return Ok(None);
            }
            if identity(place) == Some(id) {
                let folder = self.folders.entry(id).or_default();
                (folder.place, folder.reach, folder.doubtful) = (place.to_owned(), reach, false);
                self.places.insert(place.to_owned(), id);
                return Ok(Some(id));
            }
            self.system.unwatch(place, false);
        }
        Err(io::Error::other(format!("{} is replaced again and again", place.display())))
    }

    /// Ends the watch of another folder in this place, and that of this folder if it is in doubt: notify takes a place
    /// that it knows for watched.
    fn make_way(&mut self, place: &Path, id: Id) {
        if self.places.get(place).is_some_and(|there| *there != id) {
            let mut hints = Hints::default();
            self.forget(place, &mut hints);
            self.displaced.extend(hints.paths.into_keys());
        }
        let doubtful = self.folders.get(&id).filter(|folder| folder.doubtful).map(|folder| folder.place.clone());
        if let Some(former) = doubtful.filter(|former| self.places.get(former) == Some(&id)) {
            self.places.remove(&former);
            self.system.unwatch(&former, false);
        }
    }

    /// Whether `read` has hints that did not ring.
    #[must_use]
    pub fn has_hints(&self) -> bool {
        !self.displaced.is_empty()
    }

    /// Afterwards, `read` has all that happened before this call, where the system makes that possible.
    pub fn catch_up(&mut self) {
        self.system.catch_up();
    }

    /// All hints that wait; never blocks. An error: there will be no more.
    pub fn read(&mut self, rules: &Rules, hints: &mut Hints) -> io::Result<()> {
        let told = self.system.take();
        hints.events += told.count;
        for (path, seen) in told.paths {
            self.hint(&path, seen, rules, hints);
        }
        for path in self.displaced.drain(..) {
            hints.add(path, false);
        }
        if told.lost {
            hints.lost = true;
            self.doubt();
        }
        if told.ended { Err(io::Error::other("its events have ended")) } else { Ok(()) }
    }

    fn hint(&mut self, path: &Path, seen: Seen, rules: &Rules, hints: &mut Hints) {
        let parent = path.parent().and_then(|parent| self.folders.get(self.places.get(parent)?));
        if let (Some(folder), Some(name)) = (parent, path.file_name()) {
            for entry in folder.names.iter().map(|known| known.join(name)) {
                if !rules.skips_name(&entry, name) {
                    hints.add(entry, seen.written);
                }
            }
            for wanted in folder.entries.get(name).into_iter().flatten() {
                hints.add(wanted.clone(), seen.written);
            }
        }
        if seen.gone {
            for (place, _) in below(&self.places, path) {
                self.forget(&place, hints);
            }
            self.system.unwatch_below(path);
        }
    }

    /// A watched folder was deleted or moved: a folder that takes its place is another one. Where a file was to appear
    /// in it, the way there is looked at again.
    fn forget(&mut self, place: &Path, hints: &mut Hints) {
        let Some(id) = self.places.remove(place) else { return };
        self.system.unwatch(place, false);
        let Some(folder) = self.folders.remove(&id) else { return };
        for name in folder.names {
            if self.names.get(&name) == Some(&id) {
                self.names.remove(&name);
            }
            hints.add(name, false);
        }
        for path in folder.entries.into_values().flatten() {
            hints.add(path, false);
        }
    }

    /// After a loss, folders may have been replaced without an event, even by others of the same number.
    fn doubt(&mut self) {
        if self.system.follows_folders() {
            self.folders.values_mut().for_each(|folder| folder.doubtful = true);
        }
    }
}

/// A path and those below it.
fn below(paths: &BTreeMap<PathBuf, Id>, path: &Path) -> Vec<(PathBuf, Id)> {
    let from = paths.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
    from.take_while(|(known, _)| known.starts_with(path)).map(|(known, id)| (known.clone(), *id)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// A folder of its own for a test, and events in the way of Linux or, with trees, in that of macOS.
    fn start(name: &str, trees: bool) -> (PathBuf, Events) {
        let root = std::env::temp_dir().canonicalize().unwrap();
        let root = root.join(format!("events-{name}-{trees}-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        (root, Events::of(SystemEvents::with(Box::new(|| ()), trees).unwrap()))
    }

    fn enter(events: &mut Events, folders: &[&Path]) {
        for folder in folders {
            events.enter(folder, &folder.canonicalize().unwrap(), Reach::Everything).unwrap();
        }
    }

    /// All hints until that at a path came.
    fn until(events: &mut Events, path: &Path) -> Hints {
        let (rules, started) = (Rules::new([]), Instant::now());
        let mut hints = Hints::default();
        while !hints.paths.contains_key(path) {
            assert!(started.elapsed() < Duration::from_secs(10), "no hint at {} but {hints:?}", path.display());
            events.read(&rules, &mut hints).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        hints
    }

    #[test]
    fn a_folder_that_moves_is_forgotten_with_all_below_and_watched_in_its_new_place() {
        for trees in [false, true] {
            let (root, mut events) = start("moves", trees);
            enter(&mut events, &[&root, &root.join("a"), &root.join("a/b")]);
            fs::rename(root.join("a"), root.join("c")).unwrap();
            let hints = until(&mut events, &root.join("c"));
            assert!(hints.paths.contains_key(&root.join("a")) && hints.paths.contains_key(&root.join("a/b")));
            assert_eq!(events.places.keys().collect::<Vec<_>>(), [&root]);
            enter(&mut events, &[&root.join("c"), &root.join("c/b")]);
            fs::write(root.join("c/b/file"), "").unwrap();
            assert!(until(&mut events, &root.join("c/b/file")).paths[&root.join("c/b/file")], "written");
            fs::remove_dir_all(&root).unwrap();
        }
    }

    #[test]
    fn a_root_that_is_replaced_is_another_folder() {
        for trees in [false, true] {
            let (root, mut events) = start("replaced", trees);
            let place = root.join("a");
            enter(&mut events, &[&place]);
            fs::rename(&place, root.join("away")).unwrap();
            until(&mut events, &place);
            fs::create_dir(&place).unwrap();
            enter(&mut events, &[&place]);
            fs::write(place.join("file"), "").unwrap();
            until(&mut events, &place.join("file"));
            fs::remove_dir_all(&root).unwrap();
        }
    }

    #[test]
    fn after_a_loss_each_folder_is_watched_anew() {
        let (root, mut events) = start("loss", false);
        let place = root.join("a/b");
        enter(&mut events, &[&place]);
        fs::remove_dir(&place).unwrap();
        // The events of this are lost, and the new folder may have the old one's inode.
        fs::create_dir(&place).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(events.system.take());
        events.doubt();
        enter(&mut events, &[&place]);
        fs::write(place.join("file"), "").unwrap();
        until(&mut events, &place.join("file"));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_folder_that_changed_places_without_an_event_gives_way() {
        let (root, mut events) = start("places", false);
        let place = root.join("a/b");
        enter(&mut events, &[&place]);
        // The folder above is not watched; what the folder itself tells is not read yet.
        fs::rename(root.join("a"), root.join("away")).unwrap();
        fs::create_dir_all(&place).unwrap();
        enter(&mut events, &[&place]);
        assert!(events.has_hints());
        fs::write(place.join("file"), "").unwrap();
        assert!(until(&mut events, &place.join("file")).paths.contains_key(&place));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_folder_has_all_names_that_lead_to_it_until_these_are_left() {
        for trees in [false, true] {
            let (root, mut events) = start("names", trees);
            let (real, link) = (root.join("a"), root.join("link"));
            std::os::unix::fs::symlink("a", &link).unwrap();
            enter(&mut events, &[&real, &link, &real.join("b")]);
            fs::write(real.join("one"), "").unwrap();
            assert!(until(&mut events, &real.join("one")).paths.contains_key(&link.join("one")));
            events.leave(&link);
            fs::write(real.join("two"), "").unwrap();
            assert!(!until(&mut events, &real.join("two")).paths.contains_key(&link.join("two")));
            // Of what is below it, something is still wanted.
            events.names.remove(&real);
            let id = events.places[&real];
            events.leave_one(&real, id);
            fs::write(real.join("b/three"), "").unwrap();
            until(&mut events, &real.join("b/three"));
            fs::remove_dir_all(&root).unwrap();
        }
    }

    #[test]
    fn entries_that_are_expected_are_told_as_of_the_path_that_wants_them() {
        for trees in [false, true] {
            let (root, mut events) = start("entries", trees);
            events.expect(&root, OsStr::new("later"), Path::new("/wanted")).unwrap();
            fs::write(root.join("neighbour"), "").unwrap();
            fs::write(root.join("later"), "").unwrap();
            let hints = until(&mut events, Path::new("/wanted"));
            assert_eq!(hints.paths.keys().collect::<Vec<_>>(), [Path::new("/wanted")]);
            fs::remove_dir_all(&root).unwrap();
        }
    }
}
