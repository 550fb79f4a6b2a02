//! Classifies accesses to paths, and finds the paths that a spelling may mean.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;

/// The way in which a path is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Update,
    /// Written behind what is there, which is not seen.
    Append,
    /// The earlier content is lost.
    Replace,
    /// Written without being replaced: what is read later is not this process's output alone.
    Change,
    List,
    /// Asked where it leads.
    Link,
    /// Read under the name that it loses.
    Move,
}

/// The flags and mode of an `open()` -> what is done to the file; `None` for a file without a name.
#[must_use]
pub fn access_of(flags: i32, mode: Option<&str>) -> Option<Access> {
    #[cfg(target_os = "linux")]
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        return None;
    }
    // Some of C's fopen calls say their mode and no flags.
    if let (0, Some(mode)) = (flags, mode) {
        let has = |wanted: char| mode.contains(wanted);
        return Some(match () {
            () if has('w') => Access::Replace,
            () if has('a') && !has('+') => Access::Append,
            () if has('a') || has('x') || has('+') => Access::Update,
            () => Access::Read,
        });
    }
    let has = |wanted: i32| flags & wanted == wanted;
    let access = flags & libc::O_ACCMODE;
    Some(match () {
        () if has(libc::O_APPEND) && access == libc::O_WRONLY && !has(libc::O_EXCL) => Access::Append,
        () if has(libc::O_EXCL | libc::O_CREAT) || has(libc::O_APPEND) => Access::Update,
        () if has(libc::O_TRUNC | libc::O_CREAT) => Access::Replace,
        () if has(libc::O_TRUNC) && access == libc::O_WRONLY => Access::Replace,
        () if access == libc::O_RDONLY && flags & (libc::O_CREAT | libc::O_TRUNC) == 0 => Access::Read,
        () => Access::Update,
    })
}

/// The absolute path in the ways it may be meant: `a/..` is not where `a` lies if `a` is a link.
#[must_use]
pub fn spellings(folder: &Path, path: &Path) -> Vec<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let normal = crate::filesystem::paths::absolute_path(folder, path);
    if bytes.windows(2).all(|pair| pair != b"..") {
        return vec![normal];
    }
    match (fs::canonicalize(folder.join(path)), fs::canonicalize(&normal)) {
        (Ok(real), Ok(same)) if real == same => vec![normal],
        (Ok(real), _) => vec![normal, real],
        (Err(_), _) => vec![normal],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_known_by_its_flags() {
        use libc::{O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
        for (flags, access) in [
            (O_RDONLY, Access::Read),
            (O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY, Access::Read),
            (O_RDONLY | O_CREAT, Access::Update),
            (O_RDWR, Access::Update),
            (O_RDWR | O_TRUNC, Access::Update),
            (O_RDWR | O_CREAT | O_TRUNC, Access::Replace),
            (O_WRONLY, Access::Update),
            (O_WRONLY | O_TRUNC, Access::Replace),
            (O_WRONLY | O_CREAT | O_TRUNC, Access::Replace),
            (O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, Access::Update),
            (O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, Access::Append),
        ] {
            assert_eq!(access_of(flags, None), Some(access), "{flags:o}");
        }
        assert_eq!(access_of(0, Some("rb")), Some(Access::Read));
        assert_eq!(access_of(0, Some("w")), Some(Access::Replace));
        assert_eq!(access_of(0, Some("r+b")), Some(Access::Update));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_a_name_is_nobody_s() {
        assert_eq!(access_of(libc::O_RDWR | libc::O_TMPFILE, None), None);
    }

    #[test]
    fn a_path_without_links_is_spelt_in_one_way() {
        let spelt = |path: &str| spellings(Path::new("/none/x"), Path::new(path));
        assert_eq!(spelt("a/./b//c/"), [PathBuf::from("/none/x/a/b/c")]);
        assert_eq!(spelt("../a..b/c"), [PathBuf::from("/none/a..b/c")]);
        assert_eq!(spelt("/usr/../usr"), [PathBuf::from("/usr")]);
    }
}
