//! The folders that the system was asked to watch, and those that need no request because they lie in a watched tree.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// How much of a folder is wanted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// What is in the folder itself.
    #[default]
    Entries,
    /// All that is below it as well.
    Everything,
}

/// Without trees, each folder is watched by itself and there is nothing to remember.
pub struct Coverage {
    trees: bool,
    /// What is watched, with the device that it lies on: a tree ends where another file system is mounted.
    roots: BTreeMap<PathBuf, (u64, Reach)>,
}

impl Coverage {
    #[must_use]
    pub fn new(trees: bool) -> Self {
        Self { trees, roots: BTreeMap::new() }
    }

    #[must_use]
    pub fn has_trees(&self) -> bool {
        self.trees
    }

    /// The reach with which a folder is watched for the sake of this one.
    #[must_use]
    pub fn reach(&self, wanted: Reach) -> Reach {
        if self.trees { wanted } else { Reach::Entries }
    }

    #[must_use]
    pub fn covers(&self, folder: &Path, device: u64, wanted: Reach) -> bool {
        let is_watched = |root: &Path, least: Reach| {
            self.roots.get(root).is_some_and(|(there, reach)| *there == device && *reach >= least)
        };
        is_watched(folder, wanted) || folder.ancestors().skip(1).any(|above| is_watched(above, Reach::Everything))
    }

    pub fn add(&mut self, folder: &Path, device: u64, reach: Reach) {
        if self.trees {
            self.roots.insert(folder.to_owned(), (device, reach));
        }
    }

    /// Whether the watch on a folder is to be ended. `needed`: something below it is still wanted.
    pub fn remove(&mut self, folder: &Path, needed: bool) -> bool {
        if !self.trees {
            return true;
        }
        match self.roots.get(folder) {
            Some((_, Reach::Everything)) if needed => false,
            Some(_) => self.roots.remove(folder).is_some(),
            None => false,
        }
    }

    /// The folders at and below a path whose watches are to be ended.
    pub fn remove_below(&mut self, path: &Path) -> Vec<PathBuf> {
        let below = self.roots.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let gone: Vec<PathBuf> =
            below.map(|(root, _)| root.clone()).take_while(|root| root.starts_with(path)).collect();
        for root in &gone {
            self.roots.remove(root);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> &Path {
        Path::new(name)
    }

    #[test]
    fn a_tree_covers_what_is_below_it_on_its_device() {
        let mut coverage = Coverage::new(true);
        coverage.add(path("/p"), 1, Reach::Everything);
        coverage.add(path("/q"), 1, Reach::Entries);
        assert!(coverage.covers(path("/p/a/b"), 1, Reach::Everything));
        assert!(!coverage.covers(path("/p/mounted"), 2, Reach::Entries));
        assert!(!coverage.covers(path("/pa"), 1, Reach::Entries));
        assert!(coverage.covers(path("/q"), 1, Reach::Entries));
        assert!(!coverage.covers(path("/q"), 1, Reach::Everything));
        assert!(!coverage.covers(path("/q/a"), 1, Reach::Entries));
    }

    #[test]
    fn a_tree_stays_while_it_is_needed() {
        let mut coverage = Coverage::new(true);
        coverage.add(path("/p"), 1, Reach::Everything);
        assert!(!coverage.remove(path("/p/a"), false), "it has no watch of its own");
        assert!(!coverage.remove(path("/p"), true));
        assert!(coverage.covers(path("/p/a"), 1, Reach::Entries));
        assert!(coverage.remove(path("/p"), false));
        assert!(!coverage.covers(path("/p/a"), 1, Reach::Entries));
    }

    #[test]
    fn what_is_gone_takes_along_what_was_below() {
        let mut coverage = Coverage::new(true);
        for name in ["/p", "/p/a", "/p/a/b", "/p/ab"] {
            coverage.add(path(name), 1, Reach::Entries);
        }
        assert_eq!(coverage.remove_below(path("/p/a")), [path("/p/a"), path("/p/a/b")]);
        assert!(coverage.covers(path("/p/ab"), 1, Reach::Entries));
    }

    #[test]
    fn without_trees_each_folder_is_watched_by_itself() {
        let mut coverage = Coverage::new(false);
        coverage.add(path("/p"), 1, Reach::Everything);
        assert_eq!(coverage.reach(Reach::Everything), Reach::Entries);
        assert!(!coverage.covers(path("/p/a"), 1, Reach::Entries));
        assert!(coverage.remove(path("/p/a"), true));
    }
}
