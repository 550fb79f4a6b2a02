//! Lists the files that are opened for reading while modules are imported into a template.
//!
//! This list has an audit hook of its own: the template records every path as it was given, and nothing else.

use std::ffi::{CStr, OsString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::libc;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::audit::arguments::Arguments;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static NOTING: AtomicBool = AtomicBool::new(false);
static PATHS: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

type Hook = extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

unsafe extern "C" {
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
}

/// Begins or ends the list.
pub fn note(py: Python<'_>, enabled: bool) -> PyResult<()> {
    if enabled && !INSTALLED.swap(true, Ordering::SeqCst) {
        // SAFETY: every CPython since 3.8 exports this function; the hook has the type that it wants, lives as long
        // as the process, and takes no data.
        if unsafe { PySys_AddAuditHook(hook, std::ptr::null_mut()) } != 0 {
            INSTALLED.store(false, Ordering::SeqCst);
            return Err(PyErr::fetch(py));
        }
    }
    NOTING.store(enabled, Ordering::SeqCst);
    drop(take());
    Ok(())
}

/// The paths since the last call.
pub fn take() -> Vec<OsString> {
    std::mem::take(&mut *PATHS.lock().unwrap_or_else(PoisonError::into_inner))
}

extern "C" fn hook(event: *const c_char, arguments: *mut ffi::PyObject, _data: *mut c_void) -> c_int {
    if !NOTING.load(Ordering::Relaxed) || event.is_null() || arguments.is_null() {
        return 0;
    }
    // SAFETY: the interpreter passes a C string.
    if unsafe { CStr::from_ptr(event) }.to_bytes() != b"open" {
        return 0;
    }
    // SAFETY: hooks are called by a thread that is attached, with a borrowed tuple that outlives the call.
    let arguments = unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), arguments) };
    if let Ok(arguments) = arguments.cast_into::<PyTuple>() {
        opened(&Arguments(arguments));
    }
    0
}

/// A file that is only written, or that is created by this very call, answers no question.
fn opened(arguments: &Arguments<'_>) {
    let flags = arguments.number(2).unwrap_or_default();
    let is_written = flags & libc::O_ACCMODE == libc::O_WRONLY || flags & libc::O_EXCL != 0;
    if let Some(path) = arguments.path(0).filter(|_| !is_written) {
        PATHS.lock().unwrap_or_else(PoisonError::into_inner).push(path.into_os_string());
    }
}
