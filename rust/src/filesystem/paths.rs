//! Normal forms of paths.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The one form in which paths are compared: absolute, without `.`, `..` and doubled slashes. What stands before a `..`
/// is followed, if it exists, since it may be a link; all other links keep their names.
#[must_use]
pub fn canonical_path(folder: &Path, path: &Path) -> PathBuf {
    let path = folder.join(path);
    let parts: Vec<Component<'_>> = path.components().collect();
    let last = parts.iter().rposition(|part| *part == Component::ParentDir);
    let Some(last) = last else { return absolute_path(Path::new("/"), &path) };
    let (above, below): (PathBuf, PathBuf) = (parts[..=last].iter().collect(), parts[last + 1..].iter().collect());
    let normal = absolute_path(Path::new("/"), &above);
    let above = match (fs::canonicalize(&above), fs::canonicalize(&normal)) {
        (Ok(found), Ok(same)) if found == same => normal,
        (Ok(found), _) => found,
        (Err(_), _) => normal,
    };
    absolute_path(&above, &below)
}

/// An absolute path without `.` and `..`, symbolic links kept: as `os.path.abspath`.
#[must_use]
pub fn absolute_path(root: &Path, path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in root.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => result.push(part),
        }
    }
    result
}
