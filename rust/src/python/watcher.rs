//! The Python face of the watcher.

use std::ffi::OsString;
use std::path::{PathBuf, absolute};

use nix::errno::Errno;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::python::convert::{os_error, paths, shown};
use crate::watch::folder_events;
use crate::watch::watcher;

#[pyclass(frozen, get_all, module = "pytest_hotreload._native")]
pub struct Changes {
    changed: Vec<OsString>,
    created: Vec<OsString>,
    deleted: Vec<OsString>,
    saved: Vec<OsString>,
    burst: &'static str,
    first_ns: u64,
    ready_ns: u64,
}

impl From<watcher::Changes> for Changes {
    fn from(found: watcher::Changes) -> Self {
        Self {
            changed: shown(found.changed),
            created: shown(found.created),
            deleted: shown(found.deleted),
            saved: shown(found.saved),
            burst: found.burst,
            first_ns: found.first_ns,
            ready_ns: found.ready_ns,
        }
    }
}

#[pyclass(frozen, module = "pytest_hotreload._native")]
pub struct Watcher(watcher::Watcher);

/// Without trailing slashes and dots, or events would name paths in another way than the caller; links stay.
fn named(iterable: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    let clean = |path: PathBuf| absolute(&path).map_err(|error| os_error(&error, Some(&path)));
    paths(iterable)?.into_iter().map(|path| Ok(clean(path)?.components().collect())).collect()
}

fn closed() -> PyErr {
    PyValueError::new_err("the watcher is closed")
}

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (paths, *, ignore = None, quiet_ms = 20, longest_ms = 100, poll = false, poll_ms = 200))]
    fn new(
        py: Python<'_>,
        paths: &Bound<'_, PyAny>,
        ignore: Option<&Bound<'_, PyAny>>,
        quiet_ms: u32,
        longest_ms: u32,
        poll: bool,
        poll_ms: u32,
    ) -> PyResult<Self> {
        let paths = named(paths)?;
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            return Err(os_error(&Errno::ENOENT.into(), Some(missing)));
        }
        let settings = watcher::Settings {
            paths,
            ignored: ignore.map_or_else(|| Ok(Vec::new()), named)?,
            quiet_ms: quiet_ms.into(),
            longest_ms: longest_ms.into(),
            poll,
            poll_ms: poll_ms.into(),
        };
        py.detach(|| watcher::Watcher::new(settings)).map(Self).map_err(|error| os_error(&error, None))
    }

    fn fileno(&self) -> PyResult<i32> {
        self.0.descriptor().ok_or_else(closed)
    }

    fn take(&self, py: Python<'_>) -> Vec<Changes> {
        py.detach(|| self.0.take().into_iter().map(Changes::from).collect())
    }

    #[pyo3(signature = (paths, *, deep = true))]
    fn watch(&self, py: Python<'_>, paths: &Bound<'_, PyAny>, deep: bool) -> PyResult<()> {
        self.0.descriptor().ok_or_else(closed)?;
        let paths = named(paths)?;
        py.detach(|| self.0.watch(&paths, deep));
        Ok(())
    }

    fn notices(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.0.notices())
    }

    #[getter]
    fn polling(&self) -> bool {
        self.0.is_polling()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, module = "pytest_hotreload._native")]
pub struct FolderEvents(folder_events::FolderEvents);

#[pymethods]
impl FolderEvents {
    #[new]
    fn new(folders: &Bound<'_, PyAny>) -> PyResult<Self> {
        folder_events::FolderEvents::new(&named(folders)?).map(Self).map_err(|error| os_error(&error, None))
    }

    fn fileno(&self) -> i32 {
        self.0.descriptor()
    }

    fn drain(&self) -> bool {
        self.0.drain()
    }
}
