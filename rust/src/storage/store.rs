//! The store: one record for each test file, in a folder of its own.
//!
//! Nothing that is found in the folder is an error. A file that is not usable is ignored, and noted in one line.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, Result};
use crate::filesystem::stat::{FileStamp, now};
use crate::freshness::dependents::Dependents;
use crate::freshness::function_changes::LastCheck;
use crate::freshness::glob;
use crate::freshness::importable::Folders;
use crate::freshness::verdict::OnDisk;
use crate::process::thread_pool::map_chunks;
use crate::records::index;
use crate::records::record::{self, Bad, Fingerprint, Record};
use crate::records::record_path::record_path;
use crate::records::root::Root;
use crate::records::table::{Dependency, DependencyId, Entry, Subject, Table, TextId};
use crate::records::text::Text;
use crate::storage::directory::{EPOCHS, OUTLINES, RecordDirectory, Walked};

const INDEX: &[u8] = b"index";

/// Flags, writes, and tests as node id and outcome.
pub(crate) type Results = (Vec<Text>, Vec<Text>, Vec<(Text, Text)>);

/// The records of all test files of a project, read from the disk when they are first needed.
pub struct Store {
    pub(crate) directory: RecordDirectory,
    pub(crate) root: Root,
    pub(crate) table: Table,
    pub(crate) notes: Vec<String>,
    is_loaded: bool,
    pub(crate) folders: Folders,
    /// Files that runs write at their end: no input of a test's, though they may lie among the project's.
    pub(crate) reports: HashSet<PathBuf>,
    /// Folders and patterns, as they have been since when.
    pub(crate) observed: HashMap<(Subject, TextId), (Fingerprint, i64)>,
    /// The index of the records as they are; None until it is needed.
    pub(crate) dependents: Option<Dependents>,
    /// Layouts as they were looked at, until they are confirmed.
    pub(super) looked: HashMap<TextId, Vec<Dependency>>,
    pub(crate) last: LastCheck,
    /// The index when it was read.
    index: Option<FileStamp>,
}

impl Store {
    /// Reads nothing yet. `folder`: where the records are, absolute or below `rootdir`.
    #[must_use]
    pub fn new(folder: &Path, rootdir: &Path) -> Self {
        let root = Root::new(rootdir);
        Self {
            directory: RecordDirectory::new(root.path().join(folder)),
            root,
            table: Table::default(),
            notes: Vec::new(),
            is_loaded: false,
            folders: Folders::default(),
            reports: HashSet::new(),
            observed: HashMap::new(),
            dependents: None,
            looked: HashMap::new(),
            last: LastCheck::default(),
            index: None,
        }
    }

    pub(crate) fn leave_out(&mut self, reports: impl IntoIterator<Item = PathBuf>) {
        self.reports.extend(reports);
    }

    #[must_use]
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Brings the table in line with the disk; says how many records there are.
    pub(crate) fn load(&mut self) -> usize {
        self.notes.clear();
        self.dependents = None;
        self.looked.clear();
        self.index = FileStamp::of_file(&self.directory.path_of(INDEX));
        match self.directory.exists() {
            Ok(true) => {
                self.refresh();
            }
            Ok(false) => {
                self.table.entries.clear();
                // Once: the records that this run writes are there the next time.
                let older = self
                    .directory
                    .older()
                    .map(|path| format!("records ignored: {}: of an older version", path.display()));
                self.notes.extend(older);
            }
            Err(error) => {
                self.table.entries.clear();
                self.notes.push(format!("records ignored: {}: {error}", self.directory.path_of(b"").display()));
            }
        }
        self.is_loaded = true;
        self.table.entries.len()
    }

    /// Whether another process has saved records since this one loaded them.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_loaded && FileStamp::of_file(&self.directory.path_of(INDEX)) != self.index
    }

    pub(crate) fn need_load(&mut self) {
        if !self.is_loaded {
            self.load();
        }
    }

    fn refresh(&mut self) -> Walked {
        if !self.is_loaded
            && let Some(table) = self.directory.read(INDEX).ok().and_then(|(bytes, _)| index::decode(&bytes))
        {
            self.table = table;
        }
        let mut walked = self.directory.walk();
        let changed = self.drop_changed(&walked);
        let read = map_chunks(&changed, |place| read_record(&self.directory, place));
        for (place, result) in changed.into_iter().zip(read) {
            match result {
                Ok(Some((record, stamp))) => self.table.insert(&record, stamp),
                Ok(None) => {}
                Err(bad) => walked.bad.push((place, bad)),
            }
        }
        self.note(&walked.bad);
        walked
    }

    /// Forgets what is gone or differs; returns the places of what is to be read.
    fn drop_changed(&mut self, walked: &Walked) -> Vec<Vec<u8>> {
        let stamps: FxHashMap<&[u8], FileStamp> =
            walked.records.iter().map(|(place, stamp)| (place.as_slice(), *stamp)).collect();
        let mut same: FxHashSet<&[u8]> = FxHashSet::default();
        let texts = &self.table.texts;
        self.table.entries.retain(|file, entry| {
            let place = texts.get_index(*file as usize).map(|file| record_path(file));
            let known = place.and_then(|place| stamps.get_key_value(place.as_bytes()));
            known.is_some_and(|(place, stamp)| *stamp == entry.stamp && same.insert(place))
        });
        walked
            .records
            .iter()
            .map(|(place, _)| place)
            .filter(|place| !same.contains(place.as_slice()))
            .cloned()
            .collect()
    }

    fn note(&mut self, bad: &[(Vec<u8>, Bad)]) {
        let mut kinds: BTreeMap<&'static str, Vec<(&[u8], &Bad)>> = BTreeMap::new();
        for (place, reason) in bad {
            kinds.entry(reason.kind()).or_default().push((place, reason));
        }
        for found in kinds.into_values() {
            let Some((place, reason)) = found.iter().min() else { continue };
            let path = self.directory.path_of(place);
            let more = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
            self.notes.push(format!("record ignored: {}: {reason}{more}", path.display()));
        }
    }

    /// The test files that have a record.
    pub fn files(&mut self) -> Vec<Text> {
        self.need_load();
        self.table.files().into_iter().map(|file| Text(file.to_vec())).collect()
    }

    /// The test files that have a record, by its epoch.
    pub(crate) fn files_by_epoch(&mut self) -> HashMap<Text, Vec<Text>> {
        self.need_load();
        let mut found: HashMap<Text, Vec<Text>> = HashMap::new();
        for (file, entry) in &self.table.entries {
            let files = found.entry(self.about(Some(entry.epoch))).or_default();
            files.push(self.about(Some(*file)));
        }
        found
    }

    /// Those of the epochs that any record names.
    pub(crate) fn epoch_ids(&self, epochs: &[String]) -> Vec<TextId> {
        epochs.iter().filter_map(|epoch| self.table.id(epoch.as_bytes())).collect()
    }

    /// The file, its ports and its writes, of each record that names any.
    pub(crate) fn conflicts(&mut self) -> Vec<(Text, Vec<Text>, Vec<Text>)> {
        self.need_load();
        let table = &self.table;
        let text = |id: &TextId| Text(table.text(*id).to_vec());
        let texts = |ids: &[TextId]| ids.iter().map(text).collect();
        let has_any = |entry: &Entry| !(entry.ports.is_empty() && entry.writes.is_empty());
        let found = table.entries.iter().filter(|(_, entry)| has_any(entry));
        let mut found: Vec<(Text, Vec<Text>, Vec<Text>)> =
            found.map(|(file, entry)| (text(file), texts(&entry.ports), texts(&entry.writes))).collect();
        found.sort_unstable();
        found
    }

    /// The record's JSON, from the disk.
    #[must_use]
    pub fn get(&self, file: &[u8]) -> Option<String> {
        self.directory.exists().ok().filter(|exists| *exists)?;
        let (record, _) = read_record(&self.directory, record_path(&self.root.shorten(file).0).as_bytes()).ok()??;
        let bytes = record.encode();
        let payload = record::opened("record", &bytes).ok()?;
        Some(String::from_utf8_lossy(payload).into_owned())
    }

    /// The results of each record, from the disk; None where there is no record.
    #[must_use]
    pub(crate) fn results(&self, files: &[Vec<u8>]) -> Vec<Option<Results>> {
        if !self.directory.exists().unwrap_or(false) {
            return files.iter().map(|_none| None).collect();
        }
        let places: Vec<String> = files.iter().map(|file| record_path(&self.root.shorten(file).0)).collect();
        map_chunks(&places, |place| {
            let (record, _) = read_record(&self.directory, place.as_bytes()).ok()??;
            let tests = record.tests.into_iter().map(|(node_id, outcome, _seconds)| (node_id, outcome));
            Some((record.flags, record.writes, tests.collect()))
        })
    }

    /// Remembers since when folders and patterns have looked as they do.
    pub(crate) fn observe(&mut self, on_disk: &OnDisk) {
        let now = now();
        for (subject, id, seen) in on_disk.all() {
            let (Some(fingerprint), Subject::Listing | Subject::Declared | Subject::Project | Subject::Layout) =
                (seen.found.fingerprint(), subject)
            else {
                continue;
            };
            let known = self.observed.entry((subject, id)).or_insert((fingerprint, now));
            if known.0 != fingerprint {
                *known = (fingerprint, now);
            }
        }
    }

    pub(crate) fn remove(&mut self, files: &[Vec<u8>]) -> Result<()> {
        self.need_load();
        self.dependents = None;
        if !self.directory.exists().unwrap_or(false) {
            return Ok(());
        }
        for file in files {
            let file = self.root.shorten(file);
            let place = record_path(&file.0);
            let failed = |source| Error::Io { path: self.directory.path_of(place.as_bytes()), source };
            self.directory.remove(place.as_bytes()).map_err(failed)?;
            if let Some(id) = self.table.id(&file.0) {
                self.table.entries.remove(&id);
            }
        }
        Ok(())
    }

    /// Removes the records of test files that are gone; returns those.
    pub(crate) fn prune(&mut self) -> Result<Vec<Text>> {
        self.load();
        // Without its root nothing is known to be gone.
        if !self.root.path().is_dir() || !self.directory.exists().unwrap_or(false) {
            return Ok(Vec::new());
        }
        let mut gone = self.files();
        gone.retain(|file| is_gone(&self.root.path().join(file.as_path())));
        let paths: Vec<Vec<u8>> = gone.iter().map(|file| file.0.clone()).collect();
        self.remove(&paths)?;
        self.directory.sweep(&self.directory.walk());
        let epochs: HashSet<&[u8]> = self.table.entries.values().map(|entry| self.table.text(entry.epoch)).collect();
        self.directory.sweep_named(EPOCHS, |epoch| epochs.contains(epoch));
        let contents: HashSet<String> = self.divided_contents();
        let is_used = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| contents.contains(name));
        self.directory.sweep_named(OUTLINES, is_used);
        Ok(gone)
    }

    /// The contents of all divided files, as fingerprints.
    fn divided_contents(&self) -> HashSet<String> {
        let divided = self.table.entries.values().flat_map(|entry| &entry.divided);
        let contents = divided.filter_map(|divided| self.table.dependency(divided.dependency)?.fingerprint);
        contents.map(|content| content.to_string()).collect()
    }

    /// Forgets all records, and removes them from the disk.
    pub fn clear(&mut self) -> Result<()> {
        self.table = Table::default();
        self.dependents = None;
        self.observed.clear();
        self.notes.clear();
        self.is_loaded = false;
        self.directory.clear().map_err(|source| Error::Io { path: self.directory.folder().to_owned(), source })
    }

    /// Every record file that is not what it should be, and the reason.
    #[must_use]
    pub fn verify(&self) -> Vec<(PathBuf, String)> {
        match self.directory.exists() {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(error) => return vec![(self.directory.path_of(b""), error.to_string())],
        }
        let mut walked = self.directory.walk();
        let places: Vec<Vec<u8>> = walked.records.into_iter().map(|(place, _)| place).collect();
        let results = map_chunks(&places, |place| read_record(&self.directory, place).err());
        walked.bad.extend(places.into_iter().zip(results).filter_map(|(place, bad)| Some((place, bad?))));
        walked.bad.sort();
        walked.bad.into_iter().map(|(place, bad)| (self.directory.path_of(&place), bad.to_string())).collect()
    }

    /// Writes the index, so that the next run need not read every record.
    pub fn save(&mut self) -> Result<()> {
        self.need_load();
        let failed = |source| Error::Io { path: self.directory.path_of(INDEX), source };
        if !self.directory.exists().map_err(failed)? {
            return Ok(());
        }
        let (patterns, projects) = (self.names(Subject::Declared), self.names(Subject::Project));
        let has = |place: &[u8], path: &[u8]| match place {
            b"." => !path.starts_with(b"/"),
            _other => path.strip_prefix(place).is_some_and(|rest| rest.starts_with(b"/")),
        };
        // A file that only a pattern or a folder names has no text of its own among the dependencies.
        let is_declared = |id| {
            let path = self.table.text(id);
            patterns.iter().any(|pattern| glob::is_match(pattern, path))
                || projects.iter().any(|place| has(place, path))
        };
        let bytes = index::encode(&self.table, is_declared);
        self.directory.write(INDEX, &bytes).map(drop).map_err(failed)
    }

    /// The files and folders outside of the root that any record depends on, whether they exist or not, sorted.
    pub(crate) fn outside(&mut self) -> Vec<Text> {
        self.need_load();
        let is_path = |one: &Dependency| matches!(one.subject, Subject::File | Subject::Listing | Subject::Layout);
        let used = self.used().into_iter().filter_map(|id| self.table.dependency(id)).filter(is_path);
        let names: BTreeSet<&[u8]> = used.map(|one| self.table.text(one.name)).collect();
        names.into_iter().filter(|name| name.starts_with(b"/")).map(|name| Text(name.to_vec())).collect()
    }

    fn used(&self) -> FxHashSet<DependencyId> {
        self.table.entries.values().flat_map(|entry| entry.dependencies.iter().copied()).collect()
    }

    fn names(&self, subject: Subject) -> HashSet<&[u8]> {
        let used = self.used().into_iter().filter_map(|id| self.table.dependency(id));
        used.filter(|one| one.subject == subject).map(|one| self.table.text(one.name)).collect()
    }

    /// Records, their bytes on the disk, and the distinct paths that they name.
    pub fn statistics(&mut self) -> (usize, u64, usize) {
        self.need_load();
        let bytes = self.table.entries.values().map(|entry| entry.stamp.size).sum();
        let used = self.used();
        let is_path = |one: &Dependency| matches!(one.subject, Subject::File | Subject::Listing | Subject::Layout);
        let paths: HashSet<TextId> =
            used.into_iter().filter_map(|id| self.table.dependency(id)).filter(is_path).map(|one| one.name).collect();
        (self.table.entries.len(), bytes, paths.len())
    }
}

/// None if it is gone by now.
pub(crate) fn read_record(
    directory: &RecordDirectory,
    at: &[u8],
) -> std::result::Result<Option<(Record, FileStamp)>, Bad> {
    let (bytes, stamp) = match directory.read(at) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Bad::Unreadable(error.to_string())),
    };
    let record = Record::decode(&bytes)?;
    match record_path(&record.file.0).as_bytes() == at {
        true => Ok(Some((record, stamp))),
        false => Err(Bad::Misplaced(record.file.shown())),
    }
}

fn is_gone(path: &Path) -> bool {
    let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    fs::metadata(path).is_err_and(|error| gone.contains(&error.kind()))
}
