//! The interface of `inotify.rs` on systems without inotify, where nothing reports changes.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::watch::burst::Hints;
use crate::watch::tree::Rules;

/// Is never made.
pub enum Events {}

pub fn remote(_path: &Path) -> Option<&'static str> {
    None
}

impl Events {
    pub fn start() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        match *self {}
    }

    pub fn enter(&mut self, _folder: &Path) -> io::Result<()> {
        match *self {}
    }

    pub fn expect(&mut self, _folder: &Path, _name: &OsStr, _path: &Path) -> io::Result<()> {
        match *self {}
    }

    pub fn leave(&mut self, _path: &Path) {
        match *self {}
    }

    pub fn read(&mut self, _rules: &Rules, _hints: &mut Hints) {
        match *self {}
    }
}
