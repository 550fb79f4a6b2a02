//! Fingerprints of files, of the names in a folder, of everything that a pattern matches, and of the environment.
//!
//! Only the content counts; a file's status may only spare reading it. Nothing here blocks: of a FIFO or a device only
//! the kind is looked at.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::filesystem::folder::entries;
use crate::filesystem::stat::{FileStamp, Kind, now};
use crate::freshness::glob;
use crate::records::record::Fingerprint;
use crate::records::table::Cached;

const CHUNK: usize = 1 << 17;

/// The result of fingerprinting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Missing,
    Is(Fingerprint),
    /// The path exists and can't be read: equal to nothing, not even to itself.
    Unreadable,
}

impl Found {
    #[must_use]
    pub fn fingerprint(self) -> Option<Fingerprint> {
        match self {
            Self::Is(fingerprint) => Some(fingerprint),
            Self::Missing | Self::Unreadable => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub found: Found,
    pub stat: Option<FileStamp>,
    /// To be remembered: set if the file was read and was old enough.
    pub cached: Option<Cached>,
}

/// The content of a file, symbolic links followed; of anything else the kind.
#[must_use]
pub fn file(path: &Path, known: Option<&Cached>) -> Look {
    let stat = match FileStamp::of(path) {
        Ok(stat) => stat,
        Err(error) => return Look { found: without(&error), stat: None, cached: None },
    };
    let unread = |found| Look { found, stat: Some(stat), cached: None };
    match (stat.kind, known) {
        (Kind::Folder, _) => unread(Found::Is(Fingerprint::of(b"kind: folder"))),
        (Kind::Special(kind), _) => unread(Found::Is(Fingerprint::of(format!("kind: {kind}").as_bytes()))),
        (Kind::File, Some(known)) if known.stat == stat => unread(Found::Is(known.fingerprint)),
        (Kind::File, _) => read(path).unwrap_or_else(|error| unread(without(&error))),
    }
}

fn without(error: &io::Error) -> Found {
    // A link that leads to itself leads to nothing, as does a name that is too long for any file.
    match error.raw_os_error() {
        Some(number) if NOTHING.contains(&Errno::from_raw(number)) => Found::Missing,
        _there => Found::Unreadable,
    }
}

const NOTHING: [Errno; 4] = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::ENAMETOOLONG];

fn read(path: &Path) -> io::Result<Look> {
    let started = now();
    // Between the look and this a FIFO may have taken its place.
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
    let mut file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let before = FileStamp::from(&file.metadata()?);
    if !before.is_file() {
        return Err(io::Error::other("it changes while it is read"));
    }
    let fingerprint = Fingerprint::from(hash(&mut file, before.size)?);
    let after = FileStamp::from(&file.metadata()?);
    let cached = (before.was_old(started) && before == after).then_some(Cached { stat: before, fingerprint });
    Ok(Look { found: Found::Is(fingerprint), stat: Some(after), cached })
}

/// Hashes in pieces: a file may be larger than memory.
fn hash(file: &mut File, size: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(size).map_or(CHUNK, |size| size.clamp(1, CHUNK - 1) + 1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Names that a run adds to folders by itself.
fn is_litter(name: &[u8]) -> bool {
    name == b"__pycache__" || name == b".pytest_cache" || name.ends_with(b".pyc")
}

/// The names in a folder, and where it leads if it is a link. `own`: the store's folder, which is not listed.
#[must_use]
pub fn listing(folder: &Path, own: &Path) -> Found {
    match (fs::read_link(folder), names_in(folder, own)) {
        (Ok(target), Found::Is(names)) => {
            Found::Is(Fingerprint::of(&[target.as_os_str().as_bytes(), b"\0", &names.0].concat()))
        }
        (_, found) => found,
    }
}

fn names_in(folder: &Path, own: &Path) -> Found {
    let names = entries(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.name().into_vec())).collect::<io::Result<Vec<_>>>());
    let mut names = match names {
        Ok(names) => names,
        Err(error) => return absent(&error),
    };
    names.retain(|name| !is_litter(name) && own.strip_prefix(folder) != Ok(Path::new(OsStr::from_bytes(name))));
    names.sort_unstable();
    Found::Is(Fingerprint::of(&names.join(&b"\0"[..])))
}

/// A folder that is none has a fingerprint of its own.
fn absent(error: &io::Error) -> Found {
    match without(error) {
        Found::Missing => Found::Is(Fingerprint::of(b"kind: no folder")),
        other => other,
    }
}

/// The fingerprint of all files that a pattern matches, with contents. `cached` answers for a file that was hashed
/// before; what is newly hashed is added to `hashed`.
pub fn declared<'a>(
    root: &Path,
    pattern: &[u8],
    own: &Path,
    cached: impl Fn(&Path) -> Option<&'a Cached>,
    hashed: &mut Vec<(Vec<u8>, Cached)>,
) -> (Found, i64) {
    let matches = glob::matches(root, pattern, own);
    let (found, newest) = contents(root, &matches.files, cached, hashed);
    (if matches.partial { Found::Unreadable } else { found }, newest.max(matches.newest))
}

/// Files with their names below a folder, and the youngest change of one.
pub fn contents<'a>(
    folder: &Path,
    files: &[PathBuf],
    cached: impl Fn(&Path) -> Option<&'a Cached>,
    hashed: &mut Vec<(Vec<u8>, Cached)>,
) -> (Found, i64) {
    let mut hasher = blake3::Hasher::new();
    let (mut newest, mut readable) = (0, true);
    for path in files {
        let look = file(path, cached(path));
        let name = path.strip_prefix(folder).unwrap_or(path).as_os_str().as_bytes();
        hasher.update(name).update(b"\0");
        match look.found {
            Found::Is(fingerprint) => {
                hasher.update(&fingerprint.0);
            }
            // A link to nothing, or a file that went away just now.
            Found::Missing => {
                hasher.update(b"missing");
            }
            Found::Unreadable => readable = false,
        }
        let is_folder = look.stat.is_some_and(|stat| stat.is_folder());
        newest = newest.max(look.stat.filter(|_| !is_folder).map_or(0, |stat| stat.newest()));
        hashed.extend(look.cached.map(|cached| (path.as_os_str().as_bytes().to_vec(), cached)));
    }
    (if readable { Found::Is(hasher.finalize().into()) } else { Found::Unreadable }, newest)
}

/// The value of one variable, never in clear.
#[must_use]
pub fn variable(name: &[u8], value: &[u8]) -> Fingerprint {
    Fingerprint::of(&[name, value].join(&b"="[..]))
}

/// Differ from run to run, or from terminal to terminal, and say nothing that a test should depend on.
const VOLATILE: [&[u8]; 9] =
    [b"_", b"SHLVL", b"PWD", b"OLDPWD", b"COLUMNS", b"LINES", b"WINDOWID", b"TERM_SESSION_ID", b"PYTEST_CURRENT_TEST"];
const VOLATILE_PREFIXES: [&[u8]; 2] = [b"PYTEST_XDIST_", b"PYTEST_HOTRELOAD_"];

/// All variables but the volatile ones.
#[must_use]
pub fn environment<'a>(variables: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> Fingerprint {
    let is_volatile =
        |name: &[u8]| VOLATILE.contains(&name) || VOLATILE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let mut pairs: Vec<_> = variables.filter(|(name, _)| !is_volatile(name)).collect();
    pairs.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (name, value) in pairs {
        hasher.update(&variable(name, value).0);
    }
    hasher.finalize().into()
}
