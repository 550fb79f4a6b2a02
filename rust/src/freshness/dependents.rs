//! Reverse dependency index: path → dependency → test files.
//!
//! The index is built once for each table, so that a query costs time in proportion to its result.

use rustc_hash::FxHashSet;

use crate::records::table::{Dependency, DependencyId, Subject, Table, TextId};

pub struct Dependents {
    /// Dependencies on files, sorted by the files' names.
    files: Vec<(TextId, DependencyId)>,
    /// Dependencies on folders, patterns and layouts: few, and a change of one path may concern any of them.
    others: Vec<DependencyId>,
    /// For each dependency the index of its first test file; its test files end where those of the next begin.
    starts: Vec<usize>,
    tests: Vec<TextId>,
}

impl Dependents {
    #[must_use]
    pub fn of(table: &Table) -> Self {
        let mut starts = vec![0; table.dependencies.len() + 1];
        for id in table.entries.values().flat_map(|entry| &entry.dependencies) {
            if let Some(count) = starts.get_mut(*id as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut tests = vec![0; sum];
        for (test, entry) in &table.entries {
            for id in &entry.dependencies {
                let Some(at) = next.get_mut(*id as usize) else { continue };
                if let Some(place) = tests.get_mut(*at) {
                    *place = *test;
                }
                *at += 1;
            }
        }
        let mut found = Self { files: Vec::new(), others: Vec::new(), starts, tests };
        found.sort(table);
        found
    }

    fn sort(&mut self, table: &Table) {
        for (id, one) in (0..).zip(&table.dependencies) {
            match one.subject {
                _unused if self.test_files(id).is_empty() => {}
                Subject::File => self.files.push((one.name, id)),
                Subject::Listing | Subject::Declared | Subject::Project | Subject::Layout => self.others.push(id),
                Subject::Environment => {}
            }
        }
        self.files.sort_unstable_by_key(|(name, _)| table.text(*name));
    }

    /// The test files that have this dependency.
    #[must_use]
    pub fn test_files(&self, id: DependencyId) -> &[TextId] {
        let at = |index: usize| self.starts.get(index).copied().unwrap_or(self.tests.len());
        self.tests.get(at(id as usize)..at(id as usize + 1)).unwrap_or_default()
    }

    /// The dependencies that a change of these paths may concern: on each path, on paths below, on each of these
    /// `folders`, and on more than one file.
    pub fn near<'a>(
        &self,
        table: &Table,
        paths: impl Iterator<Item = &'a [u8]>,
        folders: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<(DependencyId, Dependency)> {
        let below = paths.flat_map(|path| self.at_or_below(table, path));
        let at = folders.flat_map(|folder| self.from(table, folder, move |name| name == folder).map(|(_, id)| id));
        let ids: FxHashSet<DependencyId> = below.chain(at).chain(self.others.iter().copied()).collect();
        ids.into_iter().filter_map(|id| Some((id, table.dependency(id)?))).collect()
    }

    fn at_or_below(&self, table: &Table, path: &[u8]) -> Vec<DependencyId> {
        let slash: &[u8] = if path.ends_with(b"/") { b"" } else { b"/" };
        let prefix = [path, slash].concat();
        let exact = self.from(table, path, |name| name == path);
        let inside = match path {
            // The root: what is relative is below it.
            b"." => self.from(table, b"", |_| true).filter(|(name, _)| !name.starts_with(b"/")).collect(),
            _other => self.from(table, &prefix, |name| name.starts_with(&prefix)).collect::<Vec<_>>(),
        };
        exact.chain(inside).map(|(_, id)| id).collect()
    }

    /// From a name on, as long as it holds.
    fn from<'a>(
        &'a self,
        table: &'a Table,
        first: &[u8],
        holds: impl Fn(&[u8]) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a [u8], DependencyId)> + 'a {
        let start = self.files.partition_point(|(name, _)| table.text(*name) < first);
        let rest = self.files.get(start..).unwrap_or_default().iter();
        rest.map(|(name, id)| (table.text(*name), *id)).take_while(move |(name, _)| holds(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::stat::FileStamp;
    use crate::records::table::Entry;

    /// One test file for each name, which it is called after and depends on.
    fn table(names: &[&str]) -> Table {
        let mut table = Table::default();
        for name in names {
            let file = table.intern(format!("test {name}").as_bytes());
            let own = table.depend(Subject::File, name.as_bytes(), None);
            let folder = table.depend(Subject::Listing, b"folder", None);
            let entry = Entry {
                stamp: FileStamp::default(),
                epoch: file,
                is_clean: true,
                unsettled: None,
                dependencies: Box::new([own, folder]),
                confirmed: Box::default(),
                ports: Box::default(),
                writes: Box::default(),
                divided: Box::default(),
            };
            table.entries.insert(file, entry);
        }
        table
    }

    fn found(path: &str) -> Vec<String> {
        let table = table(&["a", "a/b", "a/b/c", "a-b", "a.py", "ab", "/x", "/x/y", "z"]);
        let dependents = Dependents::of(&table);
        let near = dependents.near(&table, std::iter::once(path.as_bytes()), std::iter::empty());
        let files = near.iter().filter(|(_, one)| one.subject == Subject::File);
        let tests = files.flat_map(|(id, _)| dependents.test_files(*id));
        let mut names: Vec<String> =
            tests.map(|id| String::from_utf8_lossy(table.text(*id)).replace("test ", "")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_path_and_all_below_it() {
        assert_eq!(found("a"), ["a", "a/b", "a/b/c"]);
        assert_eq!(found("a/b"), ["a/b", "a/b/c"]);
        assert_eq!(found("a.py"), ["a.py"]);
        assert_eq!(found("/"), ["/x", "/x/y"]);
        assert_eq!(found("."), ["a", "a-b", "a.py", "a/b", "a/b/c", "ab", "z"]);
        assert!(found("b").is_empty());
    }

    #[test]
    fn all_test_files_of_a_dependency() {
        let table = table(&["a", "b", "c"]);
        let dependents = Dependents::of(&table);
        let near = dependents.near(&table, std::iter::once(b"other".as_slice()), std::iter::empty());
        let [(id, one)] = near.as_slice() else { panic!("{near:?}") };
        assert_eq!(one.subject, Subject::Listing);
        let mut tests: Vec<&[u8]> = dependents.test_files(*id).iter().map(|id| table.text(*id)).collect();
        tests.sort_unstable();
        assert_eq!(tests, [b"test a", b"test b", b"test c"]);
    }
}
