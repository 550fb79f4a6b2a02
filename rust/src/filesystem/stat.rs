//! The status of a file, which shows most changes without reading the file.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;

const SECOND: i64 = 1_000_000_000;
/// Git's rule for racy files, with the coarsest clock of a file system in use: a file that was younger than this when
/// it was hashed may have been written once more in the same tick.
const RACY: i64 = 2 * SECOND;
/// Kernels stamp files by a clock that steps every 1 to 10 ms.
pub(crate) const GRANULARITY: i64 = 20_000_000;

/// The status of a file; a changed file has another one, except within a tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStamp {
    /// The last change of the content, in nanoseconds since the epoch.
    pub mtime: i64,
    /// The last change of the inode, in nanoseconds since the epoch.
    pub ctime: i64,
    /// The size in bytes.
    pub size: u64,
    /// The number of the inode.
    pub inode: u64,
    pub(crate) device: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    File,
    Folder,
    Special(&'static str),
}

impl FileStamp {
    /// The stamp of the file that the path leads to.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|data| Self::from(&data))
    }

    /// The stamp of a regular file, links followed; None if there is none.
    #[must_use]
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        Self::of(path).ok().filter(Self::is_file)
    }

    #[must_use]
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    #[must_use]
    pub(crate) fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    #[must_use]
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    #[must_use]
    pub(crate) fn file(mtime: i64, ctime: i64, size: u64, inode: u64, device: u64) -> Self {
        Self { mtime, ctime, size, inode, device, kind: Kind::File }
    }

    /// Whether the file had been unchanged for so long that the next change gives another stamp.
    #[must_use]
    pub(crate) fn was_old(&self, then: i64) -> bool {
        self.mtime.max(self.ctime) < then.saturating_sub(RACY)
    }

    /// Whether the last change came before that moment.
    #[must_use]
    pub(crate) fn is_before(&self, moment: i64) -> bool {
        self.mtime < moment && self.ctime < moment
    }

    /// Whether a further change would leave another stamp. The times of a content may be set, that of an inode not.
    #[must_use]
    pub(crate) fn is_settled(&self) -> bool {
        let passed = now().div_euclid(SECOND) - self.ctime.div_euclid(SECOND);
        passed > RACY / SECOND
    }

    /// The latest moment at which it may have been changed.
    #[must_use]
    pub(crate) fn newest(&self) -> i64 {
        latest(self.mtime).max(latest(self.ctime))
    }

    /// The newest time of a link that is this path, or a folder above it; 0 if none is a link.
    #[must_use]
    pub(crate) fn newest_link(path: &Path) -> i64 {
        let links =
            path.ancestors().filter_map(|step| fs::symlink_metadata(step).ok()).filter(fs::Metadata::is_symlink);
        links.map(|data| Self::from(&data).newest()).max().unwrap_or(0)
    }

    /// The newest time of the nearest folder above that exists.
    #[must_use]
    pub(crate) fn newest_above(path: &Path) -> i64 {
        path.ancestors().skip(1).find_map(|folder| Self::of(folder).ok()).map_or(0, |stat| stat.newest())
    }
}

/// A whole second may come from a clock that knows no smaller steps than two of them.
fn latest(time: i64) -> i64 {
    if time % SECOND == 0 { time.saturating_add(RACY - GRANULARITY) } else { time }
}

impl From<&fs::Metadata> for FileStamp {
    fn from(data: &fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(SECOND).saturating_add(rest);
        Self {
            mtime: nanoseconds(data.mtime(), data.mtime_nsec()),
            ctime: nanoseconds(data.ctime(), data.ctime_nsec()),
            size: data.len(),
            inode: data.ino(),
            device: data.dev(),
            kind: kind_of(data.file_type()),
        }
    }
}

fn kind_of(kind: fs::FileType) -> Kind {
    match kind {
        _file if kind.is_file() => Kind::File,
        _folder if kind.is_dir() => Kind::Folder,
        _fifo if kind.is_fifo() => Kind::Special("fifo"),
        _socket if kind.is_socket() => Kind::Special("socket"),
        _device => Kind::Special("device"),
    }
}

/// The exact clock, in nanoseconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}

/// The clock that file systems stamp with, which may lag a tick behind the exact one: a file that is written right
/// after this call must not seem older.
#[must_use]
pub(crate) fn coarse_now() -> i64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_REALTIME_COARSE;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_REALTIME;
    // SAFETY: an all-zero timespec is a valid value; the call writes to it and to nothing else.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(CLOCK, &raw mut time);
        time
    };
    #[allow(clippy::useless_conversion, reason = "not 64 bits everywhere")]
    let (seconds, rest) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
