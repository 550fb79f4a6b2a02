//! Writes the records of a run. Each of their dependencies is read once, however many records name it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::filesystem::stat::FileStamp;
use crate::freshness::verdict::{Observed, OnDisk, Snapshot, Variables, observe_on_disk};
use crate::functions::division::Divisible;
use crate::process::thread_pool::map_chunks;
use crate::records::functions::CodePlaces;
use crate::records::record::{Draft, Fingerprint, Record};
use crate::records::record_path::record_path;
use crate::records::rounding;
use crate::records::table::{Subject, TextId};
use crate::records::text::Text;
use crate::storage::draft::{self, Plan};
use crate::storage::store::{Store, read_record};

/// The record that is on the disk now.
pub(crate) struct Put {
    pub(crate) record: Record,
    pub(crate) stamp: FileStamp,
    pub(crate) is_changed: bool,
}

impl Store {
    /// How many records' stored bytes changed. Of two drafts of one file the last counts. `before`: the functions that
    /// ran before all tests, by file.
    pub fn put_all(
        &mut self,
        drafts: &[(Vec<u8>, String)],
        started: i64,
        environment: &Variables,
        before: &[(Vec<u8>, CodePlaces)],
    ) -> Result<usize> {
        let made = self.made(drafts, started, environment, before)?;
        self.write_each(&made, |store, new| store.put(new.clone()).map(Some))
    }

    /// Writes a record for each of these, in parallel; None means that the record has to go. Returns how many records'
    /// stored bytes changed. One that can't be written keeps no other from being written.
    pub(crate) fn write_each(
        &mut self,
        made: &[Record],
        write: impl Fn(&Self, &Record) -> Result<Option<Put>> + Sync,
    ) -> Result<usize> {
        let written = map_chunks(made, |new| write(self, new));
        let (mut changed, mut failed) = (0, None);
        for (new, result) in made.iter().zip(written) {
            match result {
                Ok(Some(put)) => {
                    changed += usize::from(put.is_changed);
                    self.table.insert(&put.record, put.stamp);
                }
                Ok(None) => self.remove(std::slice::from_ref(&new.file.0))?,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(changed), Err)
    }

    /// The records that follow from the drafts and from what is on the disk now, sorted by file. Nothing is written but
    /// outlines.
    pub(crate) fn made(
        &mut self,
        drafts: &[(Vec<u8>, String)],
        started: i64,
        environment: &Variables,
        before: &[(Vec<u8>, CodePlaces)],
    ) -> Result<Vec<Record>> {
        let plans = self.plans(drafts)?;
        self.need_load();
        self.dependents = None;
        // Before anything is observed, since a listing may include the folder.
        self.directory.create().map_err(|source| Error::Io { path: self.directory.path_of(b""), source })?;
        let since = draft::since(started);
        let on_disk = self.look_at_inputs(&plans, since, environment);
        let before = before.iter().map(|(file, places)| (self.root.shorten(file), places)).collect();
        let divisible = Divisible::new(self.outlines(&self.watched(&plans, &on_disk)), &before);
        let made = map_chunks(&plans, |plan| {
            let functions = plan.functions(&self.root, &divisible);
            plan.record(&self.table, &on_disk, since, self.known(started), functions)
        });
        self.observe(&on_disk);
        Ok(made)
    }

    /// Sorted by file.
    fn plans(&self, drafts: &[(Vec<u8>, String)]) -> Result<Vec<Plan>> {
        let parsed = map_chunks(drafts, |(file, text)| {
            let file = self.root.shorten(file);
            let draft: Draft =
                serde_json::from_str(text).map_err(|error| Error::Draft(format!("{}: {error}", file.shown())))?;
            Ok((file.clone(), Plan::new(&self.root, file, draft)))
        });
        let plans: BTreeMap<Text, Plan> = parsed.into_iter().collect::<Result<_>>()?;
        Ok(plans.into_values().collect())
    }

    fn look_at_inputs(&mut self, plans: &[Plan], since: i64, environment: &Variables) -> OnDisk {
        let subjects = plans.iter().flat_map(|plan| plan.subjects(&mut self.table)).collect();
        let snapshot = Snapshot {
            root: self.root.path(),
            own: self.directory.folder(),
            environment,
            reports: &self.reports,
            folders: &self.folders,
            since: Some(since),
        };
        observe_on_disk(&mut self.table, &snapshot, subjects)
    }

    /// The files whose functions were watched, each with its content.
    fn watched(&self, plans: &[Plan], on_disk: &OnDisk) -> BTreeSet<(Text, Fingerprint)> {
        let files = plans.iter().flat_map(|plan| plan.watched(&self.root));
        let content = |file: Text| {
            let seen = on_disk.of(Subject::File, self.table.id(&file.0)?)?;
            Some((file, seen.found.fingerprint()?))
        };
        files.filter_map(content).collect()
    }

    /// Whether a folder or a pattern looked before the start as it was seen now.
    fn known(&self, started: i64) -> impl Fn(Subject, TextId, Observed) -> bool + '_ {
        move |subject, id, seen| {
            let known = self.observed.get(&(subject, id));
            known.is_some_and(|(then, when)| *when <= started && Some(*then) == seen.found.fingerprint())
        }
    }

    fn put(&self, mut record: Record) -> Result<Put> {
        let place = record_path(&record.file.0);
        // The record on the disk, which another process may have written, is the one that is known.
        if let Some((old, stamp)) = read_record(&self.directory, place.as_bytes()).ok().flatten() {
            let is_kept = rounding::is_kept(&old, &record) || {
                rounding::average(&old, &mut record);
                old == record
            };
            if is_kept {
                return Ok(Put { record: old, stamp, is_changed: false });
            }
        }
        let failed = |source| Error::Io { path: self.directory.path_of(place.as_bytes()), source };
        let stamp = self.directory.write(place.as_bytes(), &record.encode()).map_err(failed)?;
        Ok(Put { record, stamp, is_changed: true })
    }
}
