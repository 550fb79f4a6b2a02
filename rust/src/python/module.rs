//! The extension module `pytest_hotreload._native`; the contract is `_native.pyi`.

use pyo3::prelude::*;

use crate::python::bindings::Bindings;
use crate::python::observe;
use crate::python::process;
use crate::python::project::Project;
use crate::python::records::{RecordStore, glob_matches, outline};
use crate::python::rewind;
use crate::python::watcher::{Changes, FolderEvents, Watcher};
use crate::python::world;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // A panic becomes a rejection or a PanicException, which bear its text: nothing is printed into a test run. The
    // hook is this library's own, since it holds a standard library of its own.
    std::panic::set_hook(Box::new(|_panic| {}));
    module.add_class::<Bindings>()?;
    module.add_class::<Project>()?;
    module.add_class::<Changes>()?;
    module.add_class::<FolderEvents>()?;
    module.add_class::<Watcher>()?;
    module.add_class::<RecordStore>()?;
    module.add_function(wrap_pyfunction!(glob_matches, module)?)?;
    module.add_function(wrap_pyfunction!(outline, module)?)?;
    process::register(module)?;
    rewind::register(module)?;
    world::register(module)?;
    observe::register(module)
}
