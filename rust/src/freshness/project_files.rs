//! Lists all files of the project below a folder, which an unobserved process may read.
//!
//! The rules of the watcher exclude files that are not the project's, so that every file that counts here also wakes a
//! watch.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::filesystem::stat::{FileStamp, GRANULARITY};
use crate::watch::tree::{self, Enter, Rules};

/// More files than this are not read: nothing that depends on them is ever fresh.
const MOST_FILES: usize = 200_000;
/// The data of a coverage measurement, which each run writes anew.
const MEASURED: &[u8] = b".coverage";

#[derive(Default)]
pub struct Files {
    /// Sorted.
    pub files: Vec<PathBuf>,
    /// The youngest change of a folder, but for those that a run makes by itself.
    pub newest: i64,
    /// There are too many, or they can't be listed.
    pub partial: bool,
}

/// `is_left_out`: of a file or folder.
#[must_use]
pub fn below(place: &Path, is_left_out: impl Fn(&Path) -> bool) -> Files {
    let mut found = Files::default();
    let rules = Rules::new([]);
    let listed = tree::walk(place, None, &rules, &mut |folder, _real| {
        if is_left_out(folder) {
            return Ok(Enter::No);
        }
        found.newest = found.newest.max(changed(folder, &is_left_out));
        Ok(Enter::Yes)
    });
    let mut files = if let Ok(listing) = listed {
        listing.files
    } else {
        found.partial = true;
        Vec::new()
    };
    files.retain(|path| !path.file_name().is_some_and(is_measured) && !is_left_out(path));
    files.sort();
    found.partial |= files.len() > MOST_FILES;
    Files { files, ..found }
}

/// Whether a path, absolute, is one of those below the place, by its names alone.
#[must_use]
pub fn is_of(place: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(place) else { return false };
    let rules = Rules::new([]);
    !inside.iter().any(|name| rules.skips_name(Path::new(""), name) || is_measured(name))
}

fn is_measured(name: &OsStr) -> bool {
    let rest = name.as_bytes().strip_prefix(MEASURED);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

/// The time at which names in a folder changed last; 0 if a run added these names by itself.
fn changed(folder: &Path, is_left_out: impl Fn(&Path) -> bool) -> i64 {
    let Ok(stat) = FileStamp::of(folder) else { return 0 };
    let Ok(entries) = fs::read_dir(folder) else { return stat.newest() };
    let rules = Rules::new([]);
    let mut litter = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        is_measured(&name) || rules.skips_name(Path::new(""), &name) || is_left_out(&entry.path())
    });
    let is_birth = |entry: fs::DirEntry| {
        let born = entry.metadata().and_then(|data| data.created()).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let born = i64::try_from(born.as_nanos()).ok()?;
        // pytest fills its cache under another name, and renames it.
        let late = if entry.file_name() == ".pytest_cache" { 50 * GRANULARITY } else { GRANULARITY };
        let is_near = |time: i64| (born - GRANULARITY..=born + late).contains(&time);
        Some(is_near(stat.mtime) && is_near(stat.ctime))
    };
    if litter.any(|entry| is_birth(entry).unwrap_or(false)) {
        return 0;
    }
    stat.newest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_none_of_the_projects() {
        let place = Path::new("/p");
        for path in ["/p/a.py", "/p/sub/data.txt", "/p/.env", "/p/.coveragerc", "/p/gitlog"] {
            assert!(is_of(place, Path::new(path)), "{path}");
        }
        for path in ["/q/a.py", "/p/.git/HEAD", "/p/a/__pycache__/b", "/p/.coverage", "/p/.coverage.host.1", "/p/x.pyc"]
        {
            assert!(!is_of(place, Path::new(path)), "{path}");
        }
    }
}
