//! Lists the files and folders below a path, by the project's names for them, without those that are not the
//! project's.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Written by tools, ours among them: a loop that woke on these would wake itself.
const IGNORED: [&str; 10] = [
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "node_modules",
    ".tox",
];

/// A folder that holds one of these is a virtual environment, or says itself that it can be made again.
const MARKERS: [&str; 2] = ["pyvenv.cfg", "CACHEDIR.TAG"];

/// As many links as the kernel follows before it says ELOOP.
const MOST_LINKS: usize = 40;

/// The rules by which paths are left out below every root.
pub struct Rules {
    ignored: HashSet<PathBuf>,
}

impl Rules {
    #[must_use]
    pub fn new(ignored: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { ignored: ignored.into_iter().collect() }
    }

    /// Decides by the name alone, so that an event costs no system call.
    #[must_use]
    pub fn skips_name(&self, path: &Path, name: &OsStr) -> bool {
        IGNORED.iter().any(|ignored| name == *ignored) || is_leftover(name.as_bytes()) || self.ignored.contains(path)
    }

    #[must_use]
    pub fn skips_folder(path: &Path) -> bool {
        MARKERS.iter().any(|marker| path.join(marker).exists())
    }
}

#[must_use]
pub fn is_marker(name: &OsStr) -> bool {
    MARKERS.iter().any(|marker| name == *marker)
}

/// Bytecode, and what editors put beside a file: backups, swap files, locks, vim's trial whether it may write.
fn is_leftover(name: &[u8]) -> bool {
    let swap = |end: &[u8]| end.len() == 3 && end.starts_with(b"sw");
    let ending = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    name.ends_with(b"~")
        || name.ends_with(b".pyc")
        || name.starts_with(b".#")
        || name == b"4913"
        || (name.starts_with(b".") && name.len() > ending.len() + 1 && swap(ending))
}

/// Whether a folder that was met is entered.
pub enum Enter {
    Yes,
    No,
}

#[derive(Default)]
pub struct Listing {
    pub files: Vec<PathBuf>,
    /// Links to files and to folders.
    pub links: Vec<PathBuf>,
}

/// Lists a folder and all below. `enter` is called with each folder, and its path without links, *before* it is read, to
/// put a watch on it.
/// `links`: those that are known, on the way to `root` as well; None for a path that the caller asked for.
pub fn walk(
    root: &Path,
    links: Option<&BTreeSet<PathBuf>>,
    rules: &Rules,
    enter: &mut OnFolder<'_>,
) -> io::Result<Listing> {
    let mut walk = Walk { rules, enter, listing: Listing::default() };
    let real = fs::canonicalize(root).unwrap_or_else(|_missing| root.to_owned());
    let is_link = |path: &Path| path == root && root.is_symlink() || links.is_some_and(|links| links.contains(path));
    let passed = root.ancestors().filter(|path| links.is_some() && is_link(path));
    let from: Vec<PathBuf> = passed.filter_map(|link| fs::canonicalize(link.parent()?).ok()).collect();
    if !(root.is_symlink() && leads_back(&real, &from)) {
        walk.folder(root, &real, &from)?;
    }
    Ok(walk.listing)
}

/// A folder that leads back to where we came from has been listed, under a shorter name.
fn leads_back(target: &Path, from: &[PathBuf]) -> bool {
    from.iter().any(|left| left.starts_with(target))
}

/// An error ends the walk.
pub type OnFolder<'a> = dyn FnMut(&Path, &Path) -> io::Result<Enter> + 'a;

struct Walk<'a, 'b> {
    rules: &'a Rules,
    enter: &'a mut OnFolder<'b>,
    listing: Listing,
}

impl Walk<'_, '_> {
    /// `real`: where it lies, without links. `from`: the folders, also without links, that it was left by links.
    fn folder(&mut self, folder: &Path, real: &Path, from: &[PathBuf]) -> io::Result<()> {
        if matches!((self.enter)(folder, real)?, Enter::No) {
            return Ok(());
        }
        // Gone again, or forbidden: a change of that is noticed in the folder above.
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if self.rules.skips_name(&path, &name) {
                continue;
            }
            if kind.is_symlink() {
                self.link(path, real, from)?;
            } else if kind.is_dir() {
                if !Rules::skips_folder(&path) {
                    self.folder(&path, &real.join(&name), from)?;
                }
            } else if kind.is_file() {
                self.listing.files.push(path);
            }
        }
        Ok(())
    }

    fn link(&mut self, path: PathBuf, inside: &Path, from: &[PathBuf]) -> io::Result<()> {
        self.listing.links.push(path.clone());
        let Ok(target) = fs::canonicalize(&path) else { return Ok(()) };
        if target.is_file() {
            self.listing.files.push(path);
        } else if target.is_dir() && !Rules::skips_folder(&path) {
            let left: Vec<PathBuf> = from.iter().cloned().chain([inside.to_owned()]).collect();
            if !leads_back(&target, &left) {
                self.folder(&path, &target, &left)?;
            }
        }
        Ok(())
    }
}

/// The names on the way to a path whose change makes it another file, as (folder, name): each link, the first name
/// that is missing, and the file's own.
#[must_use]
pub fn hops(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut hops = Vec::new();
    let mut rest: VecDeque<OsString> = parts(path);
    let mut at = PathBuf::from("/");
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        if let Ok(target) = fs::read_link(&next) {
            hops.push((at.clone(), part));
            if hops.len() > MOST_LINKS {
                break;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest = parts(&target).into_iter().chain(rest).collect();
        } else if next.is_dir() {
            at = next;
        } else {
            hops.push((at, part));
            break;
        }
    }
    hops
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_editors() {
        for name in ["a.py~", ".a.py.swp", ".a.py.swo", ".a.swx", ".#a.py", "4913", "a.pyc"] {
            assert!(is_leftover(name.as_bytes()), "{name}");
        }
        for name in ["a.py", "~a", "a.swp", ".swp", ".env", "49134", "a.tmp", "a#", ".a.sw", ".coverage"] {
            assert!(!is_leftover(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn hops_name_links_and_the_first_missing_name() {
        let folder = std::env::temp_dir().canonicalize().unwrap().join(format!("hops-{}", std::process::id()));
        fs::create_dir_all(folder.join("real")).unwrap();
        fs::write(folder.join("real/file"), "").unwrap();
        std::os::unix::fs::symlink("real", folder.join("link")).unwrap();
        let named = |path: &str| -> Vec<PathBuf> {
            let found = hops(&folder.join(path));
            found.iter().map(|(at, name)| at.strip_prefix(&folder).unwrap().join(name)).collect()
        };
        assert_eq!(named("link/file"), [PathBuf::from("link"), PathBuf::from("real/file")]);
        assert_eq!(named("real/none/deeper"), [PathBuf::from("real/none")]);
        assert_eq!(named("real"), Vec::<PathBuf>::new());
        fs::remove_dir_all(&folder).unwrap();
    }
}
