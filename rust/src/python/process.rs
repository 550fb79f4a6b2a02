//! The Python face of the system calls that Python lacks.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::process::guard as process_guard;
use crate::process::huge_pages;
use crate::process::open_descriptions;
use crate::process::private_pages;
use crate::process::terminal_modes;
use crate::python::convert::os_error;

#[pyfunction]
fn set_child_subreaper(enabled: bool) -> PyResult<bool> {
    process_guard::set_child_subreaper(enabled).map_err(|error| os_error(&error, None))
}

#[pyfunction]
#[pyo3(signature = (lifeline, parent_death_signal = true))]
fn guard(lifeline: i32, parent_death_signal: bool) -> PyResult<()> {
    process_guard::guard(lifeline, parent_death_signal).map_err(|error| os_error(&error, None))
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
    py.detach(|| process_guard::children_of(pid))
}

#[pyfunction]
fn flush_c_stdio(py: Python<'_>) -> PyResult<()> {
    py.detach(process_guard::flush_c_stdio).map_err(|error| os_error(&error, None))
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

/// The open files that forks of this process replace.
#[pyclass(module = "pytest_hotreload._native")]
pub struct OpenDescriptions(open_descriptions::OpenDescriptions);

#[pymethods]
impl OpenDescriptions {
    #[new]
    #[pyo3(signature = (kept, ours))]
    #[allow(clippy::needless_pass_by_value, reason = "what Python's sequences are converted to")]
    fn new(kept: Vec<i32>, ours: Vec<i32>) -> Self {
        Self(open_descriptions::OpenDescriptions::note(&kept, &ours))
    }

    fn renew(&mut self) -> usize {
        self.0.renew()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OpenDescriptions>()?;
    module.add_function(wrap_pyfunction!(set_child_subreaper, module)?)?;
    module.add_function(wrap_pyfunction!(guard, module)?)?;
    module.add_function(wrap_pyfunction!(remember_modes, module)?)?;
    module.add_function(wrap_pyfunction!(put_back_modes, module)?)?;
    module.add_function(wrap_pyfunction!(children_of, module)?)?;
    module.add_function(wrap_pyfunction!(flush_c_stdio, module)?)?;
    module.add_function(wrap_pyfunction!(collapse_heap, module)?)?;
    module.add_function(wrap_pyfunction!(own_pages, module)?)?;
    module.add_function(wrap_pyfunction!(make_own, module)?)
}
