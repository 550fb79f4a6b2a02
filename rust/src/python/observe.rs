//! The Python face of recording: `observe` and the functions around it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::audit::arguments::remember_sockets;
use crate::audit::board;
use crate::audit::contention;
use crate::audit::environment_reads;
use crate::audit::function_calls::{self, CodePlace};
use crate::audit::hook;
use crate::audit::interpose;
use crate::audit::opened;
use crate::audit::recording;
use crate::audit::scope::Settings;
use crate::filesystem::paths::absolute_path;
use crate::filesystem::stat::FileStamp;
use crate::python::convert::paths;

type Shown = (OsString, &'static str, OsString, Option<(i64, i64, u64, u64)>);

#[pyfunction]
#[pyo3(signature = (root, *, collecting, ignored, temporary, callers, pycache_prefix = None, installed = None))]
#[expect(clippy::needless_pass_by_value, clippy::too_many_arguments, reason = "extracted from Python")]
fn observe(
    py: Python<'_>,
    root: PathBuf,
    collecting: bool,
    ignored: &Bound<'_, PyAny>,
    temporary: &Bound<'_, PyAny>,
    callers: &Bound<'_, PyAny>,
    pycache_prefix: Option<PathBuf>,
    installed: Option<Vec<PathBuf>>,
) -> PyResult<()> {
    let folder = std::env::current_dir()?;
    let absolute = |paths: Vec<PathBuf>| paths.iter().map(|path| absolute_path(&folder, path)).collect::<Vec<_>>();
    let settings = Settings {
        root: absolute_path(&folder, &root),
        collecting,
        ignored: absolute(paths(ignored)?),
        temporary: absolute(paths(temporary)?),
        callers: absolute(paths(callers)?),
        pycache_prefix: pycache_prefix.map(|prefix| absolute_path(&folder, &prefix)),
        stdlib: py.import("sys")?.getattr("stdlib_module_names")?.extract::<HashSet<String>>()?,
        installed: absolute(installed.unwrap_or_default()),
        intermediaries: intermediaries(py)?,
    };
    hook::start(py, settings)
}

fn intermediaries(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let file: PathBuf = py.import("os")?.getattr("__file__")?.extract()?;
    let beside = |name: &&str| file.with_file_name(name);
    let names = [
        "_collections_abc.py",
        "glob.py",
        "importlib/metadata",
        "importlib/resources",
        "inspect.py",
        "linecache.py",
        "os.py",
        "pathlib.py",
        "pathlib",
        "pkgutil.py",
        "shutil.py",
        "tempfile.py",
        "tokenize.py",
        "traceback.py",
    ];
    // In Python 3.15, this one is frozen.
    Ok(names.iter().map(beside).chain([PathBuf::from("<frozen linecache>")]).collect())
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
fn canonical_path(path: PathBuf) -> PyResult<OsString> {
    let folder =
        std::env::current_dir().or_else(|error| if path.is_absolute() { Ok("/".into()) } else { Err(error) })?;
    Ok(crate::filesystem::paths::canonical_path(&folder, &path).into_os_string())
}

#[pyfunction]
fn observe_again() {
    recording::start_again();
}

#[pyfunction]
fn join_board(py: Python<'_>, page: i32, board: i32, slot: usize, item: u32) -> PyResult<()> {
    hook::install(py)?;
    Ok(contention::join(page, board, slot, item)?)
}

#[pyfunction]
fn leave_board() {
    contention::leave();
}

#[pyfunction]
fn look_for_contention() -> bool {
    contention::find_path_collision()
}

#[pyfunction]
fn observe_for(owner: OsString) -> OsString {
    recording::set_owner(owner)
}

#[pyfunction]
fn observed() -> Vec<Shown> {
    let state = |stamp: FileStamp| (stamp.mtime, stamp.ctime, stamp.size, stamp.inode);
    let shown = |row: crate::audit::rows::Row| (row.owner, row.kind.name(), row.subject, row.state.map(state));
    recording::take().into_iter().map(shown).collect()
}

#[pyfunction]
fn stop_observing() {
    recording::stop();
}

#[pyfunction]
fn watch_imports(py: Python<'_>, enabled: bool) -> PyResult<()> {
    interpose::watch_imports(py, enabled)
}

#[pyfunction]
fn watch_environment(py: Python<'_>, enabled: bool) -> PyResult<()> {
    environment_reads::watch_environment(py, enabled)
}

/// None, or the reason for which functions can't be watched.
#[pyfunction]
fn watch_functions(py: Python<'_>, enabled: bool) -> PyResult<Option<String>> {
    let settings = recording::settings().filter(|_| enabled);
    let Some(settings) = settings else { return function_calls::stop(py).map(|()| None) };
    match function_calls::start(py, settings) {
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => Ok(Some(error.value(py).to_string())),
        done => done.map(|()| None),
    }
}

#[pyfunction]
fn mark_functions(py: Python<'_>, label: i64) {
    function_calls::mark(py, label);
}

#[pyfunction]
fn pause_functions(py: Python<'_>) {
    function_calls::pause(py);
}

#[pyfunction]
fn mark_function_files(py: Python<'_>, process: u64) {
    function_calls::mark_files(py, process);
}

type ShownRan = (Vec<CodePlace>, Vec<(i64, Vec<u32>)>, Vec<i64>, Vec<OsString>, (usize, u64));

#[pyfunction]
fn functions_ran(py: Python<'_>) -> PyResult<(Option<ShownRan>, &'static str)> {
    Ok(match function_calls::take(py)? {
        Ok(ran) => (Some((ran.places, ran.sets, ran.starters, ran.files, ran.mark)), ""),
        Err(reason) => (None, reason),
    })
}

#[pyfunction]
fn note_opens(py: Python<'_>, enabled: bool) -> PyResult<()> {
    opened::note(py, enabled)
}

#[pyfunction]
fn noted_opens() -> Vec<OsString> {
    opened::take()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    remember_sockets(module.py())?; // now: a conftest may replace the type before the first hook is installed
    module.add("BOARD_BYTES", board::BYTES)?;
    module.add_function(wrap_pyfunction!(observe, module)?)?;
    module.add_function(wrap_pyfunction!(note_opens, module)?)?;
    module.add_function(wrap_pyfunction!(noted_opens, module)?)?;
    module.add_function(wrap_pyfunction!(canonical_path, module)?)?;
    module.add_function(wrap_pyfunction!(observe_again, module)?)?;
    module.add_function(wrap_pyfunction!(join_board, module)?)?;
    module.add_function(wrap_pyfunction!(leave_board, module)?)?;
    module.add_function(wrap_pyfunction!(look_for_contention, module)?)?;
    module.add_function(wrap_pyfunction!(observe_for, module)?)?;
    module.add_function(wrap_pyfunction!(observed, module)?)?;
    module.add_function(wrap_pyfunction!(watch_functions, module)?)?;
    module.add_function(wrap_pyfunction!(mark_functions, module)?)?;
    module.add_function(wrap_pyfunction!(pause_functions, module)?)?;
    module.add_function(wrap_pyfunction!(mark_function_files, module)?)?;
    module.add_function(wrap_pyfunction!(functions_ran, module)?)?;
    module.add_function(wrap_pyfunction!(stop_observing, module)?)?;
    module.add_function(wrap_pyfunction!(watch_imports, module)?)?;
    module.add_function(wrap_pyfunction!(watch_environment, module)?)
}
