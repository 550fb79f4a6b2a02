//! Lists a folder.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub struct Entry(fs::DirEntry);

impl Entry {
    #[must_use]
    pub fn name(&self) -> OsString {
        self.0.file_name()
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    pub fn is_link(&self) -> io::Result<bool> {
        self.0.file_type().map(|kind| kind.is_symlink())
    }

    /// Whether the name is that of a folder, or of a link to one. Only a link costs a system call.
    pub fn is_folder(&self) -> io::Result<bool> {
        self.0.file_type().map(|kind| if kind.is_symlink() { self.path().is_dir() } else { kind.is_dir() })
    }
}

/// In the order of the file system. An entry may be an error, too.
pub fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    Ok(fs::read_dir(folder)?.map(|entry| entry.map(Entry)))
}
