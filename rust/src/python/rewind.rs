//! The Python face of the rewind engine.

use std::collections::HashMap;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;

use crate::rewind::engine;

create_exception!(pytest_hotreload._native, RewindRefused, PyException);

/// Frozen, so that no borrow flag is written: the memory of the object is restored with all other memory.
#[pyclass(module = "pytest_hotreload._native", frozen)]
pub struct Rewinder {
    may_fall_back: bool,
}

fn refused(message: String) -> PyErr {
    RewindRefused::new_err(message)
}

fn unknown(name: &str) -> PyErr {
    PyValueError::new_err(format!("no engine {name:?}: \"auto\", \"userfaultfd\" or \"pagemap\""))
}

#[pymethods]
impl Rewinder {
    #[new]
    #[pyo3(signature = (engine = "auto", store_limit = 1_073_741_824, sibling = false))]
    fn new(engine: &str, store_limit: usize, sibling: bool) -> PyResult<Self> {
        let wanted = engine::engine_named(engine).ok_or_else(|| unknown(engine))?;
        engine::create(wanted, store_limit, sibling).map_err(refused)?;
        Ok(Self { may_fall_back: engine == "auto" })
    }

    // The lock of the interpreter is held: other threads must not run while memory changes.
    fn snapshot(&self) -> PyResult<isize> {
        engine::snapshot(self.may_fall_back).map_err(|refusal| refused(refusal.message()))
    }

    #[pyo3(signature = (verify = false))]
    #[allow(clippy::unused_self, reason = "a method of the one engine")]
    fn rewind(&self, verify: bool) -> PyResult<()> {
        Err(refused(engine::rewind(verify).message()))
    }

    #[allow(clippy::unused_self, reason = "a method of the one engine")]
    fn statistics(&self) -> HashMap<&'static str, u64> {
        engine::statistics().into_iter().collect()
    }

    #[getter]
    #[allow(clippy::unused_self, reason = "a property of the one engine")]
    fn engine(&self) -> &'static str {
        engine::engine_in_use()
    }

    #[getter]
    #[allow(clippy::unused_self, reason = "a property of the one engine")]
    fn snapshot_pid(&self) -> i32 {
        engine::snapshot_pid()
    }
}

#[pyfunction]
#[pyo3(signature = (engine = "auto"))]
fn rewind_self_test(engine: &str) -> PyResult<Option<String>> {
    let wanted = engine::engine_named(engine).ok_or_else(|| unknown(engine))?;
    Ok(engine::self_test(wanted))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Rewinder>()?;
    module.add("SNAPSHOT_NAME", engine::snapshot_name())?;
    module.add("RewindRefused", module.py().get_type::<RewindRefused>())?;
    module.add_function(wrap_pyfunction!(rewind_self_test, module)?)
}
