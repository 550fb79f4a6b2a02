//! The Python face of this crate, and the only module that knows Python. The contract is `_native.pyi`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use pyo3::exceptions::{PyKeyError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString};

use crate::error::Error;
use crate::imports::effects::{Effect, Kind};
use crate::imports::parse::{Context, Import, Parsed};
use crate::imports::project;
use crate::imports::pytest_layout::ImportMode;
use crate::process;
use crate::process::huge_pages;
use crate::process::private_pages;
use crate::process::terminal_modes;
use crate::python::observe;
use crate::python::records::{glob_matches, Records};
use crate::python::watcher::{Changes, FolderEvents, Watcher};
use crate::python::world;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::NotScanned(_) => PyKeyError::new_err(error.to_string()),
            Error::Value { .. } | Error::Draft(_) => PyValueError::new_err(error.to_string()),
            Error::Io { path, source } => os_error(&source, Some(&path)),
        }
    }
}

/// With errno where there is one, so that Python makes FileNotFoundError and its kin of it.
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

fn strings<C: FromIterator<String>>(iterable: &Bound<'_, PyAny>) -> PyResult<C> {
    items(iterable)?.map(|item| item?.extract()).collect()
}

pub fn items<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>>> {
    if iterable.is_instance_of::<PyString>() || iterable.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("a collection of strings is wanted, not a string"));
    }
    iterable.try_iter()
}

fn editables(mapping: Option<&Bound<'_, PyMapping>>) -> PyResult<IndexMap<String, PathBuf>> {
    let Some(mapping) = mapping else { return Ok(IndexMap::new()) };
    mapping.items()?.iter().map(|item| item.extract::<(String, PathBuf)>()).collect()
}

/// Paths go back as `str`, undecodable bytes as in `os.fsdecode`.
pub fn shown(paths: impl IntoIterator<Item = PathBuf>) -> Vec<OsString> {
    paths.into_iter().map(PathBuf::into_os_string).collect()
}

type ImportRow = (u32, Option<String>, Option<String>, String, u32);
type EffectRow = (u32, String, String);

fn parsed(imports: Vec<ImportRow>, effects: Vec<EffectRow>) -> Result<Parsed, Error> {
    let import = |(level, module, name, context, line): ImportRow| {
        let known = Context::from_name(&context).ok_or(Error::Value { value: context, expected: Context::NAMES })?;
        Ok(Import { level, module: module.unwrap_or_default(), name, context: known, line })
    };
    let effect = |(line, kind, detail): EffectRow| {
        let known = Kind::from_name(&kind).ok_or(Error::Value { value: kind, expected: Kind::NAMES })?;
        Ok(Effect { line, kind: known, detail })
    };
    Ok(Parsed {
        imports: imports.into_iter().map(import).collect::<Result<_, Error>>()?,
        effects: effects.into_iter().map(effect).collect::<Result<_, Error>>()?,
    })
}

#[pyclass(frozen, module = "pytest_hotreload._native")]
struct Project(Mutex<project::Project>);

#[pymethods]
impl Project {
    #[new]
    #[pyo3(signature = (rootdir, *, sys_path, stdlib, site_dirs, import_mode = "prepend", editable = None,
                        namespace_packages = false, cache_file = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        rootdir: PathBuf,
        sys_path: &Bound<'_, PyAny>,
        stdlib: &Bound<'_, PyAny>,
        site_dirs: &Bound<'_, PyAny>,
        import_mode: &str,
        editable: Option<&Bound<'_, PyMapping>>,
        namespace_packages: bool,
        cache_file: Option<PathBuf>,
    ) -> PyResult<Self> {
        let settings = project::Settings {
            rootdir,
            sys_path: paths(sys_path)?,
            stdlib: strings::<HashSet<String>>(stdlib)?,
            site_dirs: paths(site_dirs)?,
            import_mode: ImportMode::from_name(import_mode)?,
            editable: editables(editable)?,
            namespace_packages,
            cache_file,
        };
        Ok(Self(Mutex::new(py.detach(|| project::Project::new(settings)))))
    }

    fn scan(&self, py: Python<'_>, test_files: &Bound<'_, PyAny>) -> PyResult<Vec<OsString>> {
        let files = paths(test_files)?;
        Ok(shown(py.detach(|| lock(&self.0).scan(&files))))
    }

    #[pyo3(signature = (path, imports, effects = None, diagnostic = None, line = None))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn supply(
        &self,
        path: PathBuf,
        imports: Vec<ImportRow>,
        effects: Option<Vec<EffectRow>>,
        diagnostic: Option<String>,
        line: Option<u32>,
    ) -> PyResult<()> {
        let parsed = parsed(imports, effects.unwrap_or_default())?;
        Ok(lock(&self.0).supply(&path, parsed, diagnostic.map(|text| (line, text)))?)
    }

    fn closure(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<Vec<OsString>> {
        Ok(shown(py.detach(|| lock(&self.0).closure(&test_file))?))
    }

    fn chain(&self, py: Python<'_>, test_file: PathBuf, file: PathBuf) -> PyResult<Vec<OsString>> {
        Ok(shown(py.detach(|| lock(&self.0).chain(&test_file, &file))?))
    }

    fn links(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<Vec<(OsString, OsString)>> {
        let links = py.detach(|| lock(&self.0).links(&test_file))?;
        Ok(links.into_iter().map(|(from, to)| (from.into_os_string(), to.into_os_string())).collect())
    }

    fn locate(&self, py: Python<'_>, test_file: PathBuf, name: &str) -> PyResult<Option<OsString>> {
        let found = py.detach(|| lock(&self.0).locate(&test_file, name))?;
        Ok(found.map(PathBuf::into_os_string))
    }

    fn third_party(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<(Vec<String>, Vec<String>)> {
        Ok(py.detach(|| lock(&self.0).third_party(&test_file))?)
    }

    #[pyo3(signature = (test_files, minimum = 2))]
    fn shared(&self, py: Python<'_>, test_files: &Bound<'_, PyAny>, minimum: usize) -> PyResult<Vec<String>> {
        let files = paths(test_files)?;
        Ok(py.detach(|| lock(&self.0).shared(&files, minimum))?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn effects(&self, path: PathBuf) -> PyResult<Vec<(u32, &'static str, String)>> {
        let effects = lock(&self.0).effects(&path)?;
        Ok(effects.into_iter().map(|effect| (effect.line, effect.kind.name(), effect.detail)).collect())
    }

    fn quarantine<'py>(&self, py: Python<'py>, test_files: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let files = paths(test_files)?;
        let reasons = py.detach(|| lock(&self.0).quarantine(&files))?;
        let result = PyDict::new(py);
        for (module, reason) in reasons {
            result.set_item(module, reason)?;
        }
        Ok(result)
    }

    fn diagnostics(&self) -> Vec<(OsString, Option<u32>, String)> {
        let found = lock(&self.0).diagnostics();
        found.into_iter().map(|(path, line, text)| (path.into_os_string(), line, text)).collect()
    }

    fn missing(&self) -> Vec<(OsString, u32, String)> {
        let found = lock(&self.0).missing();
        found.into_iter().map(|(path, line, name)| (path.into_os_string(), line, name)).collect()
    }

    fn save(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.0).save())?)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = lock(&self.0).statistics();
        let result = PyDict::new(py);
        result.set_item("files", counts.files)?;
        result.set_item("parsed", counts.parsed)?;
        result.set_item("cached", counts.cached)?;
        result.set_item("rejected", counts.rejected)?;
        Ok(result)
    }
}

#[pyfunction]
fn set_child_subreaper(enabled: bool) -> PyResult<bool> {
    process::guard::set_child_subreaper(enabled).map_err(|error| os_error(&error, None))
}

#[pyfunction]
#[pyo3(signature = (lifeline, parent_death_signal = true))]
fn guard(lifeline: i32, parent_death_signal: bool) -> PyResult<()> {
    process::guard::guard(lifeline, parent_death_signal).map_err(|error| os_error(&error, None))
}

#[pyfunction]
fn remember_modes(terminal: i32, flags: terminal_modes::Flags, characters: &[u8]) -> PyResult<()> {
    terminal_modes::remember(terminal, flags, characters).map_err(|error| os_error(&error, None))
}

#[pyfunction]
fn put_back_modes() {
    terminal_modes::put_back();
}

#[pyfunction]
fn children_of(py: Python<'_>, pid: i32) -> Vec<i32> {
    py.detach(|| process::guard::children_of(pid))
}

#[pyfunction]
fn flush_c_stdio(py: Python<'_>) -> PyResult<()> {
    py.detach(process::guard::flush_c_stdio).map_err(|error| os_error(&error, None))
}

#[pyfunction]
#[pyo3(signature = (minimum_bytes = 2_097_152))]
fn collapse_heap(py: Python<'_>, minimum_bytes: usize) -> usize {
    py.detach(|| huge_pages::collapse(minimum_bytes))
}

#[pyfunction]
fn own_pages(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &py.detach(private_pages::own))
}

#[pyfunction]
fn make_own(py: Python<'_>, pages: &[u8]) {
    py.detach(|| private_pages::make_own(pages));
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // A panic becomes a rejection or a PanicException, which bear its text: nothing is printed into a test run. The
    // hook is this library's own, since it holds a standard library of its own.
    std::panic::set_hook(Box::new(|_panic| {}));
    module.add_class::<Project>()?;
    module.add_class::<Changes>()?;
    module.add_class::<FolderEvents>()?;
    module.add_class::<Watcher>()?;
    module.add_class::<Records>()?;
    module.add_function(wrap_pyfunction!(glob_matches, module)?)?;
    module.add_function(wrap_pyfunction!(set_child_subreaper, module)?)?;
    module.add_function(wrap_pyfunction!(guard, module)?)?;
    module.add_function(wrap_pyfunction!(remember_modes, module)?)?;
    module.add_function(wrap_pyfunction!(put_back_modes, module)?)?;
    module.add_function(wrap_pyfunction!(children_of, module)?)?;
    module.add_function(wrap_pyfunction!(flush_c_stdio, module)?)?;
    module.add_function(wrap_pyfunction!(collapse_heap, module)?)?;
    module.add_function(wrap_pyfunction!(own_pages, module)?)?;
    module.add_function(wrap_pyfunction!(make_own, module)?)?;
    world::register(module)?;
    observe::register(module)
}
