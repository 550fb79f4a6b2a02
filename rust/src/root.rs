//! The root that records are relative to, and how a path is written below it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use crate::resolve::absolute_path;
use crate::text::Text;

pub struct Root {
    path: PathBuf,
    /// Without symbolic links; asked for when a path is outside otherwise.
    real: OnceLock<PathBuf>,
}

impl Root {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path: absolute_path(Path::new("/"), &path), real: OnceLock::new() }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Relative with "/" where it is inside, "." for the root itself, else absolute.
    #[must_use]
    pub fn shorten(&self, path: &[u8]) -> Text {
        let own = self.path.as_os_str().as_bytes();
        let below = path.strip_prefix(own).and_then(|rest| rest.strip_prefix(b"/")).unwrap_or(path);
        if is_plain(below) {
            return Text(below.to_vec());
        }
        let full = self.followed(Path::new(OsStr::from_bytes(path)));
        let inside = full.strip_prefix(&self.path).or_else(|_| full.strip_prefix(self.real()));
        match inside {
            Ok(rest) if rest.as_os_str().is_empty() => Text::from("."),
            Ok(rest) => Text(rest.as_os_str().as_bytes().to_vec()),
            Err(_outside) => Text(full.as_os_str().as_bytes().to_vec()),
        }
    }

    /// Absolute. What stands before a ".." is followed, if it exists: it may be a link.
    fn followed(&self, path: &Path) -> PathBuf {
        let path = self.path.join(path);
        let parts: Vec<Component<'_>> = path.components().collect();
        let last = parts.iter().rposition(|part| *part == Component::ParentDir);
        let Some(last) = last else { return absolute_path(Path::new("/"), &path) };
        let (above, below): (PathBuf, PathBuf) = (parts[..=last].iter().collect(), parts[last + 1..].iter().collect());
        let above = fs::canonicalize(&above).unwrap_or(above);
        absolute_path(&above, &below)
    }

    fn real(&self) -> &Path {
        self.real.get_or_init(|| fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
    }
}

/// Relative, and written in the one way.
fn is_plain(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}
