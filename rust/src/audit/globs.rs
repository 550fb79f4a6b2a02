//! Looks of `glob` and `Path.glob` that raise no event of their own.
//!
//! Names that stand in a pattern behind a wildcard (`plugins/*/plugin.toml`) are looked up, not listed: a file of this
//! name that is added to a folder which exists already would not be noticed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::audit::access::Access;
use crate::audit::arguments::{Arguments, folder_of};
use crate::audit::recording::{is_recording, touch, with};
use crate::audit::scope::PathClass;
use crate::filesystem::paths::absolute_path;
use crate::freshness::glob::is_match;

/// More folders than these are not searched, and what is looked up in the rest is not noted: a search of a whole disk
/// must not take twice its time, and its listings are recorded anyway.
const MOST_FOLDERS: usize = 4000;

/// `glob.glob/2`: pattern, whether `**` is recursive, the folder to start from, its descriptor.
pub fn globbed(arguments: &Arguments<'_>) {
    let Some(pattern) = arguments.path(0) else { return };
    let is_recursive = arguments.get(1).is_some_and(|flag| flag.is_truthy().unwrap_or(false));
    let folder = arguments.number(3).map_or_else(|| std::env::current_dir().ok(), folder_of);
    let Some(folder) = folder.or_else(|| Some("/".into()).filter(|_| pattern.is_absolute())) else { return };
    let folder = arguments.path(2).map_or_else(|| folder.clone(), |start| folder.join(start));
    look_up(arguments.0.py(), &folder, &pattern, is_recursive);
}

/// `pathlib.Path.glob` and `rglob`: the path, and a pattern below it.
pub fn globbed_below(arguments: &Arguments<'_>, is_everywhere: bool) {
    let (Some(folder), Some(pattern)) = (arguments.path(0), arguments.path(1)) else { return };
    let Ok(current) = std::env::current_dir() else { return };
    let pattern = if is_everywhere { Path::new("**").join(pattern) } else { pattern };
    look_up(arguments.0.py(), &current.join(folder), &pattern, true);
}

fn look_up(py: Python<'_>, folder: &Path, pattern: &Path, is_recursive: bool) {
    if !is_recording() {
        return;
    }
    let is_ignored = |path: &Path| {
        let class = with(|tracker| tracker.settings.classify(path));
        class.is_none_or(|class| class == PathClass::Ignored)
    };
    for path in looked_up(folder, pattern, is_recursive, is_ignored) {
        touch(py, Access::Read, Path::new("/"), &path);
    }
}

/// The paths that are looked up by name: behind the first wildcard, or all where there is none.
fn looked_up(folder: &Path, pattern: &Path, is_recursive: bool, is_ignored: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let whole = folder.join(pattern);
    let parts = parts_of(pattern);
    let Some(first) = parts.iter().position(|part| is_wild(part)) else { return vec![absolute_path(folder, pattern)] };
    // What is behind the last name is listed, which raises an event.
    let Some(last) = parts.iter().rposition(|part| !is_wild(part)).filter(|last| *last > first) else {
        return Vec::new();
    };
    let start = if whole == pattern { Path::new("/") } else { folder };
    let start: PathBuf = parts.iter().take(first).fold(start.to_owned(), |path, part| path.join(named(part)));
    let mut search = Search { is_recursive, is_ignored, folders: 0, found: Vec::new() };
    search.folder(&start, parts.get(first..=last).unwrap_or_default());
    search.found.sort();
    search.found.dedup();
    search.found
}

fn parts_of(pattern: &Path) -> Vec<&[u8]> {
    let parts = pattern.as_os_str().as_bytes().split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).collect()
}

fn is_wild(part: &[u8]) -> bool {
    part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

fn named(part: &[u8]) -> &OsStr {
    OsStr::from_bytes(part)
}

struct Search<Ignored> {
    is_recursive: bool,
    is_ignored: Ignored,
    folders: usize,
    found: Vec<PathBuf>,
}

impl<Ignored: Fn(&Path) -> bool> Search<Ignored> {
    fn folder(&mut self, folder: &Path, parts: &[&[u8]]) {
        let Some((part, rest)) = parts.split_first() else { return };
        if !is_wild(part) {
            let path = folder.join(named(part));
            if *part != b".." {
                self.found.push(path.clone());
            }
            return self.folder(&path, rest);
        }
        let is_any_depth = self.is_recursive && *part == b"**";
        if is_any_depth {
            self.folder(folder, rest);
        }
        for (name, path) in self.folders_in(folder) {
            if is_any_depth {
                self.folder(&path, parts);
            } else if is_match(if *part == b"**" { b"*" } else { part }, &name) {
                self.folder(&path, rest);
            }
        }
    }

    /// With links to folders, as in a search; one that leads round ends at the bound.
    fn folders_in(&mut self, folder: &Path) -> Vec<(Vec<u8>, PathBuf)> {
        self.folders += 1;
        if self.folders > MOST_FOLDERS || (self.is_ignored)(folder) {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let named = entries.flatten().map(|entry| (entry.file_name().as_bytes().to_owned(), entry.path()));
        named.filter(|(_, path)| path.is_dir()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, is_recursive: bool) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("globs-{}", std::process::id()));
        for name in ["p/a/deep", "p/b", "p/no", "p/.venv"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::write(folder.join("p/file"), "").unwrap();
        let is_ignored = |path: &Path| path.ends_with(".venv");
        let found = looked_up(&folder, Path::new(pattern), is_recursive, is_ignored);
        let below = |path: PathBuf| path.strip_prefix(&folder).unwrap().display().to_string();
        found.into_iter().map(below).collect()
    }

    #[test]
    fn names_behind_a_wildcard_are_looked_up_in_each_folder() {
        assert_eq!(found("p/?/x.toml", false), ["p/a/x.toml", "p/b/x.toml"]);
        assert_eq!(found("./p//[ab]/x/*.toml", false), ["p/a/x", "p/b/x"]);
        assert_eq!(found("p/?/../x", false).len(), 2);
        assert_eq!(found("p/a/x.toml", false), ["p/a/x.toml"]);
    }

    #[test]
    fn two_stars_are_any_number_of_folders_where_they_are_recursive() {
        assert_eq!(found("p/a/**/x", true), ["p/a/deep/x", "p/a/x"]);
        assert_eq!(found("p/a/**/x", false), ["p/a/deep/x"]);
        assert_eq!(found("p/.venv/**/x", true), ["p/.venv/x"]);
    }

    #[test]
    fn what_is_listed_is_not_looked_up() {
        for pattern in ["*", "p/*", "p/*/", "p/*/*.toml", "p/**"] {
            assert_eq!(found(pattern, true), [""; 0], "{pattern}");
        }
    }
}
