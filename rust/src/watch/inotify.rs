//! The events of inotify. One folder can have several names, since links lead to it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::watch::burst::Hints;
use crate::watch::tree::Rules;

/// All that changes what a path holds. Opening and reading is not asked for: our own would wake us.
/// The mask of every folder is the same, since a second watch on a folder replaces the first one's.
const WANTED: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Events that say that a file's content was written. (A file may be opened for writing, and closed, without.)
const WRITTEN: AddWatchFlags =
    AddWatchFlags::IN_MODIFY.union(AddWatchFlags::IN_CREATE).union(AddWatchFlags::IN_MOVED_TO);

const SELF_GONE: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF);

/// File systems that change elsewhere as well, of which the kernel here hears nothing, by their numbers in
/// `linux/magic.h` and their own headers. FUSE is what containers on a desktop and sshfs come through.
const REMOTE: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x786F_4256, "a shared folder of VirtualBox"),
    (0xBACB_ACBC, "a shared folder of VMware"),
];

/// The kind of file system that a path is on, if that does not tell of all changes.
pub fn remote(path: &Path) -> Option<&'static str> {
    let kind = nix::sys::statfs::statfs(path).ok()?.filesystem_type().0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a magic number of 32 bits, in a type that differs among C libraries"
    )]
    named(kind as u32)
}

fn named(kind: u32) -> Option<&'static str> {
    REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[derive(Default)]
struct Watch {
    /// The names under which all that is in the folder is wanted.
    folders: Vec<PathBuf>,
    /// Names in it that are wanted for the sake of other paths: a link's target, a file that was asked for.
    names: HashMap<OsString, Vec<PathBuf>>,
}

pub struct Events {
    inotify: Inotify,
    watches: HashMap<WatchDescriptor, Watch>,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
}

impl Events {
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify, watches: HashMap::new(), folders: BTreeMap::new() })
    }

    /// Readable when there are events; stays open as long as the caller keeps it.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.inotify.as_fd().try_clone_to_owned()
    }

    /// Watches all that is in a folder. A folder that is gone or forbidden is no error, reaching the limit is.
    pub fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let Some(descriptor) = self.add(folder)? else { return Ok(()) };
        let names = &mut self.watches.entry(descriptor).or_default().folders;
        if !names.iter().any(|name| name == folder) {
            names.push(folder.to_owned());
        }
        if let Some(old) = self.folders.insert(folder.to_owned(), descriptor).filter(|old| *old != descriptor) {
            self.leave_one(folder, old);
        }
        Ok(())
    }

    /// Has events of one name in a folder reported as of `path`.
    pub fn expect(&mut self, folder: &Path, name: &OsStr, path: &Path) -> io::Result<()> {
        let Some(descriptor) = self.add(folder)? else { return Ok(()) };
        let wanted = self.watches.entry(descriptor).or_default().names.entry(name.to_owned()).or_default();
        if !wanted.iter().any(|known| known == path) {
            wanted.push(path.to_owned());
        }
        Ok(())
    }

    /// Ends the watching of a folder and of all below, under this name.
    pub fn leave(&mut self, path: &Path) {
        let below = self.folders.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let left: Vec<(PathBuf, WatchDescriptor)> = below
            .take_while(|(folder, _)| folder.starts_with(path))
            .map(|(folder, descriptor)| (folder.clone(), *descriptor))
            .collect();
        for (folder, descriptor) in left {
            self.folders.remove(&folder);
            self.leave_one(&folder, descriptor);
        }
    }

    fn leave_one(&mut self, folder: &Path, descriptor: WatchDescriptor) {
        let Some(watch) = self.watches.get_mut(&descriptor) else { return };
        watch.folders.retain(|name| name != folder);
        if watch.folders.is_empty() && watch.names.is_empty() {
            self.watches.remove(&descriptor);
            // The watch is gone already if the folder is.
            let _gone = self.inotify.rm_watch(descriptor);
        }
    }

    fn add(&self, folder: &Path) -> io::Result<Option<WatchDescriptor>> {
        match self.inotify.add_watch(folder, WANTED) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP | Errno::ENAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All hints that wait; never blocks.
    pub fn read(&mut self, rules: &Rules, hints: &mut Hints) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.iter().for_each(|event| self.event(event, rules, hints)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_broken) => {
                    hints.lost = true;
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: &InotifyEvent, rules: &Rules, hints: &mut Hints) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            hints.lost = true;
            return;
        }
        let written = event.mask.intersects(WRITTEN);
        if let (Some(name), Some(watch)) = (&event.name, self.watches.get(&event.wd)) {
            for path in watch.folders.iter().map(|folder| folder.join(name)) {
                if !rules.skips_name(&path, name) {
                    hints.add(path, written);
                }
            }
            for path in watch.names.get(name).into_iter().flatten() {
                hints.add(path.clone(), written);
            }
        } else if event.mask.intersects(SELF_GONE | AddWatchFlags::IN_IGNORED) {
            self.gone(event.wd, hints);
        }
    }

    /// A watched folder was deleted or moved: a folder that takes its place is another one. Where a file was to appear
    /// in it, the way there is looked at again.
    fn gone(&mut self, descriptor: WatchDescriptor, hints: &mut Hints) {
        let Some(watch) = self.watches.remove(&descriptor) else { return };
        let _gone = self.inotify.rm_watch(descriptor);
        for folder in watch.folders {
            if self.folders.get(&folder) == Some(&descriptor) {
                self.folders.remove(&folder);
            }
            hints.add(folder, false);
        }
        for path in watch.names.into_values().flatten() {
            hints.add(path, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_keep_silent() {
        // ext4, btrfs, tmpfs, overlayfs and xfs tell.
        for local in [0xEF53, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x5846_5342] {
            assert_eq!(named(local), None);
        }
        assert_eq!(named(0x6969), Some("NFS"));
    }
}
