//! Finds the records that depend on paths that are reported as changed, without reading the content of these.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::freshness::dependents::Dependents;
use crate::freshness::fingerprint::Found;
use crate::freshness::function_changes::LastCheck;
use crate::freshness::glob;
use crate::freshness::importable;
use crate::freshness::project_files;
use crate::freshness::verdict::{self, Variables, Verdict};
use crate::records::table::{Dependency, DependencyId, Entry, Subject, TextId};
use crate::records::text::Text;
use crate::storage::store::Store;

/// Changed paths: themselves, and the folders that they may have been added to or removed from. With a name, each folder
/// above it may have come or gone. `listings`: folders of which a name came or went. `added`: paths that came while a
/// record may have been in the making.
struct Changed {
    paths: HashSet<Vec<u8>>,
    folders: HashSet<Vec<u8>>,
    listings: HashSet<Vec<u8>>,
    added: Vec<Text>,
}

impl Changed {
    fn new(
        paths: impl Iterator<Item = Text>,
        names: impl Iterator<Item = Text>,
        added: impl Iterator<Item = Text>,
    ) -> Self {
        let paths: HashSet<Vec<u8>> = paths.map(|path| path.0).collect();
        let mut folders = HashSet::new();
        for path in &paths {
            // The second, since a folder is a package by what is in it.
            let first = parent(path);
            folders.insert(parent(first).to_vec());
            folders.insert(first.to_vec());
        }
        let mut listings = HashSet::new();
        for name in names {
            listings.insert(parent(&name.0).to_vec());
            folders.extend(ancestors(&name.0).map(<[u8]>::to_vec));
        }
        Self { paths, folders, listings, added: added.collect() }
    }

    /// Whether it, or a folder above it, is among the paths.
    fn holds(&self, path: &[u8]) -> bool {
        self.paths.contains(path) || ancestors(path).any(|above| self.paths.contains(above))
    }
}

/// Whether a name in the folder could lead to this module, or to the package that it is part of.
fn is_near(path: &[u8], folder: &[u8]) -> bool {
    module_of(path).is_some_and(|(_, suffix)| suffix.is_some()) && may_lead_into(path, folder)
}

/// As `is_near`, for a path that may be a folder, too.
fn may_lead_into(path: &[u8], folder: &[u8]) -> bool {
    module_of(path).is_some() && (parent(path) == folder || parent(parent(path)) == folder)
}

fn module_of(path: &[u8]) -> Option<(&str, Option<&str>)> {
    let name = path.rsplit(|byte| *byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(importable::module_name)
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(end) => &path[..end],
        None => b".",
    }
}

/// The folders above, from the inside out, up to the project's root or to that of the system.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(above(path), |path| above(path))
}

fn above(path: &[u8]) -> Option<&[u8]> {
    Some(parent(path)).filter(|folder| *folder != path)
}

impl Store {
    /// The test files, each with the verdict and what it is about, sorted.
    pub fn affected(
        &mut self,
        changes: &[Vec<u8>],
        names: &[Vec<u8>],
        added: &[Vec<u8>],
    ) -> Vec<(Text, Verdict, Text)> {
        self.need_load();
        let short = |path: &Vec<u8>| self.root.shorten(path);
        let changed = Changed::new(changes.iter().map(short), names.iter().map(short), added.iter().map(short));
        let dependents = self.dependents.take().unwrap_or_else(|| Dependents::of(&self.table));
        let found = self.affected_by(&changed, &dependents);
        self.dependents = Some(dependents);
        found
    }

    fn affected_by(&mut self, changed: &Changed, dependents: &Dependents) -> Vec<(Text, Verdict, Text)> {
        let paths = changed.paths.iter().map(Vec::as_slice);
        let used = dependents.near(&self.table, paths, changed.folders.iter().map(Vec::as_slice));
        let is_doubtful = |one: &Dependency| self.is_doubtful(one, changed);
        let doubtful: FxHashSet<DependencyId> =
            used.iter().filter(|(_, one)| is_doubtful(one)).map(|(id, _)| *id).collect();
        // A confirmation is of all layouts at once.
        let looked = used.iter().filter(|(id, one)| one.subject == Subject::Layout || doubtful.contains(id));
        let subjects = looked.map(|(_, one)| (one.subject, one.name)).collect();
        let subjects = if doubtful.is_empty() { Vec::new() } else { subjects };
        let on_disk = self.on_disk(subjects, &Variables::new());
        let mut verdicts: FxHashMap<DependencyId, Verdict> = FxHashMap::default();
        for (id, one) in &used {
            let seen = || verdict::change(one, on_disk.found(one));
            let verdict = self.by_path_alone(one, changed).or_else(|| doubtful.contains(id).then(seen).flatten());
            verdicts.extend(verdict.map(|verdict| (*id, verdict)));
        }
        let contents = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Content);
        let contents = contents.filter_map(|(id, _)| Some((Subject::File, self.table.dependency(*id)?.name)));
        let contents = self.on_disk(contents.collect(), &Variables::new());
        let functions = self.function_changes(&verdicts, &contents);
        let concerned: FxHashSet<TextId> =
            verdicts.keys().chain(&doubtful).flat_map(|id| dependents.test_files(*id)).copied().collect();
        // A layout that looks as confirmed may have been confirmed before, or after, that name came.
        let look = |one: &Dependency| if self.came_near(one, changed) { Found::Unreadable } else { on_disk.found(one) };
        let mut found = Vec::new();
        for file in concerned {
            let Some(entry) = self.table.entries.get(&file) else { continue };
            let is_unconcerned = |id| functions.is_unconcerned(&self.table, entry, id);
            let change = |id| verdicts.get(&id).copied().or_else(|| self.unproven(entry, id, &doubtful));
            let judged = verdict::judge(&self.table, entry, look, change, is_unconcerned);
            if judged.0 != Verdict::Fresh {
                found.push((self.about(Some(file)), judged.0, self.about(judged.1)));
            }
        }
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        self.last = LastCheck { verdicts, functions };
        found
    }

    /// Names in a folder can be looked at without reading a file's content; so can a pattern below a folder that
    /// changed as a whole, but for files that were never read.
    fn is_doubtful(&self, one: &Dependency, changed: &Changed) -> bool {
        let name = self.table.text(one.name);
        match one.subject {
            Subject::Listing | Subject::Layout => changed.folders.contains(name) || changed.holds(name),
            Subject::Declared => changed.paths.iter().any(|path| {
                let path = self.root.path().join(OsStr::from_bytes(path));
                !path.is_file()
            }),
            Subject::Project => self.is_folder_of_project(name, changed),
            // A folder that came or went with what is in it, as a search for modules may have looked for it.
            Subject::File => changed.folders.contains(name),
            Subject::Environment => false,
        }
    }

    /// The verdict where a record is no proof of what its run saw: it may have been written after the change, so that
    /// what is there now looks as recorded.
    fn unproven(&self, entry: &Entry, id: DependencyId, doubtful: &FxHashSet<DependencyId>) -> Option<Verdict> {
        let one = self.table.dependency(id).filter(|_| entry.unsettled.is_some() && doubtful.contains(&id))?;
        match one.subject {
            Subject::Listing => Some(Verdict::Listing),
            Subject::Layout => Some(Verdict::Layout),
            Subject::File => Some(Verdict::Appeared),
            _other => None,
        }
    }

    /// Whether the path is a file of the project. A path that is gone may have been a folder, or a file.
    fn is_of_project(&self, place: &[u8], path: &[u8]) -> bool {
        let path = self.full(path);
        project_files::is_of(&self.full(place), &path) && !path.is_dir() && !self.reports.contains(&path)
    }

    /// Whether a folder of the project came or went as a whole: its files may not have been reported.
    fn is_folder_of_project(&self, place: &[u8], changed: &Changed) -> bool {
        let place = self.full(place);
        changed
            .paths
            .iter()
            .map(|path| self.full(path))
            .any(|path| project_files::is_of(&place, &path) && !path.is_file())
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        match path {
            b"." => self.root.path().to_owned(),
            _below => self.root.path().join(OsStr::from_bytes(path)),
        }
    }

    fn exists(&self, path: &[u8]) -> bool {
        fs::symlink_metadata(self.root.path().join(OsStr::from_bytes(path))).is_ok()
    }

    /// Whether a module may have been added to this layout.
    fn came_near(&self, one: &Dependency, changed: &Changed) -> bool {
        let name = self.table.text(one.name);
        one.subject == Subject::Layout && changed.added.iter().any(|path| may_lead_into(&path.0, name))
    }

    /// The verdict that follows from the paths alone.
    fn by_path_alone(&self, one: &Dependency, changed: &Changed) -> Option<Verdict> {
        let name = self.table.text(one.name);
        match one.subject {
            Subject::File if changed.holds(name) => {
                // A present file counts as changed, whatever its content. A file that the record knows as missing, and
                // still is, went away before the record was written.
                let found = if self.exists(name) { Found::Unreadable } else { Found::Missing };
                verdict::change(one, found).or(Some(Verdict::Gone))
            }
            // A folder that looks as recorded may have looked otherwise before the change.
            Subject::Listing
                if changed.listings.contains(name)
                    || changed.paths.iter().any(|path| parent(path) == name && !self.exists(path)) =>
            {
                Some(Verdict::Listing)
            }
            Subject::Layout if changed.paths.iter().any(|path| is_near(path, name) && !self.exists(path)) => {
                Some(Verdict::Layout)
            }
            Subject::Layout if self.came_near(one, changed) => Some(Verdict::Layout),
            Subject::Project if changed.paths.iter().any(|path| self.is_of_project(name, path)) => {
                Some(Verdict::Project)
            }
            Subject::Declared if changed.paths.iter().any(|path| glob::is_match(name, path)) => Some(Verdict::Declared),
            _other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use super::*;

    #[test]
    fn folders_hold_what_is_below() {
        let changed = Changed::new([Text::from("a/b"), Text::from("/x")].into_iter(), empty(), empty());
        for (path, expected) in [("a/b", true), ("a/b/c/d", true), ("a/bc", false), ("a", false), ("/x/y", true)] {
            assert_eq!(changed.holds(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [b"a/b".as_slice(), b"a", b"."]);
        assert_eq!(ancestors(b"/a/b").collect::<Vec<_>>(), [b"/a".as_slice(), b"/"]);
        assert!(Changed::new([Text::from(".")].into_iter(), empty(), empty()).holds(b"any/where"));
    }
}
