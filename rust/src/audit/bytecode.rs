//! Maps bytecode files to their sources.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FOLDER: &[u8] = b"__pycache__";
const EXTENSION: &[u8] = b".pyc";
/// How the tags of interpreters begin.
const TAGS: [&[u8]; 2] = [b"cpython-", b"pypy"];

/// The sources that the interpreter, or pytest, would compile to this file; none if it is a file like any other.
///
/// With `sys.pycache_prefix` the bytecode lies below it in the folders of the sources. A `.pyc` beside its source's
/// place, without a tag, has no source and stands for itself. Scripts have other endings than `.py`, or none, and the
/// bytecode's name does not tell which: where no module has this name, all files of the name count.
#[must_use]
pub fn sources_of(path: &Path, prefix: Option<&Path>) -> Vec<PathBuf> {
    let found = path.file_name().and_then(|name| stem(name.as_bytes())).zip(home_of(path, prefix));
    let Some((stem, home)) = found else { return Vec::new() };
    let module = home.join(OsStr::from_bytes(&[stem.name(), b".py"].concat()));
    let is_module = matches!(stem, Stem::Dotted(_)) && module.symlink_metadata().is_ok();
    let scripts = if is_module { Vec::new() } else { scripts_in(&home, stem) };
    match (stem, scripts.is_empty()) {
        (_, false) => scripts,
        (Stem::Dotted(_), true) => vec![module],
        (Stem::Whole(_), true) => Vec::new(),
    }
}

/// The folder of the sources.
fn home_of(path: &Path, prefix: Option<&Path>) -> Option<PathBuf> {
    let folder = path.parent()?;
    match prefix.and_then(|prefix| folder.strip_prefix(prefix).ok()) {
        Some(rest) => Some(Path::new("/").join(rest)),
        None if folder.file_name().is_some_and(|last| last.as_bytes() == FOLDER) => Some(folder.parent()?.to_owned()),
        None => None,
    }
}

fn scripts_in(folder: &Path, stem: Stem<'_>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_script = |path: &PathBuf| path.file_name().is_some_and(|name| stem.is_of(name.as_bytes())) && path.is_file();
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_script).collect();
    found.sort();
    found
}

/// Whether the path lies where only bytecode and its temporary files are written, which are no input.
#[must_use]
pub fn is_store(path: &Path, prefix: Option<&Path>) -> bool {
    prefix.is_some_and(|prefix| path.starts_with(prefix))
        || path.extension().is_some_and(|extension| extension == "pyc")
        || path.components().any(|part| part.as_os_str().as_bytes() == FOLDER)
}

/// What a source's name has before the interpreter's tag.
#[derive(Clone, Copy)]
enum Stem<'a> {
    /// "a.b" of "a.b.cpython-312-pytest-9.2.0.pyc": the ending of the source is not known.
    Dotted(&'a [u8]),
    /// "a" of "acpython-312.pyc": the name of the source, which has no ending.
    Whole(&'a [u8]),
}

impl<'a> Stem<'a> {
    fn name(self) -> &'a [u8] {
        let (Self::Dotted(name) | Self::Whole(name)) = self;
        name
    }

    /// Whether a file of this name is compiled to bytecode of this stem. A dot that begins a name ends nothing.
    fn is_of(self, file: &[u8]) -> bool {
        let ending = file.iter().rposition(|byte| *byte == b'.');
        match self {
            Self::Whole(name) => file == name,
            Self::Dotted(name) => {
                let is_of = |at: usize| file.get(if at == 0 { 1..file.len() } else { 0..at }) == Some(name);
                ending.is_some_and(is_of) && !file.ends_with(EXTENSION)
            }
        }
    }
}

fn stem(name: &[u8]) -> Option<Stem<'_>> {
    let rest = name.strip_suffix(EXTENSION)?;
    let is_tag = |at: usize| rest.get(at..).is_some_and(|tag| TAGS.iter().any(|known| tag.starts_with(known)));
    let is_dotted = |at: &usize| rest.get(*at) == Some(&b'.') && is_tag(at + 1);
    if let Some(at) = (1..rest.len()).find(is_dotted) {
        return rest.get(..at).map(Stem::Dotted);
    }
    let at = (1..rest.len()).rfind(|at| is_tag(*at))?;
    rest.get(..at).filter(|name| !name.contains(&b'.')).map(Stem::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, prefix: Option<&str>) -> Option<String> {
        let found = sources_of(Path::new(path), prefix.map(Path::new));
        assert!(found.len() < 2);
        found.first().map(|path| path.to_str().unwrap().to_owned())
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
    fn scripts_have_any_ending_or_none() {
        let folder = std::env::temp_dir().join(format!("bytecode-{}", std::process::id()));
        fs::create_dir_all(folder.join("tool.d")).unwrap();
        for name in ["tool", "tool.cgi", "tool.x.cgi", "tool.pyc", "tools", "both", "both.py", "both.cgi", ".rc"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let sources = |name: &str, prefix: Option<&Path>| {
            let below = folder.strip_prefix("/").unwrap().join(name);
            let place = prefix.map_or_else(|| folder.join("__pycache__").join(name), |prefix| prefix.join(below));
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            sources_of(&place, prefix).into_iter().map(name).collect::<Vec<_>>()
        };
        for prefix in [None, Some(Path::new("/p"))] {
            assert_eq!(sources("toolcpython-312.pyc", prefix), ["tool"]);
            assert_eq!(sources("toolcpython-312.opt-1.pyc", prefix), ["tool"]);
            assert_eq!(sources("tool.cpython-312.pyc", prefix), ["tool.cgi"]);
            assert_eq!(sources("tool.x.cpython-312.pyc", prefix), ["tool.x.cgi"]);
            assert_eq!(sources("both.cpython-312.pyc", prefix), ["both.py"]);
            assert_eq!(sources("bothcpython-312.pyc", prefix), ["both"]);
            assert_eq!(sources("rc.cpython-312.pyc", prefix), [".rc"]);
            assert_eq!(sources("gone.cpython-312.pyc", prefix), ["gone.py"]);
            assert_eq!(sources("gonecpython-312.pyc", prefix), [""; 0]);
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
