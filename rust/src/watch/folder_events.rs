//! Reports that something was added, removed or changed in one of some folders, but not what, and not below them.
//!
//! This serves folders that change seldom and are too large for a [`crate::watch::watcher::Watcher`]: nothing is read.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::watch::coverage::Reach;
use crate::watch::system::SystemEvents;

pub struct FolderEvents {
    system: Mutex<SystemEvents>,
    /// Readable when something was told.
    bell: UnixStream,
}

impl FolderEvents {
    /// A folder that does not exist has no events, even if it is made later. An error where the system has no events.
    pub fn new(folders: &[PathBuf]) -> io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        // At most one byte waits for each call of `drain`: it always fits.
        let ring = Box::new(move || {
            let _full = (&rung).write(&[0]);
        });
        let mut system = SystemEvents::start(ring)?;
        for folder in folders {
            watch(&mut system, folder)?;
        }
        Ok(Self { system: Mutex::new(system), bell })
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Discards all events; returns whether there were any.
    #[must_use]
    pub fn drain(&self) -> bool {
        let mut bytes = [0; 64];
        // Before what was told is taken: what comes meanwhile rings again.
        while (&self.bell).read(&mut bytes).is_ok_and(|count| count > 0) {}
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.catch_up();
        !system.take().is_empty()
    }
}

fn watch(system: &mut SystemEvents, folder: &Path) -> io::Result<()> {
    let Ok(place) = fs::canonicalize(folder) else { return Ok(()) };
    match fs::metadata(&place) {
        Ok(data) if data.is_dir() => system.watch(&place, data.dev(), Reach::Entries).map(|_is_there| ()),
        _ => Ok(()),
    }
}
