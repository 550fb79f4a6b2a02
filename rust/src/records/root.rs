//! The root that records are relative to, and the form of paths below it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::filesystem::paths::{absolute_path, canonical_path};

use crate::records::text::Text;

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
        let full = canonical_path(&self.path, Path::new(OsStr::from_bytes(path)));
        let inside = full.strip_prefix(&self.path).or_else(|_| full.strip_prefix(self.real()));
        match inside {
            Ok(rest) if rest.as_os_str().is_empty() => Text::from("."),
            Ok(rest) => Text(rest.as_os_str().as_bytes().to_vec()),
            Err(_outside) => Text(full.as_os_str().as_bytes().to_vec()),
        }
    }

    fn real(&self) -> &Path {
        self.real.get_or_init(|| fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
    }
}

/// Relative, and written in the one way.
fn is_plain(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}
