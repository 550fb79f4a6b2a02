//! Finds the files that a declared pattern matches.
//!
//! `**` stands for any number of folders, and at the end for everything below; `*`, `?` and `[…]` stay within a name,
//! and a leading dot is nothing special. The matching is our own: globset's `?` matches a byte and not a character,
//! and braces and an open bracket have another meaning there.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::filesystem::folder::entries;
use crate::filesystem::stat::FileStamp;

/// More entries than this are not looked at: such a pattern is never fresh.
const MOST_ENTRIES: usize = 1_000_000;

/// Names that tools write while tests run, left out unless a pattern spells them.
const SKIPPED: [&[u8]; 3] = [b"__pycache__", b".pytest_cache", b".git"];

/// The files that a pattern matches, and the youngest change of the folders that were searched.
#[derive(Default)]
pub struct Matches {
    /// Absolute, sorted, each once.
    pub files: Vec<PathBuf>,
    pub(crate) newest: i64,
    /// A folder could not be read, or there was no end.
    pub(crate) partial: bool,
    entries: usize,
}

struct Search<'a> {
    skipped: &'a Path,
    /// Device and inode of the folders above, so that a symbolic link to one of them ends there.
    above: Vec<(u64, u64)>,
    found: Matches,
}

/// All that matches below the root, in the order of their bytes. `skipped`: the store's own folder.
#[must_use]
pub fn matches(root: &Path, pattern: &[u8], skipped: &Path) -> Matches {
    let mut search = Search { skipped, above: Vec::new(), found: Matches::default() };
    let (start, pattern) = match pattern.strip_prefix(b"/") {
        Some(rest) => (Path::new("/"), rest),
        None => (root, pattern),
    };
    search.folder(start, &parts_of(pattern));
    let mut found = search.found;
    found.files.sort();
    found.files.dedup();
    found
}

/// Whether a path, relative to where the pattern is, is one that it means.
#[must_use]
pub fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    pattern.starts_with(b"/") == path.starts_with(b"/") && names_match(&parts_of(pattern), &names)
}

fn parts_of(pattern: &[u8]) -> Vec<&[u8]> {
    pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect()
}

fn names_match(parts: &[&[u8]], names: &[&[u8]]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([b"**"], _) => !names.is_empty(),
        ([b"**", rest @ ..], _) => {
            names_match(rest, names) || names.split_first().is_some_and(|(_, names)| names_match(parts, names))
        }
        ([part, rest @ ..], [name, names @ ..]) => name_matches(part, name) && names_match(rest, names),
        _one_is_longer => false,
    }
}

impl Search<'_> {
    fn folder(&mut self, folder: &Path, parts: &[&[u8]]) {
        let Some((part, rest)) = parts.split_first() else { return };
        if !is_wild(part) {
            self.literal(folder, part, rest);
            return;
        }
        let Ok(stat) = FileStamp::of(folder) else { return };
        // Only `**` could go round for ever.
        if *part == b"**" && self.above.contains(&stat.identity()) {
            return;
        }
        self.above.push(stat.identity());
        self.found.newest = self.found.newest.max(stat.newest());
        self.entries(folder, part, rest, parts);
        self.above.pop();
    }

    fn literal(&mut self, folder: &Path, part: &[u8], rest: &[&[u8]]) {
        let path = folder.join(OsStr::from_bytes(part));
        match FileStamp::of(&path) {
            Ok(_exists) if rest.is_empty() => self.found.files.push(path),
            Ok(stat) if stat.is_folder() => self.folder(&path, rest),
            Ok(_no_folder) => {}
            // The path may have existed a moment ago.
            Err(_missing) => self.found.newest = self.found.newest.max(FileStamp::newest_above(&path)),
        }
    }

    fn entries(&mut self, folder: &Path, part: &[u8], rest: &[&[u8]], parts: &[&[u8]]) {
        let Ok(entries) = entries(folder) else {
            self.found.partial = true;
            return;
        };
        if part == b"**" && !rest.is_empty() {
            // `**` may stand for no folder at all; this folder is on the list of those above.
            let identity = self.above.pop();
            self.folder(folder, rest);
            self.above.extend(identity);
        }
        for entry in entries {
            let Ok(entry) = entry else {
                self.found.partial = true;
                continue;
            };
            self.found.entries += 1;
            if self.found.entries > MOST_ENTRIES {
                self.found.partial = true;
                return;
            }
            let path = entry.path();
            let name = entry.name().into_vec();
            if SKIPPED.contains(&name.as_slice()) || path == self.skipped {
                continue;
            }
            self.entry(path, &name, entry.is_folder().unwrap_or(false), parts);
        }
    }

    fn entry(&mut self, path: PathBuf, name: &[u8], is_folder: bool, parts: &[&[u8]]) {
        match parts {
            [b"**"] if !is_folder => self.found.files.push(path),
            [b"**", ..] if is_folder => self.folder(&path, parts),
            [b"**", ..] => {}
            [part] if name_matches(part, name) => self.found.files.push(path),
            [part, rest @ ..] if is_folder && name_matches(part, name) => self.folder(&path, rest),
            _other => {}
        }
    }
}

fn is_wild(part: &[u8]) -> bool {
    part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// As `fnmatch`, on bytes, but that `?` and a class take a whole character.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while from < name.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, from));
                at += 1;
                continue;
            }
            Some(b'?') => Some((at + 1, from + width(&name[from..]))),
            Some(b'[') => class(&pattern[at..], &name[from..]).map(|(used, taken)| (at + used, from + taken)),
            Some(byte) if *byte == name[from] => Some((at + 1, from + 1)),
            _other => None,
        };
        match (step, retry) {
            (Some(next), _) => (at, from) = next,
            (None, Some((star, start))) => {
                retry = Some((star, start + 1));
                (at, from) = (star + 1, start + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Bytes of the first character.
fn width(name: &[u8]) -> usize {
    1 + name[1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).take(3).count()
}

/// How much of the pattern and of the name a class takes; None if it does not match. An open `[` is itself.
fn class(pattern: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!'));
    let first = if negated { 2 } else { 1 };
    let Some(end) = pattern.iter().skip(first + 1).position(|byte| *byte == b']').map(|at| at + first + 1) else {
        return (name[0] == b'[').then_some((1, 1));
    };
    let taken = width(name);
    let wanted: Vec<char> = String::from_utf8_lossy(&pattern[first..end]).chars().collect();
    let actual = String::from_utf8_lossy(&name[..taken]).chars().next()?;
    let mut rest = wanted.as_slice();
    let mut is_in = false;
    while let Some((low, after)) = rest.split_first() {
        match after {
            ['-', high, tail @ ..] => {
                is_in |= (*low..=*high).contains(&actual);
                rest = tail;
            }
            _single => {
                is_in |= *low == actual;
                rest = after;
            }
        }
    }
    (is_in != negated).then_some((end + 1, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str, path: &str) -> bool {
        is_match(pattern.as_bytes(), path.as_bytes())
    }

    #[test]
    fn names() {
        for (pattern, path) in [
            ("*.py", "a.py"),
            ("a?c", "a\u{e9}c"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("a[", "a["),
            ("*a*b", "xxaxxab"),
            ("*", ".hidden"),
            ("x[é]", "xé"),
        ] {
            assert!(matching(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("*.py", "a.pyc"), ("[!a-c]x", "bx"), ("*", "a/b"), ("a?c", "ac"), ("", "a")] {
            assert!(!matching(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn folders() {
        for (pattern, path) in [
            ("**/*.json", "a.json"),
            ("**/*.json", "x/y/a.json"),
            ("x/**", "x/y/z"),
            ("x/**/z", "x/z"),
            ("**/y/**", "x/y/z"),
            ("/x/*", "/x/y"),
            ("./x", "x"),
        ] {
            assert!(matching(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("x/**", "x"), ("x/*", "x/y/z"), ("/x/*", "x/y"), ("**/y", "x/yy")] {
            assert!(!matching(pattern, path), "{pattern} {path}");
        }
    }
}
