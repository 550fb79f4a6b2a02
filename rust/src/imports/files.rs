//! Reads the first-party files of a scan: hashed, then parsed or taken from the cache.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;
use indexmap::{IndexMap, IndexSet};

use crate::error::Rejected;
use crate::imports::parse::{self, Parsed};
use crate::imports::parse_cache::ParseCache;
use crate::imports::source;
use crate::process::thread_pool::{Pool, stack_for};

/// A file that was looked at in this scan.
#[derive(Debug, Clone)]
pub struct Seen {
    pub hash: Option<Hash>,
    pub parsed: Arc<Parsed>,
    /// Why there is no import list yet.
    pub rejected: Option<Rejected>,
    /// The diagnostic of `supply()` or of reading.
    pub notes: Vec<(Option<u32>, String)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub files: usize,
    pub parsed: usize,
    pub cached: usize,
    pub rejected: usize,
}

#[derive(Default)]
pub struct Files {
    seen: IndexMap<PathBuf, Seen>,
    supplied: HashMap<Hash, Vec<(Option<u32>, String)>>,
    cache: ParseCache,
    counts: Counts,
}

enum Outcome {
    Unreadable(String),
    Cached(Hash),
    Parsed(Hash, Result<Parsed, Rejected>),
    NoSource,
}

impl Files {
    #[must_use]
    pub fn with(cache: ParseCache) -> Self {
        Self { cache, ..Self::default() }
    }

    pub fn cache_mut(&mut self) -> &mut ParseCache {
        &mut self.cache
    }

    /// Reads everything again, since only the content counts.
    pub fn begin(&mut self) {
        self.seen.clear();
        self.counts = Counts::default();
    }

    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Seen> {
        self.seen.get(path)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { files: self.seen.len(), rejected: self.rejected().count(), ..self.counts }
    }

    pub fn rejected(&self) -> impl Iterator<Item = (&PathBuf, &Rejected)> {
        self.seen.iter().filter_map(|(path, seen)| seen.rejected.as_ref().map(|reason| (path, reason)))
    }

    pub fn notes(&self) -> impl Iterator<Item = (&PathBuf, &(Option<u32>, String))> {
        self.seen.iter().flat_map(|(path, seen)| seen.notes.iter().map(move |note| (path, note)))
    }

    /// Looks at those of the paths that this scan has not seen.
    pub fn look_at(&mut self, paths: &IndexSet<PathBuf>, pool: &mut Option<Pool>) {
        let mut sized: Vec<(usize, &PathBuf)> =
            paths.iter().filter(|path| !self.seen.contains_key(*path)).map(|path| (size_of(path), path)).collect();
        if sized.is_empty() {
            return;
        }
        sized.sort_by(|one, other| other.cmp(one));
        let stack = stack_for(sized[0].0.min(source::LARGEST_FILE));
        if pool.as_ref().is_none_or(|pool| pool.stack() < stack) {
            *pool = None;
            *pool = Pool::start(threads_for(sized.len()), stack);
        }
        let cache = &self.cache;
        let outcomes = match pool {
            Some(pool) => pool.map(&sized, |(_, path)| examine(path, cache)),
            None => sized.iter().map(|(_, path)| without_threads(path, cache, stack)).collect(),
        };
        for ((_, path), outcome) in sized.into_iter().zip(outcomes) {
            self.keep(path.clone(), outcome);
        }
    }

    fn keep(&mut self, path: PathBuf, outcome: Outcome) {
        let mut seen = Seen { hash: None, parsed: Arc::default(), rejected: None, notes: Vec::new() };
        match outcome {
            Outcome::NoSource => {}
            Outcome::Unreadable(reason) => seen.notes.push((None, reason)),
            Outcome::Cached(hash) => {
                self.cache.touch(hash);
                self.counts.cached += 1;
                seen.hash = Some(hash);
                seen.parsed = self.cache.get(&hash).cloned().unwrap_or_default();
            }
            Outcome::Parsed(hash, Ok(parsed)) => {
                self.counts.parsed += 1;
                seen.hash = Some(hash);
                seen.parsed = Arc::new(parsed);
                self.cache.insert(hash, Arc::clone(&seen.parsed));
            }
            Outcome::Parsed(hash, Err(reason)) => {
                seen.hash = Some(hash);
                match self.supplied.get(&hash) {
                    // Supplied empty with a reason before, for the same content.
                    Some(notes) => seen.notes.clone_from(notes),
                    None => seen.rejected = Some(reason),
                }
            }
        }
        self.seen.insert(path, seen);
    }

    /// Takes the import list that the interpreter's own parser gave for a rejected file.
    pub fn supply(&mut self, path: &Path, parsed: Parsed, note: Option<(Option<u32>, String)>) -> bool {
        let Some(seen) = self.seen.get_mut(path) else { return false };
        seen.rejected = None;
        seen.parsed = Arc::new(parsed);
        match (note, seen.hash) {
            (Some(note), hash) => {
                seen.notes = vec![note];
                if let Some(hash) = hash {
                    self.supplied.insert(hash, seen.notes.clone());
                }
            }
            // Without a complaint it holds for this content, in later starts too.
            (None, Some(hash)) => self.cache.insert(hash, Arc::clone(&seen.parsed)),
            (None, None) => {}
        }
        true
    }
}

fn size_of(path: &Path) -> usize {
    fs::metadata(path).map_or(0, |data| usize::try_from(data.len()).unwrap_or(usize::MAX))
}

fn threads_for(files: usize) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(files).max(1)
}

fn examine(path: &Path, cache: &ParseCache) -> Outcome {
    read(path, cache, |text| {
        // A bug in the parser costs the file, not the run. Nothing of it is used after a panic.
        std::panic::catch_unwind(|| parse::parse(text)).unwrap_or(Err(Rejected::Panicked))
    })
}

fn read(path: &Path, cache: &ParseCache, parse: impl Fn(&str) -> Result<Parsed, Rejected>) -> Outcome {
    if path.extension().is_none_or(|suffix| suffix != "py") {
        return Outcome::NoSource;
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Outcome::Unreadable(error.to_string()),
    };
    let hash = blake3::hash(&bytes);
    if cache.get(&hash).is_some() {
        return Outcome::Cached(hash);
    }
    Outcome::Parsed(hash, source::decode(&bytes).and_then(|text| parse(&text)))
}

/// Where threads are refused nothing is parsed here: the caller's thread has no stack for it.
fn without_threads(path: &Path, cache: &ParseCache, stack: usize) -> Outcome {
    read(path, cache, |_| Err(Rejected::NoThread(stack)))
}
