//! Classifies paths (recorded, ignored or temporary) and the files of stack frames.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The arguments of `observe`, with absolute paths.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    pub root: PathBuf,
    pub collecting: bool,
    pub ignored: Vec<PathBuf>,
    pub temporary: Vec<PathBuf>,
    /// Packages whose own accesses do not count for tests.
    pub callers: Vec<PathBuf>,
    pub pycache_prefix: Option<PathBuf>,
    /// First components of dotted names that are never recorded.
    pub stdlib: HashSet<String>,
    /// Where installed packages lie.
    pub installed: Vec<PathBuf>,
    /// Modules of the standard library that open, list and read the environment on behalf of others.
    pub intermediaries: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathClass {
    Recorded,
    Ignored,
    Temporary,
}

/// File systems of the kernel. A root below one of them (a disk in memory) still counts.
const SYSTEM: [&str; 3] = ["/proc", "/dev", "/sys"];

impl Settings {
    /// The longest prefix decides; the root wins a tie, since a row too many is no error.
    #[must_use]
    pub fn classify(&self, path: &Path) -> PathClass {
        let depth = |folder: &Path| is_below(path, folder).then_some(folder.as_os_str().len());
        let deepest = |folders: &[PathBuf]| folders.iter().filter_map(|folder| depth(folder)).max();
        let system = SYSTEM.iter().filter_map(|folder| depth(Path::new(folder))).max();
        let root = depth(&self.root);
        let ignored = deepest(&self.ignored).max(system);
        let temporary = deepest(&self.temporary);
        if root >= ignored && root >= temporary {
            PathClass::Recorded
        } else if ignored >= temporary {
            PathClass::Ignored
        } else {
            PathClass::Temporary
        }
    }

    #[must_use]
    pub fn is_temporary_root(&self, path: &Path) -> bool {
        self.temporary.iter().any(|folder| is_below(folder, path))
    }

    #[must_use]
    pub fn is_caller(&self, file: &Path) -> bool {
        self.callers.iter().any(|folder| is_below(file, folder))
    }

    /// Whether a module is asked for by another part of the same installed package: no news to anybody.
    #[must_use]
    pub fn is_of_one_package(&self, importer: &Path, module: &str) -> bool {
        let top = module.split('.').next().unwrap_or(module).as_bytes();
        let path = importer.as_os_str().as_encoded_bytes();
        self.ignored.iter().any(|folder| {
            let inside = path.strip_prefix(folder.as_os_str().as_encoded_bytes());
            let rest = inside.and_then(|rest| rest.strip_prefix(b"/")).and_then(|rest| rest.strip_prefix(top));
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        })
    }

    /// Whether it is the code that looks for distributions.
    #[must_use]
    pub fn is_metadata(&self, file: &Path) -> bool {
        let in_package = |name: &str| file.parent().is_some_and(|folder| folder.ends_with(name));
        in_package("importlib/metadata") && self.is_intermediary(file) || in_package("importlib_metadata")
    }

    #[must_use]
    pub fn is_intermediary(&self, file: &Path) -> bool {
        self.intermediaries.iter().any(|intermediary| is_below(file, intermediary))
    }

    /// Whether what the code of this file does belongs to it: it is first-party, below the root or beside it.
    #[must_use]
    pub fn is_owner(&self, file: &Path) -> bool {
        file.is_absolute() && self.classify(file) != PathClass::Ignored
    }

    /// The folder, or the file, of the installed top-level package that this file is part of.
    #[must_use]
    pub fn package_of(&self, file: &Path) -> Option<PathBuf> {
        let folder =
            self.installed.iter().filter(|folder| is_below(file, folder)).max_by_key(|one| one.as_os_str().len());
        let folder = folder.filter(|_| !self.is_caller(file))?;
        Some(folder.join(file.strip_prefix(folder).ok()?.components().next()?))
    }

    #[must_use]
    pub fn is_stdlib(&self, module: &str) -> bool {
        self.stdlib.contains(module.split('.').next().unwrap_or(module))
    }
}

/// Compares bytes, since both are normal paths: `Path::starts_with` would split them at each `open()` of a process.
fn is_below(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (path.as_os_str().as_encoded_bytes(), folder.as_os_str().as_encoded_bytes());
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    path.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            root: "/tmp/p".into(),
            ignored: vec!["/tmp/p/.venv".into(), "/usr".into()],
            temporary: vec!["/tmp".into(), "/tmp/p/.venv/tmp".into()],
            callers: vec!["/usr/pytest".into()],
            ..Settings::default()
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let settings = settings();
        let place = |path: &str| settings.classify(Path::new(path));
        for path in ["/tmp/p", "/tmp/p/a", "/tmp/p/.venv2", "/home/x", "/", "/usr2"] {
            assert_eq!(place(path), PathClass::Recorded, "{path}");
        }
        for path in ["/tmp/p/.venv", "/tmp/p/.venv/a", "/usr/a", "/proc/self/stat", "/dev/null", "/sys"] {
            assert_eq!(place(path), PathClass::Ignored, "{path}");
        }
        for path in ["/tmp", "/tmp/pp", "/tmp/p/.venv/tmp/a"] {
            assert_eq!(place(path), PathClass::Temporary, "{path}");
        }
    }

    #[test]
    fn a_root_may_be_everything_or_lie_in_memory() {
        let all = Settings { root: "/".into(), ignored: vec!["/usr".into()], ..Settings::default() };
        assert_eq!(all.classify(Path::new("/home")), PathClass::Recorded);
        assert_eq!(all.classify(Path::new("/usr/a")), PathClass::Ignored);
        assert_eq!(all.classify(Path::new("/dev/null")), PathClass::Ignored);
        let memory = Settings { root: "/dev/shm/p".into(), ..Settings::default() };
        assert_eq!(memory.classify(Path::new("/dev/shm/p/a")), PathClass::Recorded);
        assert_eq!(memory.classify(Path::new("/dev/shm/q")), PathClass::Ignored);
    }

    #[test]
    fn owners_lie_below_the_root_and_callers_in_their_packages() {
        let settings = settings();
        assert!(settings.is_owner(Path::new("/tmp/p/a.py")));
        assert!(!settings.is_owner(Path::new("/tmp/p/.venv/a.py")));
        assert!(settings.is_owner(Path::new("/home/a.py")));
        assert!(!settings.is_owner(Path::new("/usr/a.py")));
        assert!(!settings.is_owner(Path::new("<frozen os>")));
        assert!(settings.is_caller(Path::new("/usr/pytest/a.py")));
        assert!(!settings.is_caller(Path::new("/usr/pytest2/a.py")));
    }
}
