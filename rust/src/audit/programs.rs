//! Classifies started processes by program and arguments: which files of the project one may read.
//!
//! No hook observes a started process. It may therefore read everything, except for a few programs of the system that
//! start nothing, and read nothing but the files that they are given.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::audit::arguments::joined;

/// Programs that read no file at all.
const IDLE: [&str; 11] =
    ["true", "false", "echo", "sleep", "yes", "seq", "basename", "dirname", "uname", "kill", "ldconfig"];
/// Programs that read, or write, the files that their arguments name, and no others.
const READERS: [&str; 14] =
    ["cat", "head", "tail", "cmp", "tee", "touch", "mkdir", "rmdir", "rm", "cp", "mv", "ln", "chmod", "base64"];
/// Where the system's own programs lie: a file of these names elsewhere is another program.
const SYSTEM: [&str; 4] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"];
/// Programs in these folders belong to the system, not to the project.
const INSTALLED: [&str; 5] = ["/bin/", "/sbin/", "/usr/", "/lib", "/nix/"];
const ADDED: &str = "/usr/local/";

/// A process as the event tells it; `arguments` with the program's name first, where they are known.
pub struct Command {
    pub program: Option<OsString>,
    pub arguments: Vec<OsString>,
    pub folder: PathBuf,
    /// Where a name without a slash is looked for; None where that is not known.
    pub path: Option<OsString>,
}

impl Command {
    /// Whether it may read any file of the project; else those of `files` are all.
    #[must_use]
    pub fn may_read_all(&self) -> bool {
        let Some(name) = self.system_name() else { return true };
        let is_of = |names: &[&str]| names.iter().any(|known| name == *known);
        !(is_of(&IDLE) || is_of(&READERS)) || (is_of(&READERS) && self.named().any(|path| path.is_dir()))
    }

    /// Files that it reads because it is told to, absolute: the program, unless that is installed, and what its
    /// arguments name. `libraries`: folders of installed modules; a program of the same environment is part of that.
    #[must_use]
    pub fn files(&self, libraries: &[PathBuf]) -> Vec<PathBuf> {
        let is_reader = !self.may_read_all();
        if is_reader && self.system_name().is_some_and(|name| IDLE.iter().any(|idle| name == *idle)) {
            return Vec::new();
        }
        let is_own = |path: &Path| {
            let path = path.as_os_str().as_bytes();
            path.starts_with(ADDED.as_bytes()) || !INSTALLED.iter().any(|folder| path.starts_with(folder.as_bytes()))
        };
        let program = self.found().filter(|path| is_own(path) && !is_of_environment(path, libraries) && path.is_file());
        // A file that a reader is given may be missing, too: the reader reports that.
        let named = self.named().filter(|path| path.is_file() || (is_reader && !path.exists()));
        program.into_iter().chain(named).collect()
    }

    /// The name in a record, of which nothing differs from run to run. `is_temporary` tells that of a path.
    #[must_use]
    pub fn described(&self, event: &str, libraries: &[PathBuf], is_temporary: impl Fn(&Path) -> bool) -> OsString {
        let Some(program) = self.program.as_deref().map(Path::new) else { return event.into() };
        if program.is_absolute() && is_temporary(program) && !is_of_environment(program, libraries) {
            return "a program in a temporary folder".into();
        }
        let name = program.file_name().unwrap_or(program.as_os_str());
        if !name.as_bytes().starts_with(b"python") {
            return name.to_owned();
        }
        let rest = self.arguments.get(1..).unwrap_or_default();
        let found = OsString::from("python");
        let Some(at) = rest.iter().position(|text| text == "-m" || text == "-c" || !text.as_bytes().starts_with(b"-"))
        else {
            return found;
        };
        let Some(first) = rest.get(at) else { return found };
        let script = self.folder.join(first);
        let shown = match first.as_bytes() {
            b"-c" => Some(OsStr::new("-c").to_owned()),
            b"-m" => rest.get(at + 1).map(|module| joined(OsStr::new("-m "), module)),
            _script if is_temporary(&script) => Some("a script in a temporary folder".into()),
            _script => script.file_name().map(OsStr::to_owned),
        };
        shown.map_or_else(|| found.clone(), |shown| joined(&joined(&found, OsStr::new(" ")), &shown))
    }

    /// Its name, if it is a program of the system.
    fn system_name(&self) -> Option<OsString> {
        let found = self.found()?;
        // A program of many names goes by this one.
        if self.arguments.first().and_then(|name| Path::new(name).file_name()) != found.file_name() {
            return None;
        }
        let is_system = SYSTEM.iter().any(|folder| found.parent() == Some(Path::new(folder)));
        is_system.then(|| found.file_name().map(OsStr::to_owned)).flatten()
    }

    /// As `execvp` looks for it.
    fn found(&self) -> Option<PathBuf> {
        let program = Path::new(self.program.as_ref()?);
        if program.as_os_str().as_bytes().contains(&b'/') {
            return Some(self.folder.join(program));
        }
        let folders = std::env::split_paths(self.path.as_ref()?);
        folders.map(|folder| self.folder.join(folder).join(program)).find(|path| path.is_file())
    }

    /// Arguments that may be paths, also behind the `=` of an option.
    fn named(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.arguments.iter().skip(1).filter_map(|text| {
            let bytes = text.as_bytes();
            let value = match bytes {
                [b'-', ..] => bytes.splitn(2, |byte| *byte == b'=').nth(1)?,
                _plain => bytes,
            };
            (!value.is_empty() && !value.contains(&0)).then(|| self.folder.join(OsStr::from_bytes(value)))
        })
    }
}

fn is_of_environment(program: &Path, libraries: &[PathBuf]) -> bool {
    let Some(prefix) = program.parent().and_then(Path::parent) else {
        return false;
    };
    prefix.join("pyvenv.cfg").is_file() || libraries.iter().any(|folder| folder.starts_with(prefix.join("lib")))
}
