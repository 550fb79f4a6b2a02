//! Copies records from another store, unchanged. Merging the stores of several machines consists of this.

use std::path::Path;

use crate::error::{Error, Result};
use crate::records::record_path::record_path;
use crate::storage::directory::RecordDirectory;
use crate::storage::epochs;
use crate::storage::outlines;
use crate::storage::store::{Store, read_record};

impl Store {
    /// Takes the records of these files from the store in another folder, and what is known of their epochs. What that
    /// has none of, or none that can be used, stays as it is here. Returns how many records have other bytes now.
    pub fn adopt(&mut self, folder: &Path, files: &[Vec<u8>]) -> Result<usize> {
        let other = RecordDirectory::new(self.root.path().join(folder));
        if !other.exists().unwrap_or(false) {
            return Ok(0);
        }
        self.need_load();
        self.dependents = None;
        self.directory.create().map_err(|source| Error::Io { path: self.directory.path_of(b""), source })?;
        let mut changed = 0;
        for file in files {
            let place = record_path(&self.root.shorten(file).0);
            let Ok(Some((record, _))) = read_record(&other, place.as_bytes()) else { continue };
            epochs::adopt(&self.directory, &other, &record.epoch);
            outlines::adopt(&self.directory, &other, &record);
            let known = read_record(&self.directory, place.as_bytes()).ok().flatten();
            if known.is_some_and(|(known, _)| known == record) {
                continue;
            }
            let failed = |source| Error::Io { path: self.directory.path_of(place.as_bytes()), source };
            let stamp = self.directory.write(place.as_bytes(), &record.encode()).map_err(failed)?;
            self.table.insert(&record, stamp);
            changed += 1;
        }
        Ok(changed)
    }
}
