//! The audit hook. It runs inside every `open()` of the process: therefore it never raises, never panics outwards, and
//! returns at once for an event that it does not know.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::audit::arguments::Arguments;
use crate::audit::contention;
use crate::audit::events;
use crate::audit::function_calls;
use crate::audit::recording;
use crate::audit::scope::Settings;

static INSTALLED: AtomicBool = AtomicBool::new(false);

type Hook = extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

unsafe extern "C" {
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
}

pub fn install(py: Python<'_>) -> PyResult<()> {
    if !INSTALLED.swap(true, Ordering::SeqCst) {
        // SAFETY: every CPython since 3.8 exports this function, though the stable ABI does not list it; the hook
        // has the type that it wants, lives as long as the process, and takes no data.
        let failed = unsafe { PySys_AddAuditHook(hook, std::ptr::null_mut()) } != 0;
        if failed {
            INSTALLED.store(false, Ordering::SeqCst);
            return Err(PyErr::fetch(py));
        }
    }
    // SAFETY: this thread is attached.
    recording::set_interpreter(unsafe { ffi::PyInterpreterState_Get() });
    Ok(())
}

pub fn start(py: Python<'_>, settings: Settings) -> PyResult<()> {
    install(py)?;
    recording::start(settings);
    Ok(())
}

extern "C" fn hook(event: *const c_char, arguments: *mut ffi::PyObject, _data: *mut c_void) -> c_int {
    if !(recording::is_recording() || contention::is_joined() || function_calls::is_enabled())
        || event.is_null()
        || arguments.is_null()
    {
        return 0;
    }
    // SAFETY: the interpreter passes a C string.
    let Some(event) = events::Event::of(unsafe { CStr::from_ptr(event) }.to_bytes()) else { return 0 };
    // SAFETY: hooks are called by a thread that is attached, which it stays until the hook returns.
    let py = unsafe { Python::assume_attached() };
    let mut refused = None;
    recording::quietly(py, || {
        // SAFETY: the interpreter passes a borrowed reference to a tuple that outlives the call.
        let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
        if let Ok(arguments) = arguments.cast_into::<PyTuple>() {
            refused = events::handle(event, &Arguments(arguments));
        }
    });
    let Some((number, text)) = refused else { return 0 };
    // The error that the system would give. An event that raises does not happen, so the other child is not disturbed.
    PyOSError::new_err((number, text)).restore(py);
    -1
}
