//! Detects that git is at work: it holds a lock while it changes files, and moves HEAD.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::filesystem::stat::FileStamp;
use crate::watch::burst::LARGE_LONGEST;

pub struct Repository {
    folder: PathBuf,
    head: Option<Vec<u8>>,
    index: Option<FileStamp>,
}

impl Repository {
    /// The repository of the folder that the path lies in, or of one above.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let folder = path.ancestors().find_map(git_folder)?;
        let mut repository = Self { folder, head: None, index: None };
        repository.has_moved();
        Some(repository)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.folder.join("index.lock")
    }

    #[must_use]
    pub fn head(&self) -> PathBuf {
        self.folder.join("HEAD")
    }

    /// A lock older than the longest wait belongs to a git that died, or is no longer waited for.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let made = fs::metadata(self.lock()).and_then(|data| data.modified());
        made.is_ok_and(|made| made.elapsed().unwrap_or_default() < Duration::from_nanos(LARGE_LONGEST))
    }

    /// Whether HEAD changed since the last call.
    pub fn has_moved(&mut self) -> bool {
        let head = fs::read(self.head()).ok();
        let moved = head != self.head;
        self.head = head;
        moved
    }

    /// Whether git has worked since the last call, for one who may have missed the lock: it replaces its index.
    pub fn has_worked(&mut self) -> bool {
        let index = FileStamp::of_file(&self.folder.join("index"));
        let worked = index != self.index;
        self.index = index;
        self.has_moved() || worked || self.is_locked()
    }
}

/// `.git` is a folder, or in a worktree and a submodule a file that says where the folder is.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    Some(folder.join(text.strip_prefix("gitdir:")?.trim()))
}
