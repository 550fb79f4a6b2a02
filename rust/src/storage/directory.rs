//! The folder of the records: its layout, its owner, and how its files are read and written.
//!
//! Many processes write here at once and may be killed at any point: a file appears as a whole, by a rename, or its
//! checksum fails. Nothing is synchronised to the disk, since a lost record costs time only.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::OFlag;

use crate::filesystem::stat::{FileStamp, now};
use crate::process::thread_pool::map_chunks;
use crate::records::record::{Bad, SCHEMA};

const PREFIX: &str = "records-";
/// Folders of what records share, by name.
pub(crate) const EPOCHS: &str = "epochs";
pub(crate) const OUTLINES: &str = "outlines";
const TEMPORARY: &[u8] = b"tmp-";
/// A writer that needs longer is dead.
const LIFE_OF_TEMPORARY: i64 = 3_600_000_000_000;
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# The records of pytest-hotreload.\n";

pub struct RecordDirectory {
    folder: PathBuf,
    path: PathBuf,
}

/// All that a walk met: record files by their place, and what is in the way of one.
#[derive(Default)]
pub struct Walked {
    pub records: Vec<(Vec<u8>, FileStamp)>,
    pub bad: Vec<(Vec<u8>, Bad)>,
    pub temporary: Vec<(PathBuf, FileStamp)>,
    folders: Vec<Vec<u8>>,
}

impl RecordDirectory {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        let path = folder.join(format!("{PREFIX}{SCHEMA}"));
        Self { folder, path }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn path_of(&self, place: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(place))
    }

    /// Whether it is there; an error says why it is not to be used.
    pub fn exists(&self) -> io::Result<bool> {
        let data = match fs::symlink_metadata(&self.path) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let refused = |reason: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        match data.is_dir() {
            false if data.is_symlink() => refused("it is a symbolic link"),
            false => refused("it is no folder"),
            true if data.uid() != nix::unistd::geteuid().as_raw() => refused("it belongs to another user"),
            true => Ok(true),
        }
    }

    /// The newest directory of an older version.
    #[must_use]
    pub fn older(&self) -> Option<PathBuf> {
        let places = (0..SCHEMA).rev().map(|schema| self.folder.join(format!("{PREFIX}{schema}")));
        places.into_iter().find(|place| place.is_dir())
    }

    pub fn create(&self) -> io::Result<()> {
        if self.exists()? {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        make_folder(&self.path)?;
        self.exists()?;
        self.write(b"CACHEDIR.TAG", TAG.as_bytes())?;
        self.write(b".gitignore", b"*\n").map(drop)
    }

    pub fn read(&self, place: &[u8]) -> io::Result<(Vec<u8>, FileStamp)> {
        // Not blocked by a FIFO, not led elsewhere by a link.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let mut file = File::options().read(true).custom_flags(flags.bits()).open(self.path_of(place))?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(data.len()).unwrap_or(0).min(1 << 24) + 1);
        file.read_to_end(&mut bytes)?;
        Ok((bytes, FileStamp::from(&data)))
    }

    pub fn write(&self, place: &[u8], bytes: &[u8]) -> io::Result<FileStamp> {
        let path = self.path_of(place);
        match self.write_to(&path, bytes) {
            // Another process has pruned the empty folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.write_to(&path, bytes),
            result => result,
        }
    }

    fn write_to(&self, path: &Path, bytes: &[u8]) -> io::Result<FileStamp> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = path.parent().unwrap_or(&self.path);
        self.make_folders(folder)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // The time, too: two containers may have a process of the same number.
        let temporary = folder.join(format!("tmp-{}-{number}-{}", std::process::id(), now()));
        let written = write_whole(&temporary, bytes).and_then(|file| {
            fs::rename(&temporary, path)?;
            // After it, since it changes the ctime.
            Ok(FileStamp::from(&file.metadata()?))
        });
        if written.is_err() {
            let _already_failing = fs::remove_file(&temporary);
        }
        written
    }

    /// Folders are ours, or made: never a link to somewhere else.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        let Ok(below) = folder.strip_prefix(&self.path) else { return Ok(()) };
        let mut path = self.path.clone();
        for part in below.components() {
            path.push(part);
            make_folder(&path)?;
        }
        Ok(())
    }

    pub fn remove(&self, place: &[u8]) -> io::Result<()> {
        match fs::remove_file(self.path_of(place)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _gone => Ok(()),
        }
    }

    #[must_use]
    pub fn walk(&self) -> Walked {
        let mut all = Walked::default();
        let mut level: Vec<Vec<u8>> = vec![b"tree".to_vec(), b"outside".to_vec()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for mut walked in map_chunks(&level, |folder| self.walk_folder(folder)) {
                all.records.append(&mut walked.records);
                all.bad.append(&mut walked.bad);
                all.temporary.append(&mut walked.temporary);
                next.append(&mut walked.folders);
            }
            all.folders.append(&mut level);
            level = next;
        }
        all
    }

    fn walk_folder(&self, folder: &[u8]) -> Walked {
        let mut walked = Walked::default();
        let entries = match fs::read_dir(self.path_of(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return walked,
            Err(error) => {
                walked.bad.push((folder.to_vec(), Bad::Unreadable(error.to_string())));
                return walked;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name().into_vec();
            let place = [folder, b"/", &name].concat();
            if let Ok(data) = entry.metadata() {
                walked.sort_in(place, &name, &data, || entry.path());
            }
        }
        walked
    }

    /// Empty folders, and temporary files of writers that are dead.
    pub fn sweep(&self, walked: &Walked) {
        let oldest = now().saturating_sub(LIFE_OF_TEMPORARY);
        let mut temporary = walked.temporary.clone();
        for folder in ["", EPOCHS, OUTLINES].map(str::as_bytes) {
            temporary.append(&mut self.walk_folder(folder).temporary);
        }
        for (path, stamp) in temporary {
            if stamp.mtime < oldest {
                let _best_effort = fs::remove_file(path);
            }
        }
        for folder in walked.folders.iter().rev() {
            let _not_empty = fs::remove_dir(self.path_of(folder));
        }
    }

    /// Removes the files of a folder that are not needed, except young ones, which another process may be about to use.
    pub fn sweep_named(&self, folder: &str, is_needed: impl Fn(&[u8]) -> bool) {
        let oldest = now().saturating_sub(LIFE_OF_TEMPORARY);
        let Ok(entries) = fs::read_dir(self.path.join(folder)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().into_vec();
            let is_old = entry.metadata().is_ok_and(|data| FileStamp::from(&data).mtime < oldest);
            if is_old && !name.strip_suffix(b".json").is_some_and(&is_needed) {
                let _best_effort = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes this directory and older ones. Links and what belongs to others stay.
    pub fn clear(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let schema = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok());
            if schema.is_some_and(|schema| schema <= SCHEMA) && entry.file_type()?.is_dir() {
                remove_all(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Walked {
    fn sort_in(&mut self, place: Vec<u8>, name: &[u8], data: &fs::Metadata, path: impl Fn() -> PathBuf) {
        // Suffixes decide first: a test file may be called `tmp-…`, too, and its record then ends in `.json`.
        match (data.is_dir(), name.ends_with(b".d"), name.ends_with(b".json")) {
            (true, true, _) => self.folders.push(place),
            (false, _, true) if data.is_file() => self.records.push((place, FileStamp::from(data))),
            (_, true, _) | (_, _, true) => self.bad.push((place, Bad::Foreign)),
            (false, ..) if name.starts_with(TEMPORARY) => self.temporary.push((path(), FileStamp::from(data))),
            _unknown => {}
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let is_there = || fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
    // An attempt would lock the folder above against all who write there.
    if is_there() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_there() => Ok(()),
        result => result,
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<File> {
    // A file of that name was left by a dead process that had this number.
    let mut file = match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            File::options().write(true).create_new(true).mode(0o600).open(path)?
        }
        result => result?,
    };
    file.write_all(bytes)?;
    Ok(file)
}

/// Others may be writing there: what they add meanwhile is tried again.
fn remove_all(path: &Path) -> io::Result<()> {
    let mut result = fs::remove_dir_all(path);
    for _ in 0..3 {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => result = fs::remove_dir_all(path),
            _done => break,
        }
    }
    result
}
