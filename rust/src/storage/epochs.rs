//! Epochs: named inputs that all records of a run share.
//!
//! Records refer to an epoch by its fingerprint. The inputs behind a fingerprint are kept, so that a difference can be
//! reported.

use std::collections::{BTreeMap, BTreeSet};

use crate::records::json::Json;
use crate::records::record::{self, Fingerprint};
use crate::records::text::Text;
use crate::storage::directory::{EPOCHS, RecordDirectory};
use crate::storage::store::Store;

/// Inputs of an epoch, by name.
pub type Inputs = BTreeMap<Text, Text>;
/// A name, what it was, what it is.
pub type Change = (Text, Option<Text>, Option<Text>);

impl Store {
    /// The fingerprint of some inputs. They are remembered; where that fails they are not, and it is noted.
    pub fn epoch(&mut self, inputs: &Inputs) -> String {
        let payload = inputs_json(inputs);
        let epoch = Fingerprint::of(&payload).to_string();
        let place = epoch_place(&epoch);
        let is_known =
            || self.directory.exists().is_ok_and(|exists| exists) && self.directory.path_of(&place).is_file();
        let sealed = record::sealed("epoch", &payload);
        let written = if is_known() {
            Ok(())
        } else {
            self.directory.create().and_then(|()| self.directory.write(&place, &sealed).map(drop))
        };
        if let Err(error) = written {
            self.notes.push(format!("environment not stored: {}: {error}", self.directory.path_of(&place).display()));
        }
        epoch
    }

    /// The differences from the inputs of an epoch; None if the epoch is not known.
    #[must_use]
    pub fn epoch_changes(&self, epoch: &str, inputs: &Inputs) -> Option<Vec<Change>> {
        self.directory.exists().ok().filter(|exists| *exists && is_hex(epoch.as_bytes()))?;
        let (bytes, _) = self.directory.read(&epoch_place(epoch)).ok()?;
        let then: Inputs = serde_json::from_slice(record::opened("epoch", &bytes).ok()?).ok()?;
        let names: BTreeSet<&Text> = then.keys().chain(inputs.keys()).collect();
        let changes = names.into_iter().map(|name| (name.clone(), then.get(name).cloned(), inputs.get(name).cloned()));
        Some(changes.filter(|(_, then, now)| then != now).collect())
    }
}

/// Remembers what an epoch of another store stands for; where that fails its differences can't be told, no more.
pub(crate) fn adopt(own: &RecordDirectory, other: &RecordDirectory, epoch: &Text) {
    let Some(epoch) = std::str::from_utf8(&epoch.0).ok().filter(|epoch| is_hex(epoch.as_bytes())) else { return };
    let place = epoch_place(epoch);
    if own.path_of(&place).is_file() {
        return;
    }
    if let Ok((bytes, _)) = other.read(&place)
        && record::opened("epoch", &bytes).is_ok()
    {
        let _best_effort = own.write(&place, &bytes);
    }
}

fn is_hex(epoch: &[u8]) -> bool {
    !epoch.is_empty() && epoch.iter().all(u8::is_ascii_hexdigit)
}

fn epoch_place(epoch: &str) -> Vec<u8> {
    format!("{EPOCHS}/{epoch}.json").into_bytes()
}

fn inputs_json(inputs: &Inputs) -> Vec<u8> {
    let mut out = Json::default();
    out.object(&Vec::from_iter(inputs), |out, (name, value)| {
        out.text(name);
        out.raw(":");
        out.text(value);
    });
    out.done()
}
