//! Outlines of sources, kept by the fingerprint of the content: what a file was when a record was made is known after
//! the content is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Rejected;
use crate::freshness::fingerprint::Found;
use crate::freshness::function_changes::Changes;
use crate::freshness::verdict::{OnDisk, Verdict};
use crate::functions::outline::{Change, Outline};
use crate::imports::source::{LARGEST_FILE, decode};
use crate::process::thread_pool::{Pool, map_chunks, stack_for};
use crate::records::record::{self, Fingerprint};
use crate::records::record_path::record_path;
use crate::records::table::{Dependency, DependencyId, Ran, Subject, TextId};
use crate::records::text::Text;
use crate::storage::directory::{OUTLINES, RecordDirectory};
use crate::storage::store::{Store, read_record};

/// A test file, and its tests that ran a function with the number of functions that each ran.
pub(crate) type Runner = (Text, Option<Vec<(Text, usize)>>);
/// A source file, and the fingerprint of the content that is asked for.
type Wanted = (Text, Fingerprint);

impl Store {
    /// What changed in the divided files whose content did. `verdicts`: of the dependencies that changed.
    pub(crate) fn function_changes(&self, verdicts: &FxHashMap<DependencyId, Verdict>, on_disk: &OnDisk) -> Changes {
        let mut changes = Changes::default();
        let is_content = |(_, verdict): &(&DependencyId, &Verdict)| **verdict == Verdict::Content;
        let changed = verdicts.iter().filter(is_content).filter_map(|(id, _)| self.table.dependency(*id));
        let names: FxHashSet<TextId> = changed.map(|one| one.name).collect();
        if names.is_empty() {
            return changes;
        }
        for divided in self.table.entries.values().flat_map(|entry| &entry.divided) {
            let Some(one) = self.table.dependency(divided.dependency).filter(|one| names.contains(&one.name)) else {
                continue;
            };
            let change = changes.by_dependency.entry(divided.dependency).or_insert_with(|| {
                let now = changes.now.entry(one.name).or_insert_with(|| self.outline_on_disk(&one, on_disk));
                self.change_of(&one, now.as_ref(), on_disk)
            });
            if let Change::Bodies(bodies) = change
                && bodies.iter().any(|body| divided.before.has(*body))
            {
                changes.for_all.insert(one.name);
            }
        }
        changes
    }

    fn outline_on_disk(&self, one: &Dependency, on_disk: &OnDisk) -> Option<Outline> {
        let wanted = on_disk.of(Subject::File, one.name)?.found.fingerprint()?;
        let name = Text(self.table.text(one.name).to_vec());
        read(&self.directory, wanted).or_else(|| self.outlined(&[(name, wanted)]).pop()?)
    }

    /// As the record has it and as it is now. A file that is as recorded did not change here.
    fn change_of(&self, one: &Dependency, now: Option<&Outline>, on_disk: &OnDisk) -> Change {
        let found = on_disk.of(Subject::File, one.name).map_or(Found::Unreadable, |seen| seen.found);
        if found.fingerprint().is_some() && found.fingerprint() == one.fingerprint {
            return Change::Rest;
        }
        let then = one.fingerprint.and_then(|then| read(&self.directory, then));
        match (now, then) {
            (Some(now), Some(then)) => now.change_from(&then),
            _unknown => Change::Rest,
        }
    }

    /// Of the last check: the divided files whose content changed, sorted, each with the functions that changed, or None
    /// where something else did.
    pub(crate) fn content_changes(&self) -> Vec<(Text, Option<Vec<String>>)> {
        let mut found: BTreeMap<Text, Option<Vec<String>>> = BTreeMap::new();
        for (id, change) in &self.last.functions.by_dependency {
            let Some(one) = self.table.dependency(*id) else { continue };
            let names = match change {
                Change::Nothing => Some(Vec::new()),
                Change::Bodies(bodies) => Some(self.last.functions.names(one.name, bodies)),
                Change::Rest => None,
            };
            // A record may be older than an edit that others know already: what counts is what differs from all of them.
            let known = found.entry(Text(self.table.text(one.name).to_vec())).or_insert_with(|| names.clone());
            *known = known.take().zip(names).map(|(known, names): (Vec<String>, Vec<String>)| {
                known.into_iter().filter(|name| names.contains(name)).collect()
            });
        }
        found.into_iter().collect()
    }

    /// The test files whose tests ran a function, each with these tests and the number of functions that each of them
    /// ran; None where it ran outside of the tests, or where that is not known.
    pub(crate) fn runners(&mut self, file: &[u8], function: &str) -> Vec<Runner> {
        self.need_load();
        let file = self.root.shorten(file);
        let Some(name) = self.table.id(&file.0) else { return Vec::new() };
        let mut found = Vec::new();
        for (test_file, entry) in &self.table.entries {
            for divided in &entry.divided {
                let one = self.table.dependency(divided.dependency).filter(|one| one.name == name);
                let Some(then) = one.and_then(|one| read(&self.directory, one.fingerprint?)) else { continue };
                let index = then.functions.iter().position(|known| known.name == function);
                if let Some(index) = index.filter(|index| divided.ran.has(*index)) {
                    let test_file = Text(self.table.text(*test_file).to_vec());
                    found.push((test_file.clone(), self.tests_that_ran(&test_file, &file, index)));
                }
            }
        }
        found.sort();
        found
    }

    /// The functions that a test ran, of each divided file; without a test those that its whole file ran. None if there
    /// is no record, or if that is not known of the test.
    pub(crate) fn functions_of(&self, test_file: &[u8], node_id: Option<&[u8]>) -> Option<Vec<(Text, Vec<String>)>> {
        let file = self.root.shorten(test_file);
        let (record, _) = read_record(&self.directory, record_path(&file.0).as_bytes()).ok()??;
        let functions = &record.functions;
        let set: Option<BTreeSet<usize>> = match node_id {
            None => None,
            Some(node_id) => {
                let index = record.tests.iter().position(|(known, _, _)| known.0 == node_id)?;
                let set = functions.sets.get((*functions.tests.get(index)?)? as usize)?;
                Some(set.iter().filter_map(|number| usize::try_from(*number).ok()).collect())
            }
        };
        let mut start = 0;
        let mut found = Vec::new();
        for divided in &functions.divided {
            let content =
                record.closure.iter().find(|(path, _)| *path == divided.file).and_then(|(_, content)| *content);
            let names = content.and_then(|content| read(&self.directory, content)).map(|outline| outline.functions);
            let is_in = |index: usize| match &set {
                Some(set) => set.contains(&(start + index)),
                None => divided.ran.has(index),
            };
            let names = names.unwrap_or_default().into_iter().enumerate().filter(|(index, _)| is_in(*index));
            found.push((divided.file.clone(), names.map(|(_, function)| function.name).collect()));
            start += divided.count;
        }
        Some(found)
    }

    fn tests_that_ran(&self, test_file: &Text, file: &Text, function: usize) -> Option<Vec<(Text, usize)>> {
        let (record, _) = read_record(&self.directory, record_path(&test_file.0).as_bytes()).ok()??;
        let tests = record.functions.tests_that_ran(&[(file.clone(), vec![function])])?;
        let row = |index: usize| {
            let set = (*record.functions.tests.get(index)?)? as usize;
            Some((record.tests.get(index)?.0.clone(), record.functions.sets.get(set)?.len()))
        };
        Some(tests.into_iter().filter_map(row).collect())
    }

    /// Of the last check: the functions of a file that changed since a test file's record and that the test file ran;
    /// None if the record does not divide the file, or if something else changed in it.
    pub(crate) fn changed_functions(&self, test_file: &[u8], file: &[u8]) -> Option<Vec<String>> {
        let (test_file, file) = (self.root.shorten(test_file), self.root.shorten(file));
        let name = self.table.id(&file.0)?;
        let entry = self.table.entries.get(&self.table.id(&test_file.0)?)?;
        let is_of_file = |divided: &&Ran| self.table.dependency(divided.dependency).is_some_and(|one| one.name == name);
        let divided = entry.divided.iter().find(is_of_file)?;
        match self.last.functions.by_dependency.get(&divided.dependency)? {
            Change::Nothing => Some(Vec::new()),
            Change::Bodies(bodies) => {
                let ran: Vec<usize> = bodies.iter().copied().filter(|body| divided.ran.has(*body)).collect();
                Some(self.last.functions.names(name, &ran))
            }
            Change::Rest => None,
        }
    }

    /// The outlines of these files, as far as they have the content that is asked for and can be read.
    pub(crate) fn outlines(&self, wanted: &BTreeSet<Wanted>) -> HashMap<Text, Outline> {
        let wanted: Vec<&Wanted> = wanted.iter().collect();
        let known = map_chunks(&wanted, |(_, content)| read(&self.directory, *content));
        let is_missing = |(_, known): &(&&Wanted, &Option<Outline>)| known.is_none();
        let missing: Vec<Wanted> =
            wanted.iter().zip(&known).filter(is_missing).map(|(wanted, _)| (*wanted).clone()).collect();
        let made = self.outlined(&missing);
        for ((_, content), outline) in missing.iter().zip(&made) {
            if let Some(outline) = outline {
                self.keep(*content, outline);
            }
        }
        let known = wanted.into_iter().map(|(file, _)| file.clone()).zip(known);
        let made = missing.into_iter().map(|(file, _)| file).zip(made);
        known.chain(made).filter_map(|(file, outline)| Some((file, outline?))).collect()
    }

    fn keep(&self, content: Fingerprint, outline: &Outline) {
        if let Ok(payload) = serde_json::to_vec(outline) {
            // Without it the file is not divided next time, no more.
            let _best_effort = self.directory.write(&place(content), &record::sealed("outline", &payload));
        }
    }

    fn outlined(&self, wanted: &[Wanted]) -> Vec<Option<Outline>> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let outline = |(file, content): &Wanted| outline_of(&self.root.path().join(file.as_path()), *content);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
        match Pool::start(threads, stack_for(LARGEST_FILE)) {
            Some(pool) => pool.map(wanted, outline),
            None => wanted.iter().map(|_unread| None).collect(),
        }
    }
}

fn outline_of(path: &Path, content: Fingerprint) -> Option<Outline> {
    parsed(&fs::read(path).ok().filter(|bytes| Fingerprint::of(bytes) == content)?)
}

/// The outline of the bytes of a source.
#[must_use]
pub(crate) fn of_source(source: &[u8]) -> Option<Outline> {
    let pool = Pool::start(1, stack_for(LARGEST_FILE))?;
    pool.map(&[source], |source| parsed(source)).pop()?
}

fn parsed(source: &[u8]) -> Option<Outline> {
    let outline = || decode(source).and_then(|text| Outline::of(&text));
    catch_unwind(outline).unwrap_or(Err(Rejected::Panicked)).ok()
}

fn place(content: Fingerprint) -> Vec<u8> {
    format!("{OUTLINES}/{content}.json").into_bytes()
}

pub(crate) fn read(directory: &RecordDirectory, content: Fingerprint) -> Option<Outline> {
    let (bytes, _) = directory.read(&place(content)).ok()?;
    serde_json::from_slice(record::opened("outline", &bytes).ok()?).ok()
}

/// Takes over the outlines that a record of another store needs.
pub(crate) fn adopt(own: &RecordDirectory, other: &RecordDirectory, record: &record::Record) {
    let divided: BTreeSet<&Text> = record.functions.divided.iter().map(|divided| &divided.file).collect();
    let contents = record.closure.iter().filter(|(file, _)| divided.contains(file)).filter_map(|(_, content)| *content);
    for place in contents.map(place) {
        if own.path_of(&place).is_file() {
            continue;
        }
        if let Ok((bytes, _)) = other.read(&place)
            && record::opened("outline", &bytes).is_ok()
        {
            let _best_effort = own.write(&place, &bytes);
        }
    }
}
