//! Models how pytest imports test files and conftests: the folder that it adds to `sys.path`, and what it imports
//! first.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::imports::resolve::View;

/// pytest's `--import-mode`, and one mode more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// The folder of the outermost package comes first on `sys.path`.
    Prepend,
    /// The folder of the outermost package comes last on `sys.path`.
    Append,
    /// `sys.path` stays as it is.
    Importlib,
    /// Not pytest's: a package by itself, without conftests.
    Package,
}

impl ImportMode {
    pub(crate) fn from_name(name: &str) -> Result<Self> {
        match name {
            "prepend" => Ok(Self::Prepend),
            "append" => Ok(Self::Append),
            "importlib" => Ok(Self::Importlib),
            "package" => Ok(Self::Package),
            other => Err(Error::Value { value: other.to_owned(), expected: "prepend, append, importlib, package" }),
        }
    }
}

/// The files that come before a test file, and itself: conftests from the root down, each after the
/// `__init__` of its packages.
#[must_use]
pub(crate) fn entries(mode: ImportMode, rootdir: &Path, test_file: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let before = if mode == ImportMode::Package { Vec::new() } else { conftests(rootdir, test_file) };
    for file in before.into_iter().chain([test_file.to_owned()]) {
        for one in packages_of(&file).into_iter().chain([file]) {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

/// Outside the root, the conftest beside the file only.
fn conftests(rootdir: &Path, test_file: &Path) -> Vec<PathBuf> {
    let folders = test_file.ancestors().skip(1);
    let mut found: Vec<PathBuf> = match test_file.starts_with(rootdir) {
        true => folders.take_while(|folder| folder.starts_with(rootdir)).map(Path::to_owned).collect(),
        false => folders.take(1).map(Path::to_owned).collect(),
    };
    found.reverse();
    found.iter().map(|folder| folder.join("conftest.py")).filter(|file| file.is_file() && file != test_file).collect()
}

/// The `__init__.py` of each package that a file is in, outermost first.
fn packages_of(file: &Path) -> Vec<PathBuf> {
    let inits = file.ancestors().skip(1).map(|folder| folder.join("__init__.py"));
    let mut found: Vec<PathBuf> = inits.take_while(|init| init.is_file()).collect();
    found.reverse();
    found
}

/// The folder above a file's outermost package: what pytest puts on `sys.path` for it.
#[must_use]
pub(crate) fn package_root(file: &Path) -> PathBuf {
    let folders = file.ancestors().skip(1);
    let root = folders.into_iter().find(|folder| !folder.join("__init__.py").is_file());
    root.unwrap_or(file).to_owned()
}

/// The search path under which a test file's imports are resolved.
///
/// Its own folders only, nearest first: what other test files put on `sys.path` depends on the selection, and
/// comes last (`docs/design/imports.md`).
#[must_use]
pub(crate) fn view(mode: ImportMode, roots: Vec<PathBuf>) -> View {
    match mode {
        ImportMode::Prepend => View { before: roots, after: Vec::new() },
        ImportMode::Append => View { before: Vec::new(), after: roots },
        ImportMode::Importlib | ImportMode::Package => View::default(),
    }
}
