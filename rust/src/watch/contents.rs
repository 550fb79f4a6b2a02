//! The content of each watched file as it was last read, and the comparison with its content now.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read as _;
use std::ops::Bound;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use blake3::{Hash, Hasher};
use nix::libc;

use crate::filesystem::stat::FileStamp;
use crate::process::thread_pool::Pool;

/// Files above this are compared by size and times: hashing 64 MB takes 20 ms at 3 GB/s, a quiet window.
const LARGEST_HASHED: u64 = 64 << 20;

/// A file that is written without a pause is read at most so often at once; then it is looked at again later.
const ATTEMPTS: usize = 5;

/// Below this many files (0.6 ms at the 8 to 10 µs a file of `docs/design/watching-files.md`) there is little for threads
/// to save. An estimate.
const WORTH_THREADS: usize = 64;

/// More would take from the user's own work. A choice, not measured.
const MOST_THREADS: usize = 4;

/// Enough for hashing: no recursion, and the buffer is on the heap.
const STACK: usize = 512 << 10;

const BUFFER: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Not read yet: known is only how the file was when the watching began.
    Unread,
    Hashed(Hash),
    Large(FileStamp),
    /// There, but not for us.
    Forbidden,
}

#[derive(Debug, Clone)]
pub struct Known {
    pub stamp: FileStamp,
    pub settled: bool,
    content: Content,
}

/// How a file is found: as it is, not there, or written so fast that it must be looked at again.
#[derive(Debug, Clone)]
pub enum Found {
    Gone,
    File(Known),
    Moving(Known),
}

/// The files that differ, sorted.
#[derive(Debug, Default)]
pub struct Differences {
    pub changed: Vec<PathBuf>,
    pub created: Vec<PathBuf>,
    pub deleted: Vec<PathBuf>,
    pub saved: Vec<PathBuf>,
    /// Look again: they were written while they were read.
    pub moving: Vec<PathBuf>,
}

impl Differences {
    /// Without those that were only saved.
    #[must_use]
    pub fn count(&self) -> usize {
        self.changed.len() + self.created.len() + self.deleted.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.saved.is_empty()
    }
}

/// All files that are watched, by the project's names for them.
#[derive(Default)]
pub struct Contents(BTreeMap<PathBuf, Known>);

impl Contents {
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Known> {
        self.0.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Known)> {
        self.0.iter()
    }

    /// Names below a folder, and the path itself.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.0
            .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
            .map(|(known, _)| known)
            .take_while(move |known| known.starts_with(path))
    }

    /// Notes how a file is now, to be read later. False if it is not there, or was known.
    pub fn begin(&mut self, path: &Path) -> bool {
        if self.0.contains_key(path) {
            return false;
        }
        let Some(stamp) = FileStamp::of_file(path) else { return false };
        self.0.insert(path.to_owned(), Known { stamp, settled: true, content: Content::Unread });
        true
    }

    /// Enters the content that a file had when the watching began, unless it was touched since.
    pub fn fill(&mut self, path: &Path, found: &Found) -> bool {
        match (self.0.get_mut(path), found) {
            (Some(known), Found::File(read)) if known.content == Content::Unread && known.stamp == read.stamp => {
                known.clone_from(read);
                true
            }
            (known, _) => known.is_none_or(|known| known.content != Content::Unread),
        }
    }

    pub fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Whether a file that was changed lately holds what it held, though its stamp is the same.
    pub fn is_same(&mut self, path: &Path, found: Found) -> bool {
        match (self.0.get_mut(path), found) {
            (Some(known), Found::File(read)) if known.content == read.content => {
                known.settled = read.settled;
                true
            }
            _ => false,
        }
    }

    /// Compares what was found with what was known, and knows it from now on.
    pub fn compare(&mut self, candidates: &BTreeMap<PathBuf, bool>, found: Vec<Found>) -> Differences {
        let mut differences = Differences::default();
        for ((path, written), found) in candidates.iter().zip(found) {
            let before = self.0.get(path);
            let kind = match (&found, before) {
                (Found::Gone, None) => None,
                (Found::Gone, Some(_)) => Some(&mut differences.deleted),
                (_, None) => Some(&mut differences.created),
                (Found::File(now) | Found::Moving(now), Some(before)) => {
                    if differs(before, now, *written) {
                        Some(&mut differences.changed)
                    } else {
                        is_saved(&before.stamp, &now.stamp, *written).then_some(&mut differences.saved)
                    }
                }
            };
            if let Some(kind) = kind {
                kind.push(path.clone());
            }
            match found {
                Found::Gone => drop(self.0.remove(path)),
                Found::File(now) => drop(self.0.insert(path.clone(), now)),
                Found::Moving(now) => {
                    self.0.insert(path.clone(), now);
                    differences.moving.push(path.clone());
                }
            }
        }
        differences
    }
}

/// A file that was touched before its first reading counts as changed, since its earlier content is unknown.
fn differs(before: &Known, now: &Known, written: bool) -> bool {
    match before.content {
        Content::Unread => written || before.stamp != now.stamp,
        content => content != now.content,
    }
}

fn is_saved(before: &FileStamp, now: &FileStamp, written: bool) -> bool {
    now.mtime != before.mtime || now.inode != before.inode || (written && now != before)
}

/// Reads files, in parallel if they are many; None if `stop` was set meanwhile.
#[must_use]
pub fn read_all(paths: &[&Path], stop: &AtomicBool) -> Option<Vec<Found>> {
    let read = |path: &&Path| (!stop.load(Ordering::Relaxed)).then(|| read(path));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    if paths.len() >= WORTH_THREADS
        && threads > 1
        && let Some(pool) = Pool::start(threads, STACK)
    {
        return pool.map(paths, read).into_iter().collect();
    }
    paths.iter().map(read).collect()
}

/// Reads a file until it was the same before and after.
#[must_use]
pub fn read(path: &Path) -> Found {
    let mut last = Found::Gone;
    for _ in 0..ATTEMPTS {
        last = read_once(path);
        if !matches!(last, Found::Moving(_)) {
            break;
        }
    }
    last
}

fn read_once(path: &Path) -> Found {
    // Something else than a file, put there at this moment, must not block: a named pipe would.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let Ok(mut file) = opened else { return unopened(path) };
    let Some(before) = file.metadata().ok().filter(Metadata::is_file).map(|data| FileStamp::from(&data)) else {
        return Found::Gone;
    };
    let content = match before.size > LARGEST_HASHED {
        true => Content::Large(before),
        false => hash(&mut file, &target_of(path)).map_or(Content::Forbidden, Content::Hashed),
    };
    let settled = before.is_settled();
    let known = Known { stamp: before, settled, content };
    let after = file.metadata().map(|data| FileStamp::from(&data));
    if after.is_ok_and(|after| after == before) { Found::File(known) } else { Found::Moving(known) }
}

fn unopened(path: &Path) -> Found {
    let forbidden = |stamp| Known { stamp, settled: true, content: Content::Forbidden };
    FileStamp::of_file(path).map_or(Found::Gone, |stamp| Found::File(forbidden(stamp)))
}

/// Where a link leads: part of its content, since a program may ask for that alone.
fn target_of(path: &Path) -> Vec<u8> {
    fs::read_link(path).map_or_else(|_no_link| Vec::new(), |target| target.into_os_string().into_vec())
}

fn hash(file: &mut File, target: &[u8]) -> std::io::Result<Hash> {
    let mut hasher = Hasher::new();
    hasher.update(target);
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            count => hasher.update(&buffer[..count]),
        };
    }
}
