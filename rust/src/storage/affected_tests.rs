//! The tests of affected files that ran what changed, by the last check.

use crate::freshness::verdict::Verdict;
use crate::functions::outline::Change;
use crate::process::thread_pool::map_chunks;
use crate::records::record::Record;
use crate::records::record_path::record_path;
use crate::records::table::Entry;
use crate::records::text::Text;
use crate::storage::store::{Store, read_record};

/// What changed of an affected file's dependencies, and the part of its tests that this concerns.
#[derive(Default)]
pub(crate) struct AffectedPart {
    /// Node ids; None if any test may be concerned.
    pub(crate) tests: Option<Vec<Text>>,
    /// The recorded seconds of these tests.
    pub(crate) seconds: f64,
    /// The number of all tests of the file, and their recorded seconds.
    pub(crate) all: usize,
    pub(crate) all_seconds: f64,
    /// As `Store::concerning_changes`.
    pub(crate) changes: Vec<(Text, Option<Vec<String>>)>,
}

impl Store {
    /// The tests of a file that ran a function that changed, by the last check; None if any test may be concerned.
    pub(crate) fn affected_tests(&self, test_file: &[u8]) -> Option<Vec<Text>> {
        self.affected_part(test_file).tests
    }

    /// Of each test file, by the last check, the part that what changed concerns.
    pub(crate) fn affected_parts(&self, test_files: &[Vec<u8>]) -> Vec<AffectedPart> {
        map_chunks(test_files, |file| self.affected_part(file))
    }

    fn affected_part(&self, test_file: &[u8]) -> AffectedPart {
        let file = self.root.shorten(test_file);
        let changes = self.concerning_changes(test_file);
        let Some((record, _)) = read_record(&self.directory, record_path(&file.0).as_bytes()).ok().flatten() else {
            return AffectedPart { changes, ..AffectedPart::default() };
        };
        let found = self.entry(&file).and_then(|entry| self.tests_of(entry, &record));
        let seconds_of = |index: &usize| record.tests.get(*index).map_or(0.0, |(_, _, seconds)| *seconds);
        let node_id = |index: &usize| record.tests.get(*index).map(|(node_id, _, _)| node_id.clone());
        AffectedPart {
            seconds: found.iter().flatten().map(seconds_of).sum(),
            tests: found.map(|tests| tests.iter().filter_map(node_id).collect()),
            all: record.tests.len(),
            all_seconds: record.tests.iter().map(|(_, _, seconds)| seconds).sum(),
            changes,
        }
    }

    fn entry(&self, file: &Text) -> Option<&Entry> {
        self.table.entries.get(&self.table.id(&file.0)?)
    }

    /// Indexes of tests; None if any test may be concerned.
    fn tests_of(&self, entry: &Entry, record: &Record) -> Option<Vec<usize>> {
        if !record.functions.undivided.0.is_empty() {
            return None;
        }
        let mut changed: Vec<(Text, Vec<usize>)> = Vec::new();
        let mut is_changed = false;
        for (id, verdict) in entry.dependencies.iter().filter_map(|id| Some((*id, *self.last.verdicts.get(id)?))) {
            if verdict == Verdict::Content && self.last.functions.is_unconcerned(&self.table, entry, id) {
                continue;
            }
            is_changed = true;
            // What else changed of the project concerns only the tests that start processes.
            if verdict == Verdict::Project {
                continue;
            }
            let one = self.table.dependency(id)?;
            match self.last.functions.by_dependency.get(&id)? {
                Change::Rest => return None,
                Change::Nothing => {}
                Change::Bodies(_) if self.last.functions.for_all.contains(&one.name) => return None,
                Change::Bodies(bodies) => changed.push((Text(self.table.text(one.name).to_vec()), bodies.clone())),
            }
        }
        // Without a change it is affected for another reason, such as a failure.
        if is_changed { record.functions.tests_that_ran(&changed).filter(|tests| !tests.is_empty()) } else { None }
    }

    /// By the last check: the files whose changed content concerns a test file, sorted, each with the changed functions
    /// that it ran, or None where more than functions changed, or where it is not known which of them it ran.
    pub(crate) fn concerning_changes(&self, test_file: &[u8]) -> Vec<(Text, Option<Vec<String>>)> {
        let Some(entry) = self.entry(&self.root.shorten(test_file)) else { return Vec::new() };
        let mut found = Vec::new();
        for id in &entry.dependencies {
            let is_content = self.last.verdicts.get(id) == Some(&Verdict::Content);
            let Some(one) = self.table.dependency(*id).filter(|_| is_content) else { continue };
            if self.last.functions.is_unconcerned(&self.table, entry, *id) {
                continue;
            }
            let file = Text(self.table.text(one.name).to_vec());
            let names = self.changed_functions(test_file, &file.0).filter(|names| !names.is_empty());
            found.push((file, names));
        }
        found.sort();
        found.dedup();
        found
    }
}
