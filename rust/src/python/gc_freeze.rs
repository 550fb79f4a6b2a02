//! `gc.freeze` without visible effects: code that asks the garbage collector about objects finds all of them.
//!
//! Frozen objects are hidden from `gc.get_objects` and `gc.get_referrers`, are not collected by `gc.collect`, and are
//! counted by `gc.get_freeze_count`. Therefore these functions thaw first. A replacement written in Python would be
//! visible: its frame refers to the arguments, its type is another, tracebacks and profilers show it. Here the
//! functions stay the same objects; until the first call, the table entry that each of them points to is another one.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// The begin of a `PyCFunctionObject`, which the limited API does not show: the same in all versions from 3.0 on.
#[repr(C)]
struct Function {
    head: ffi::PyObject,
    entry: *mut ffi::PyMethodDef,
}

/// A function that is put before the original; `ours` is a copy of its table entry with another function.
struct Thawing {
    name: &'static str,
    function: AtomicPtr<Function>,
    original: AtomicPtr<ffi::PyMethodDef>,
    ours: AtomicPtr<ffi::PyMethodDef>,
}

impl Thawing {
    const fn new(name: &'static str) -> Self {
        let nothing = AtomicPtr::new(std::ptr::null_mut());
        Self { name, function: nothing, original: none(), ours: none() }
    }
}

const fn none() -> AtomicPtr<ffi::PyMethodDef> {
    AtomicPtr::new(std::ptr::null_mut())
}

const GET_OBJECTS: usize = 0;
static THAWING: [Thawing; 5] = [
    Thawing::new("get_objects"),
    Thawing::new("get_referrers"),
    Thawing::new("collect"),
    Thawing::new("get_freeze_count"),
    Thawing::new("freeze"),
];
static FREEZE: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());
static UNFREEZE: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// Takes hold of the collector's functions, when this module is loaded: tests may replace them in `gc` later.
pub fn bind(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    // References for the life of the process.
    FREEZE.store(gc.getattr("freeze")?.into_ptr(), Ordering::Relaxed);
    UNFREEZE.store(gc.getattr("unfreeze")?.into_ptr(), Ordering::Relaxed);
    bind_slot::<0>(&gc)?;
    bind_slot::<1>(&gc)?;
    bind_slot::<2>(&gc)?;
    bind_slot::<3>(&gc)?;
    bind_slot::<4>(&gc)
}

/// A function that is not the interpreter's own (somebody replaced it before us) is left alone.
fn bind_slot<const SLOT: usize>(gc: &Bound<'_, PyModule>) -> PyResult<()> {
    let slot = &THAWING[SLOT];
    let function = gc.getattr(slot.name)?;
    // SAFETY: a static type object; a comparison of addresses.
    if function.get_type().as_type_ptr() != &raw mut ffi::PyCFunction_Type {
        return Ok(());
    }
    let Some(method) = trampoline::<SLOT>(flags(&function)) else { return Ok(()) };
    let function = function.into_ptr().cast::<Function>();
    // SAFETY: the type was compared, so the object begins as `Function` does, and its entry is a valid one.
    let entry = unsafe { (*function).entry };
    // SAFETY: as above; the strings of the entry are static. The copy lives as long as the process.
    let ours = unsafe { ffi::PyMethodDef { ml_meth: method, ..std::ptr::read(entry) } };
    slot.original.store(entry, Ordering::Relaxed);
    slot.ours.store(Box::into_raw(Box::new(ours)), Ordering::Relaxed);
    slot.function.store(function, Ordering::Release);
    Ok(())
}

fn flags(function: &Bound<'_, PyAny>) -> i32 {
    // SAFETY: the caller compared the type.
    unsafe { ffi::PyCFunction_GetFlags(function.as_ptr()) }
}

/// Selects by the ways in which the collector's functions take their arguments, in Python 3.10 to 3.15.
fn trampoline<const SLOT: usize>(flags: i32) -> Option<ffi::PyMethodDefPointer> {
    const FAST: i32 = ffi::METH_FASTCALL;
    const FAST_KEYWORDS: i32 = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    match flags {
        ffi::METH_NOARGS | ffi::METH_VARARGS => Some(ffi::PyMethodDefPointer { PyCFunction: plain::<SLOT> }),
        FAST => Some(ffi::PyMethodDefPointer { PyCFunctionFast: fast::<SLOT> }),
        FAST_KEYWORDS => Some(ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: keywords::<SLOT> }),
        _other => None,
    }
}

type Object = *mut ffi::PyObject;

unsafe extern "C" fn plain<const SLOT: usize>(module: Object, arguments: Object) -> Object {
    thaw();
    // SAFETY: the entry is the original of a function with these flags; the arguments are handed on.
    unsafe { ((*THAWING[SLOT].original.load(Ordering::Relaxed)).ml_meth.PyCFunction)(module, arguments) }
}

unsafe extern "C" fn fast<const SLOT: usize>(module: Object, arguments: *mut Object, count: ffi::Py_ssize_t) -> Object {
    thaw();
    // SAFETY: as in `plain`.
    unsafe { ((*THAWING[SLOT].original.load(Ordering::Relaxed)).ml_meth.PyCFunctionFast)(module, arguments, count) }
}

unsafe extern "C" fn keywords<const SLOT: usize>(
    module: Object,
    arguments: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    thaw();
    // SAFETY: as in `plain`.
    unsafe {
        let original = (*THAWING[SLOT].original.load(Ordering::Relaxed)).ml_meth.PyCFunctionFastWithKeywords;
        original(module, arguments, count, names)
    }
}

/// Hides what exists now from collections. Nothing is frozen where a function could not be bound: it would show.
pub fn freeze(py: Python<'_>) -> PyResult<bool> {
    if THAWING.iter().any(|slot| slot.function.load(Ordering::Acquire).is_null()) {
        return Ok(false);
    }
    point_to(|slot| &slot.original);
    // SAFETY: `bind` stored a reference that is never dropped.
    let frozen = unsafe { ffi::PyObject_CallNoArgs(FREEZE.load(Ordering::Relaxed)) };
    // SAFETY: a new reference, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, frozen) }?;
    point_to(|slot| &slot.ours);
    Ok(true)
}

/// Undoes a freeze. Idempotent.
pub fn thaw() {
    if !is_frozen() {
        return;
    }
    point_to(|slot| &slot.original);
    // SAFETY: `bind` stored a reference that is never dropped; this runs with the interpreter's lock held. It takes
    // no argument and does not fail.
    unsafe {
        let done = ffi::PyObject_CallNoArgs(UNFREEZE.load(Ordering::Relaxed));
        ffi::Py_XDECREF(done);
    }
}

/// Lets the functions be the interpreter's own again, and what is frozen stay so.
pub fn keep_frozen() {
    point_to(|slot| &slot.original);
}

fn is_frozen() -> bool {
    let slot = &THAWING[GET_OBJECTS];
    let function = slot.function.load(Ordering::Acquire);
    // SAFETY: `bind` stored a function that is never dropped.
    !function.is_null() && unsafe { (*function).entry } == slot.ours.load(Ordering::Relaxed)
}

fn point_to(entry: impl Fn(&Thawing) -> &AtomicPtr<ffi::PyMethodDef>) {
    for slot in &THAWING {
        let function = slot.function.load(Ordering::Acquire);
        if !function.is_null() {
            // SAFETY: `bind` stored a function that is never dropped; the entries live as long as the process; the
            // interpreter's lock is held.
            unsafe { (*function).entry = entry(slot).load(Ordering::Relaxed) };
        }
    }
}

/// The objects that are not frozen and whose type is one of `kinds`, or below it.
///
/// Their types are looked at and nothing else: `isinstance` asks each object for its `__class__`, which a weak proxy
/// whose object is gone, and a lazy object that is not ready, answer by an exception.
pub fn of_types<'py>(py: Python<'py>, kinds: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyList>> {
    let kinds: Vec<*mut ffi::PyTypeObject> = kinds
        .iter()
        .map(|kind| kind.cast_into::<pyo3::types::PyType>().map(|kind| kind.as_type_ptr()))
        .collect::<Result<_, _>>()?;
    let found = PyList::empty(py);
    for object in &everything(py)? {
        // SAFETY: both are type objects, which `kinds` and the object keep alive.
        if kinds.iter().any(|kind| unsafe { ffi::PyType_IsSubtype(object.get_type_ptr(), *kind) } != 0) {
            found.append(object)?;
        }
    }
    Ok(found)
}

fn everything(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let slot = &THAWING[GET_OBJECTS];
    let function = slot.function.load(Ordering::Acquire);
    if function.is_null() {
        return Err(PyRuntimeError::new_err("gc.get_objects was replaced before pytest-hotreload was loaded"));
    }
    let entry = slot.original.load(Ordering::Relaxed);
    // SAFETY: `bind` chose the flags; no argument is given; the result is a new reference or null.
    unsafe {
        let module = ffi::PyCFunction_GetSelf(function.cast());
        let call = (*entry).ml_meth.PyCFunctionFastWithKeywords;
        let list = call(module, std::ptr::null(), 0, std::ptr::null_mut());
        Ok(Bound::from_owned_ptr_or_err(py, list)?.cast_into::<PyList>()?)
    }
}
