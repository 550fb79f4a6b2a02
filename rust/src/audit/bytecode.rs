//! Maps bytecode files to their sources.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FOLDER: &[u8] = b"__pycache__";
const EXTENSION: &[u8] = b".pyc";

/// The source that the interpreter, or pytest, would compile to this file; `None` if it is a file like any other.
///
/// With `sys.pycache_prefix` the bytecode lies below it in the folders of the sources. A `.pyc` beside its source's
/// place, without a tag, has no source and stands for itself.
#[must_use]
pub fn source_of(path: &Path, prefix: Option<&Path>) -> Option<PathBuf> {
    let name = stem(path.file_name()?.as_bytes())?;
    let folder = path.parent()?;
    let home = match prefix.and_then(|prefix| folder.strip_prefix(prefix).ok()) {
        Some(rest) => Path::new("/").join(rest),
        None if folder.file_name().is_some_and(|last| last.as_bytes() == FOLDER) => folder.parent()?.to_owned(),
        None => return None,
    };
    let mut file = name.to_owned();
    file.extend_from_slice(b".py");
    Some(home.join(OsStr::from_bytes(&file)))
}

/// Whether the path lies where only bytecode and its temporary files are written, which are no input.
#[must_use]
pub fn is_store(path: &Path, prefix: Option<&Path>) -> bool {
    prefix.is_some_and(|prefix| path.starts_with(prefix))
        || path.extension().is_some_and(|extension| extension == "pyc")
        || path.components().any(|part| part.as_os_str().as_bytes() == FOLDER)
}

/// "a.b" of "a.b.cpython-312-pytest-9.2.0.pyc": all before the interpreter's tag.
fn stem(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_suffix(EXTENSION)?;
    let is_tag = |at: &usize| {
        let after = rest.get(at + 1..).unwrap_or(&[]);
        rest.get(*at) == Some(&b'.') && (after.starts_with(b"cpython-") || after.starts_with(b"pypy"))
    };
    let at = (1..rest.len()).find(is_tag)?;
    rest.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, prefix: Option<&str>) -> Option<String> {
        let found = source_of(Path::new(path), prefix.map(Path::new));
        found.map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_tag_and_what_follows_it_is_cut() {
        for tag in ["cpython-310", "cpython-312.opt-1", "cpython-312-pytest-9.2.0", "cpython-313-pytest-9.2.0.opt-2"] {
            assert_eq!(source(&format!("/x/__pycache__/a.{tag}.pyc"), None), Some("/x/a.py".into()));
        }
        assert_eq!(source("/x/__pycache__/a.b.pypy310.pyc", None), Some("/x/a.b.py".into()));
    }

    #[test]
    fn what_is_no_bytecode_with_a_source_stands_for_itself() {
        for path in
            ["/x/a.pyc", "/x/a.cpython-312.pyc", "/x/__pycache__/a.pyc", "/x/__pycache__/a.cpython-312.nbi", "/"]
        {
            assert_eq!(source(path, None), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_holds_the_folders_of_the_sources() {
        assert_eq!(source("/p/x/y/a.cpython-312.pyc", Some("/p")), Some("/x/y/a.py".into()));
        assert_eq!(source("/x/__pycache__/a.cpython-312.pyc", Some("/p")), Some("/x/a.py".into()));
    }

    #[test]
    fn stores_are_known_by_folder_extension_and_prefix() {
        let is = |path: &str| is_store(Path::new(path), Some(Path::new("/p")));
        assert!(is("/x/__pycache__") && is("/x/__pycache__/a.cpython-312.pyc.1234") && is("/x/a.pyc") && is("/p/x"));
        assert!(!is("/x/a.py") && !is("/pp/x"));
    }
}
