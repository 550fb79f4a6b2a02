//! Reports that something was added, removed or changed in one of some folders, but not what, and not below them.
//!
//! This serves folders that change seldom and are too large for a [`crate::watch::watcher::Watcher`]: there is no
//! thread, and nothing is read.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
mod inotify {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, RawFd};
    use std::path::PathBuf;

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

    pub struct Events(Inotify);

    impl Events {
        pub fn new(folders: &[PathBuf]) -> io::Result<Self> {
            let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let of_names = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
            let mask = of_names | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ONLYDIR;
            for folder in folders {
                match events.add_watch(folder, mask) {
                    Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Self(events))
        }

        pub fn descriptor(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }

        pub fn drain(&self) -> bool {
            let mut some = false;
            while self.0.read_events().is_ok_and(|events| !events.is_empty()) {
                some = true;
            }
            some
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod inotify {
    use std::io;
    use std::os::fd::RawFd;
    use std::path::PathBuf;

    pub enum Events {}

    impl Events {
        pub fn new(_folders: &[PathBuf]) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn descriptor(&self) -> RawFd {
            match *self {}
        }

        pub fn drain(&self) -> bool {
            match *self {}
        }
    }
}

pub struct FolderEvents(inotify::Events);

impl FolderEvents {
    /// A folder that does not exist has no events, even if it is made later. An error where the system has no events.
    pub fn new(folders: &[PathBuf]) -> io::Result<Self> {
        inotify::Events::new(folders).map(Self)
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.0.descriptor()
    }

    /// Discards all events; returns whether there were any.
    #[must_use]
    pub fn drain(&self) -> bool {
        self.0.drain()
    }
}
