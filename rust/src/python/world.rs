//! The Python face of the system calls and collector functions that a test cannot replace.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::process::system_calls;
use crate::python::convert::os_error;
use crate::python::gc_freeze;

#[pyfunction]
#[expect(clippy::cast_precision_loss, reason = "as time.monotonic() does: a microsecond is left after 285 years")]
fn monotonic() -> f64 {
    system_calls::monotonic_ns() as f64 / 1e9
}

#[pyfunction]
#[expect(clippy::cast_precision_loss, reason = "as time.time() does")]
fn time() -> f64 {
    system_calls::time_ns() as f64 / 1e9
}

#[pyfunction]
fn time_ns() -> i64 {
    system_calls::time_ns()
}

#[pyfunction]
fn pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

#[pyfunction]
fn exit_now(status: i32) {
    system_calls::exit(status)
}

#[pyfunction]
fn send_all(py: Python<'_>, socket: i32, data: &[u8]) -> PyResult<()> {
    py.detach(|| system_calls::send_all(socket, data)).map_err(|error| os_error(&error, None))
}

#[pyfunction]
fn freeze(py: Python<'_>) -> PyResult<bool> {
    gc_freeze::freeze(py)
}

#[pyfunction]
fn thaw() {
    gc_freeze::thaw();
}

#[pyfunction]
fn keep_frozen() {
    gc_freeze::keep_frozen();
}

#[pyfunction]
fn objects_of_types<'py>(py: Python<'py>, kinds: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyList>> {
    gc_freeze::of_types(py, kinds)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    gc_freeze::bind(module.py())?;
    module.add_function(wrap_pyfunction!(monotonic, module)?)?;
    module.add_function(wrap_pyfunction!(time, module)?)?;
    module.add_function(wrap_pyfunction!(time_ns, module)?)?;
    module.add_function(wrap_pyfunction!(pid, module)?)?;
    module.add_function(wrap_pyfunction!(exit_now, module)?)?;
    module.add_function(wrap_pyfunction!(send_all, module)?)?;
    module.add_function(wrap_pyfunction!(freeze, module)?)?;
    module.add_function(wrap_pyfunction!(thaw, module)?)?;
    module.add_function(wrap_pyfunction!(keep_frozen, module)?)?;
    module.add_function(wrap_pyfunction!(objects_of_types, module)?)
}
