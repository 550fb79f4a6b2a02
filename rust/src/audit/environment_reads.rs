//! Notes reads of environment variables, which raise no audit event.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::PoisonError;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::audit::frames::bytes_of;
use crate::audit::interpose::{INTERPOSERS, Interposer, restore};
use crate::audit::recording;

const ENCODE: &str = "encodekey";
const DECODE: &str = "decodekey";

/// `PyMethodDef` holds pointers, to constants here.
struct BoundMethod(ffi::PyMethodDef);
// SAFETY: all that it points to is constant.
unsafe impl Sync for BoundMethod {}

const fn bound_method(name: &'static CStr, call: ffi::PyCFunction) -> BoundMethod {
    BoundMethod(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: call },
        ml_flags: ffi::METH_O,
        ml_doc: std::ptr::null(),
    })
}

static ON_ENCODE: BoundMethod = bound_method(c"encodekey", on_encode);
static ON_DECODE: BoundMethod = bound_method(c"decodekey", on_decode);

pub fn watch_environment(py: Python<'_>, enabled: bool) -> PyResult<()> {
    restore(py, &[ENCODE, DECODE])?;
    if !enabled {
        return Ok(());
    }
    let os = py.import("os")?;
    for name in ["environ", "environb"] {
        // A test may have put a plain dict there.
        let Ok(environment) = os.getattr(name) else { continue };
        for (name, method) in [(ENCODE, &ON_ENCODE), (DECODE, &ON_DECODE)] {
            let Ok(original) = environment.getattr(name) else { continue };
            // SAFETY: the definition is constant, and not written to by the interpreter; the original is kept as
            // the function's self.
            let ours = unsafe {
                let definition = (&raw const method.0).cast_mut();
                Bound::from_owned_ptr_or_err(
                    py,
                    ffi::PyCFunction_NewEx(definition, original.as_ptr(), std::ptr::null_mut()),
                )
            }?;
            let interposer = Interposer::replace(&environment, name, &original, &ours)?;
            INTERPOSERS.lock().unwrap_or_else(PoisonError::into_inner).push(interposer);
        }
    }
    Ok(())
}

unsafe extern "C" fn on_encode(original: *mut ffi::PyObject, key: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its lock held and live objects; self is what `watch_environment` gave.
    unsafe {
        read_variable(key, |key| bytes_of(key).map(|name| OsStr::from_bytes(&name).to_owned()));
        ffi::PyObject_CallFunctionObjArgs(original, key, std::ptr::null_mut::<ffi::PyObject>())
    }
}

unsafe extern "C" fn on_decode(original: *mut ffi::PyObject, key: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in on_encode.
    unsafe {
        read_variable(key, |_any| Some(OsString::from("*")));
        ffi::PyObject_CallFunctionObjArgs(original, key, std::ptr::null_mut::<ffi::PyObject>())
    }
}

/// Set by the machinery around the tests, not by what they depend on.
fn is_machinery(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name == b"PYTEST_CURRENT_TEST" || name.starts_with(b"PYTEST_XDIST_") || name.starts_with(b"PYTEST_HOTRELOAD_")
}

/// # Safety
/// The interpreter's lock is held; the key is a live object.
unsafe fn read_variable(key: *mut ffi::PyObject, name: impl FnOnce(&Bound<'_, PyAny>) -> Option<OsString>) {
    if !recording::is_recording() {
        return;
    }
    // SAFETY: the caller's promise.
    let (py, key) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, key))
    };
    recording::quietly(py, || {
        if let Some(name) = name(&key).filter(|name| !is_machinery(name)) {
            recording::note_variable(py, &name);
        }
    });
}
