//! Fingerprints of the modules that a folder offers: modules, packages, and folders that may be namespace packages.
//!
//! Adding, removing or renaming a module changes the fingerprint, and so does a folder that becomes a package. An edit
//! does not.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use crate::filesystem::folder::entries;
use crate::filesystem::stat::{FileStamp, now};
use crate::freshness::fingerprint::Found;
use crate::records::record::Fingerprint;

/// A name that can be imported: a file with its suffix, or a folder, which may be a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Module {
    File { name: String, suffix: String },
    Folder { name: String },
}

/// The modules of a folder, and the status that the folder had.
struct Offer {
    stat: FileStamp,
    modules: Vec<Module>,
}

/// Folders that were read, kept in memory so that writing many records does not read the same ones for each. As with
/// files, only a status that had been unchanged for a while spares reading.
#[derive(Default)]
pub struct Folders(Mutex<HashMap<PathBuf, Arc<Offer>>>);

impl Folders {
    /// The fingerprint, and when a name may have been added last, which is only looked at if the folder itself
    /// changed since `since`. A name that went away needs no time: an import that had found it depends on its file.
    pub fn layout(&self, folder: &Path, since: Option<i64>) -> (Found, i64) {
        match self.offer(folder) {
            Ok(offer) => self.described(folder, &offer, since),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    (Found::Is(Fingerprint::of(b"kind: no folder")), 0)
                }
                _unreadable => (Found::Unreadable, 0),
            },
        }
    }

    fn described(&self, folder: &Path, offer: &Offer, since: Option<i64>) -> (Found, i64) {
        let mut lines = String::new();
        let mut newest = newest_name(folder, offer, since);
        for module in &offer.modules {
            let _never_fails = match module {
                Module::File { name, suffix } => writeln!(lines, "{name} {suffix}"),
                Module::Folder { name } => {
                    let (kind, changed) = self.package_kind(&folder.join(name), since);
                    newest = newest.max(changed);
                    writeln!(lines, "{name} {kind}")
                }
            };
        }
        (Found::Is(Fingerprint::of(lines.as_bytes())), newest)
    }

    /// "package" with the files that make it one, or "folder"; and when one of these may have been added.
    fn package_kind(&self, folder: &Path, since: Option<i64>) -> (String, i64) {
        let Ok(offer) = self.offer(folder) else { return ("unreadable".to_owned(), 0) };
        let suffix = |module: &Module| match module {
            Module::File { name, suffix } if name == "__init__" => Some(suffix.clone()),
            _other => None,
        };
        let suffixes: Vec<String> = offer.modules.iter().filter_map(suffix).collect();
        if suffixes.is_empty() {
            return ("folder".to_owned(), 0);
        }
        let files = suffixes.iter().map(|suffix| folder.join(format!("__init__.{suffix}")));
        (format!("package {}", suffixes.join(" ")), newest_of(files, changed_since(&offer, since)))
    }

    fn offer(&self, folder: &Path) -> io::Result<Arc<Offer>> {
        let stat = FileStamp::of(folder)?;
        let kept = |folders: &Self| folders.0.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        if let Some(offer) = kept(self).filter(|offer| offer.stat == stat) {
            return Ok(offer);
        }
        let started = now();
        let (modules, has_links) = modules_of(folder)?;
        let offer = Arc::new(Offer { stat, modules });
        // Where a link leads to may change without the folder.
        if !has_links && stat.was_old(started) && FileStamp::of(folder)? == stat {
            let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            folders.insert(folder.to_owned(), Arc::clone(&offer));
        }
        Ok(offer)
    }
}

/// Sorted, and whether some of them are symbolic links.
fn modules_of(folder: &Path) -> io::Result<(Vec<Module>, bool)> {
    let (mut modules, mut has_links) = (Vec::new(), false);
    for entry in entries(folder)? {
        let entry = entry?;
        let Ok(file_name) = entry.name().into_string() else { continue };
        let Some((name, suffix)) = module_name(&file_name) else { continue };
        has_links |= entry.is_link()?;
        let is_folder = entry.is_folder()?;
        let name = name.to_owned();
        match (is_folder, suffix) {
            (true, None) => modules.push(Module::Folder { name }),
            (false, Some(suffix)) => modules.push(Module::File { name, suffix: suffix.to_owned() }),
            _no_module => {}
        }
    }
    modules.sort_unstable();
    Ok((modules, has_links))
}

/// When a name may have been added to the folder.
fn newest_name(folder: &Path, offer: &Offer, since: Option<i64>) -> i64 {
    let path = |module: &Module| match module {
        Module::File { name, suffix } => folder.join(format!("{name}.{suffix}")),
        Module::Folder { name } => folder.join(name),
    };
    newest_of(offer.modules.iter().map(path), changed_since(offer, since))
}

/// The time of the youngest path in a folder that changed at `changed`: nothing was added later than that.
fn newest_of(paths: impl Iterator<Item = PathBuf>, changed: Option<i64>) -> i64 {
    let Some(changed) = changed else { return 0 };
    let newest = |path: PathBuf| fs::symlink_metadata(path).map_or(i64::MAX, |data| added(&data));
    paths.map(newest).max().unwrap_or(0).min(changed)
}

/// When an entry may have been added. A folder changes with each `__pycache__` that is made in it, which is no news:
/// where the file system knows when it was born, that counts, unless it was moved (then ctime is later than mtime).
fn added(data: &fs::Metadata) -> i64 {
    let stat = FileStamp::from(data);
    let born = data.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    match born.and_then(|born| i64::try_from(born.as_nanos()).ok()) {
        Some(born) if data.is_dir() && stat.ctime <= stat.mtime => born,
        _file_or_unknown => stat.newest(),
    }
}

/// When the folder changed, if that is not before `since`.
fn changed_since(offer: &Offer, since: Option<i64>) -> Option<i64> {
    since.and_then(|since| Some(offer.stat.newest()).filter(|newest| *newest >= since))
}

/// The importable name, and the suffix of a module file. None if nothing can be imported by that name.
pub fn module_name(file_name: &str) -> Option<(&str, Option<&str>)> {
    let (name, suffix) = match file_name.split_once('.') {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (file_name, None),
    };
    let is_module = match suffix {
        None | Some("py" | "pyc" | "so" | "pyd") => true,
        #[expect(clippy::case_sensitive_file_extension_comparisons, reason = "the import system compares by case")]
        Some(other) => other.ends_with(".so") || other.ends_with(".pyd"),
    };
    (is_module && is_identifier(name) && name != "__pycache__").then_some((name, suffix))
}

/// Rather more than Python takes: a name too many costs a look, one too few a stale result.
fn is_identifier(name: &str) -> bool {
    let is_part = |letter: char| letter == '_' || letter.is_alphanumeric() || !letter.is_ascii();
    name.chars().next().is_some_and(|first| !first.is_ascii_digit()) && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_imported() {
        assert_eq!(module_name("a.py"), Some(("a", Some("py"))));
        assert_eq!(
            module_name("_x.cpython-312-x86_64-linux-gnu.so"),
            Some(("_x", Some("cpython-312-x86_64-linux-gnu.so")))
        );
        assert_eq!(module_name("é"), Some(("é", None)));
        for other in ["__pycache__", ".git", "a-b.py", "a.txt", "1.py", "a.b.py", ""] {
            assert_eq!(module_name(other), None, "{other}");
        }
    }
}
