//! The parse cache: the imports and effects of each file, by the hash of its content. One JSON file.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::imports::effects::{Effect, Kind};
use crate::imports::parse::{Context, Import, Parsed};

/// To be raised whenever the parser, or what is kept of a file, changes.
pub(crate) const VERSION: u32 = 1;

/// Rows are arrays: a third of the size of objects.
type ImportRow = (u32, String, Option<String>, Context, u32);
type EffectRow = (u32, Kind, String);

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    files: Vec<(String, Vec<ImportRow>, Vec<EffectRow>)>,
}

/// Only the version, so that an older file is named as such and not as corrupt.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// The entries of the cache file, and which of them were used since.
#[derive(Default)]
pub struct ParseCache {
    entries: HashMap<Hash, Arc<Parsed>>,
    used: HashSet<Hash>,
    changed: bool,
}

impl ParseCache {
    /// An unreadable, corrupt or older file gives an empty cache and one line that says so.
    #[must_use]
    pub fn load(path: &Path) -> (Self, Option<String>) {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Self::default(), None),
            Err(error) => return (Self::default(), Some(format!("parse cache ignored: {error}"))),
        };
        match decode(&bytes) {
            Ok(entries) => (Self { entries, ..Self::default() }, None),
            Err(reason) => (Self::default(), Some(format!("parse cache ignored: {reason}"))),
        }
    }

    /// The entry of a content. Does not mark it as used: see [`ParseCache::touch`].
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<&Arc<Parsed>> {
        self.entries.get(hash)
    }

    /// Marks as used what a scan took from the cache: only that is written back.
    pub fn touch(&mut self, hash: Hash) {
        self.used.insert(hash);
    }

    /// Adds an entry, marked as used.
    pub fn insert(&mut self, hash: Hash, parsed: Arc<Parsed>) {
        self.changed = true;
        self.used.insert(hash);
        self.entries.insert(hash, parsed);
    }

    /// Writes beside the file and renames, so that a reader sees the old cache or the new one.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        let is_same = !self.changed && self.used.len() == self.entries.len() && path.exists();
        if is_same {
            return Ok(());
        }
        let failed = |source| Error::Io { path: path.to_owned(), source };
        write(path, &self.encode()?).map_err(failed)?;
        self.changed = false;
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut kept: Vec<_> = self.entries.iter().filter(|(hash, _)| self.used.contains(hash)).collect();
        kept.sort_by_key(|(hash, _)| *hash.as_bytes());
        let files = kept.into_iter().map(|(hash, parsed)| row(hash, parsed)).collect();
        let stored = Stored { version: VERSION, files };
        serde_json::to_vec(&stored)
            .map_err(|error| Error::Io { path: "parse cache".into(), source: std::io::Error::other(error) })
    }
}

fn row(hash: &Hash, parsed: &Parsed) -> (String, Vec<ImportRow>, Vec<EffectRow>) {
    let import = |one: &Import| (one.level, one.module.clone(), one.name.clone(), one.context, one.line);
    let effect = |one: &Effect| (one.line, one.kind, one.detail.clone());
    let imports = parsed.imports.iter().map(import).collect();
    (hash.to_hex().to_string(), imports, parsed.effects.iter().map(effect).collect())
}

fn decode(bytes: &[u8]) -> std::result::Result<HashMap<Hash, Arc<Parsed>>, String> {
    let header: Header = serde_json::from_slice(bytes).map_err(|error| format!("corrupt ({error})"))?;
    if header.version != VERSION {
        return Err(format!("version {}, expected {VERSION}", header.version));
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| format!("corrupt ({error})"))?;
    let mut entries = HashMap::with_capacity(stored.files.len());
    for (hex, imports, effects) in stored.files {
        let hash = Hash::from_hex(hex).map_err(|error| format!("corrupt ({error})"))?;
        entries.insert(hash, Arc::new(parsed(imports, effects)));
    }
    Ok(entries)
}

fn parsed(imports: Vec<ImportRow>, effects: Vec<EffectRow>) -> Parsed {
    let import = |(level, module, name, context, line)| Import { level, module, name, context, line };
    let effect = |(line, kind, detail)| Effect { line, kind, detail };
    Parsed { imports: imports.into_iter().map(import).collect(), effects: effects.into_iter().map(effect).collect() }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _already_failing = fs::remove_file(&temporary);
    }
    written
}
