//! Compares what names are bound to with what they were bound to before.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// A namespace, and the names in it with their original values.
type Table = (Py<PyDict>, Vec<(Py<PyString>, Py<PyAny>)>);

/// Thousands of names, compared many times in a run.
///
/// In a fork, a comparison in Python costs several times what it does elsewhere: it counts a reference to each value,
/// so that each page that holds one is copied.
#[pyclass(frozen, module = "pytest_hotreload._native")]
pub struct Bindings {
    tables: Vec<Table>,
}

#[pymethods]
impl Bindings {
    #[new]
    const fn new(tables: Vec<Table>) -> Self {
        Self { tables }
    }

    fn differing(&self, py: Python<'_>) -> Vec<(usize, Py<PyString>, Py<PyAny>)> {
        let mut found = Vec::new();
        for (index, (namespace, names)) in self.tables.iter().enumerate() {
            for (name, value) in names {
                if !is_bound(py, namespace, name, value) {
                    found.push((index, name.clone_ref(py), value.clone_ref(py)));
                }
            }
        }
        found
    }
}

fn is_bound(py: Python<'_>, namespace: &Py<PyDict>, name: &Py<PyString>, value: &Py<PyAny>) -> bool {
    // SAFETY: both are alive, the first is a dictionary, and the interpreter is attached. The borrowed result is only
    // compared: no reference to it is counted.
    let now = unsafe { ffi::PyDict_GetItemWithError(namespace.as_ptr(), name.as_ptr()) };
    if now.is_null() {
        // A key of another type with the same hash may raise when it is compared.
        drop(PyErr::take(py));
    }
    now == value.as_ptr()
}
