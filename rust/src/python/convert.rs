//! Converts between values of Python and of Rust, and errors to exceptions.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyKeyError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::NotScanned(_) => PyKeyError::new_err(error.to_string()),
            Error::Value { .. } | Error::Draft(_) => PyValueError::new_err(error.to_string()),
            Error::Io { path, source } => os_error(&source, Some(&path)),
        }
    }
}

/// An `OSError` with errno where there is one, so that Python raises `FileNotFoundError` and its siblings.
pub fn os_error(error: &io::Error, path: Option<&Path>) -> PyErr {
    match (error.raw_os_error(), path) {
        (Some(number), Some(path)) => PyOSError::new_err((number, error.to_string(), path.as_os_str().to_owned())),
        (Some(number), None) => PyOSError::new_err((number, error.to_string())),
        (None, _) => PyOSError::new_err(error.to_string()),
    }
}

/// A lock that a panic elsewhere cannot poison for good.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Any iterable of paths; a single string is one by mistake only.
pub fn paths(iterable: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    items(iterable)?.map(|item| item?.extract()).collect()
}

pub fn items<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>>> {
    if iterable.is_instance_of::<PyString>() || iterable.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("expected a collection of strings, not a string"));
    }
    iterable.try_iter()
}

/// Paths go back as `str`, undecodable bytes as in `os.fsdecode`.
pub fn shown(paths: impl IntoIterator<Item = PathBuf>) -> Vec<OsString> {
    paths.into_iter().map(PathBuf::into_os_string).collect()
}
