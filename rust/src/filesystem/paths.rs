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

/// As many links as the system follows in one path.
const MOST_LINKS: usize = 40;

/// As `fs::canonicalize`, also of a path that does not exist: links that lead towards it are followed.
#[must_use]
pub fn real_path(path: &Path) -> Option<PathBuf> {
    real_path_within(path, MOST_LINKS)
}

fn real_path_within(path: &Path, links: usize) -> Option<PathBuf> {
    if let Ok(real) = fs::canonicalize(path) {
        return Some(real);
    }
    let (folder, name) = (path.parent()?, path.file_name()?);
    match fs::read_link(path) {
        Ok(target) => real_path_within(&folder.join(target), links.checked_sub(1)?),
        Err(_no_link) => Some(real_path_within(folder, links)?.join(name)),
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_to_what_does_not_exist() {
        let folder = std::env::temp_dir().canonicalize().unwrap().join(format!("paths-{}", std::process::id()));
        fs::create_dir_all(folder.join("real")).unwrap();
        let links = [("link", "real"), ("nothing", "real/x/y"), ("round", "round")];
        for (name, target) in links {
            let _from_an_earlier_run = fs::remove_file(folder.join(name));
            symlink(target, folder.join(name)).unwrap();
        }
        let real =
            |path: &str| real_path(&folder.join(path)).map(|path| path.strip_prefix(&folder).unwrap().to_owned());
        for (path, expected) in [
            ("link", Some("real")),
            ("link/a/b", Some("real/a/b")),
            ("real/a", Some("real/a")),
            ("nothing", Some("real/x/y")),
            ("nothing/z", Some("real/x/y/z")),
            ("round", None),
            ("round/a", None),
        ] {
            assert_eq!(real(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
