//! Extends records by what runs of a part of their tests saw.

use crate::error::{Error, Result};
use crate::freshness::verdict::Variables;
use crate::functions::outline::Change;
use crate::records::extension::extended;
use crate::records::functions::CodePlaces;
use crate::records::record::{Fingerprint, Record};
use crate::records::record_path::record_path;
use crate::records::rounding;
use crate::records::text::Text;
use crate::storage::outlines;
use crate::storage::store::{Store, read_record};
use crate::storage::write::Put;

impl Store {
    /// Extends the records of these files. A file without a record gets none. A record of none of these epochs stays
    /// as it is, or goes if a test did not pass. Returns how many records' stored bytes changed.
    pub fn extend_all(
        &mut self,
        drafts: &[(Vec<u8>, String)],
        epochs: &[String],
        started: i64,
        environment: &Variables,
        before: &[(Vec<u8>, CodePlaces)],
    ) -> Result<usize> {
        let made = self.made(drafts, started, environment, before)?;
        self.write_each(&made, |store, new| store.extend(new, epochs))
    }

    /// Extends one record. None if it has to go.
    fn extend(&self, new: &Record, epochs: &[String]) -> Result<Option<Put>> {
        let place = record_path(&new.file.0);
        let Some((old, stamp)) = read_record(&self.directory, place.as_bytes()).ok().flatten() else { return Ok(None) };
        if !epochs.iter().any(|epoch| epoch.as_bytes() == old.epoch.0) {
            return Ok(new.is_clean().then_some(Put { record: old, stamp, is_changed: false }));
        }
        let content = |record: &Record, file: &Text| {
            record.closure.iter().find(|(name, _)| name == file).and_then(|(_, content)| *content)
        };
        let is_alike = |file: &Text| self.is_numbered_alike(content(&old, file), content(new, file));
        let record = extended(&old, new.clone(), is_alike);
        if rounding::is_kept(&old, &record) {
            return Ok(Some(Put { record: old, stamp, is_changed: false }));
        }
        let failed = |source| Error::Io { path: self.directory.path_of(place.as_bytes()), source };
        let stamp = self.directory.write(place.as_bytes(), &record.encode()).map_err(failed)?;
        Ok(Some(Put { record, stamp, is_changed: true }))
    }

    /// Whether two contents of a file have the same functions in the same order.
    fn is_numbered_alike(&self, then: Option<Fingerprint>, now: Option<Fingerprint>) -> bool {
        let (Some(then), Some(now)) = (then, now) else { return false };
        let outline = |content| outlines::read(&self.directory, content);
        then == now || outline(now).zip(outline(then)).is_some_and(|(now, then)| now.change_from(&then) != Change::Rest)
    }
}
