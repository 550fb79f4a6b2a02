//! Interposers for accesses that raise no audit event: imports of loaded modules and searches for modules.
//! Reads of the environment are in `environment_reads`.
//!
//! A native callable replaces the interpreter's own and passes its arguments on. Native callables have no Python
//! frame, so tracebacks stay as they were.

use std::borrow::Cow;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyModule, PyString, PyTuple};

use crate::audit::arguments::{folder_of, path_of};
use crate::audit::frames::bytes_of;
use crate::audit::recording;

/// A replaced attribute: the original and our callable.
pub(super) struct Interposer {
    owner: Py<PyAny>,
    name: &'static str,
    original: Py<PyAny>,
    ours: Py<PyAny>,
}

impl Interposer {
    pub(super) fn replace(
        owner: &Bound<'_, PyAny>,
        name: &'static str,
        original: &Bound<'_, PyAny>,
        ours: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        owner.setattr(name, ours)?;
        Ok(Self {
            owner: owner.clone().unbind(),
            name,
            original: original.clone().unbind(),
            ours: ours.clone().unbind(),
        })
    }

    /// Restores the original, unless other code has replaced ours since.
    fn restore(&self, py: Python<'_>) -> PyResult<()> {
        let owner = self.owner.bind(py);
        if owner.getattr(self.name)?.is(&self.ours) {
            owner.setattr(self.name, &self.original)?;
        }
        Ok(())
    }
}

pub(super) static INTERPOSERS: Mutex<Vec<Interposer>> = Mutex::new(Vec::new());
const IMPORT_NAME: &str = "__import__";
const GCD_IMPORT_NAME: &str = "_gcd_import";
const FORK_EXEC_NAME: &str = "fork_exec";
static IMPORT: ImportTarget = ImportTarget::new();
static GCD_IMPORT: ImportTarget = ImportTarget::new();
static FORK_EXEC: ImportTarget = ImportTarget::new();
/// Functions whose first argument counts: a module that is looked for, a file whose lines are wanted, a link.
const FIND_SPEC: &str = "find_spec";
const FIND_SPEC_BELOW: &str = "_find_spec";
const GET_LINES: &str = "getlines";
const READ_LINK: &str = "readlink";
static FIND: ImportTarget = ImportTarget::new();
static FIND_BELOW: ImportTarget = ImportTarget::new();
static FIND_OF_ALL: ImportTarget = ImportTarget::new();
static LINES: ImportTarget = ImportTarget::new();
static LINK: ImportTarget = ImportTarget::new();

/// The original of a native callable; never released, since a test may have kept the callable.
struct ImportTarget {
    original: AtomicPtr<ffi::PyObject>,
    ours: AtomicPtr<ffi::PyObject>,
}

impl ImportTarget {
    const fn new() -> Self {
        Self { original: AtomicPtr::new(std::ptr::null_mut()), ours: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Whether ours may be put before `current`: not if that may lead to ours already, for that would never end.
    fn may_precede(&self, current: &Bound<'_, PyAny>) -> bool {
        let original = self.original.load(Ordering::SeqCst);
        original.is_null() || original == current.as_ptr()
    }

    /// # Safety
    /// The interpreter's lock is held, and the arguments are those of a call.
    unsafe fn call(&self, arguments: *mut ffi::PyObject, keywords: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the original was stored before ours was reachable, and is never released.
        unsafe { ffi::PyObject_Call(self.original.load(Ordering::SeqCst), arguments, keywords) }
    }
}

pub fn watch_imports(py: Python<'_>, enabled: bool) -> PyResult<()> {
    let builtins = py.import("builtins")?;
    let bootstrap = py.import("_frozen_importlib")?;
    let processes = py.import("_posixsubprocess")?;
    restore(py, &[IMPORT_NAME, GCD_IMPORT_NAME, FORK_EXEC_NAME, FIND_SPEC, FIND_SPEC_BELOW, GET_LINES, READ_LINK])?;
    if !enabled {
        return Ok(());
    }
    wrap_import(&builtins, IMPORT_NAME, &IMPORT, on_import)?;
    wrap_import(&bootstrap, GCD_IMPORT_NAME, &GCD_IMPORT, on_gcd_import)?;
    // subprocess took the original when it was imported, and raises an event of its own.
    py.import("subprocess")?;
    wrap_import(&processes, FORK_EXEC_NAME, &FORK_EXEC, on_fork_exec)?;
    let util = py.import("importlib.util")?;
    wrap_import(&util, FIND_SPEC, &FIND, on_find_spec)?;
    // Code that imported `find_spec` earlier calls this function, and so does `importlib.find_loader`.
    wrap_import(&util, FIND_SPEC_BELOW, &FIND_BELOW, on_find_spec_below)?;
    wrap_import(&bootstrap, FIND_SPEC_BELOW, &FIND_OF_ALL, on_find_spec_of_all)?;
    wrap_import(&py.import("linecache")?, GET_LINES, &LINES, on_get_lines)?;
    wrap_import(&py.import("os")?, READ_LINK, &LINK, on_read_link)
}

fn wrap_import(
    module: &Bound<'_, PyModule>,
    name: &'static str,
    target: &ImportTarget,
    call: ffi::PyCFunctionWithKeywords,
) -> PyResult<()> {
    let original = module.getattr(name)?;
    if !target.may_precede(&original) {
        return Ok(());
    }
    if target.ours.load(Ordering::SeqCst).is_null() {
        let ours = function(&original, name, call, module)?;
        target.original.store(original.clone().into_ptr(), Ordering::SeqCst);
        target.ours.store(ours.into_ptr(), Ordering::SeqCst);
    }
    // SAFETY: it was stored above or by an earlier call, and is never released.
    let ours = unsafe { Bound::from_borrowed_ptr(module.py(), target.ours.load(Ordering::SeqCst)) };
    let interposer = Interposer::replace(module.as_any(), name, &original, &ours)?;
    INTERPOSERS.lock().unwrap_or_else(PoisonError::into_inner).push(interposer);
    Ok(())
}

/// A function with the name, signature and docstring of the original.
fn function<'py>(
    original: &Bound<'py, PyAny>,
    name: &'static str,
    call: ffi::PyCFunctionWithKeywords,
    module: &Bound<'py, PyModule>,
) -> PyResult<Bound<'py, PyAny>> {
    let text =
        |attribute: &str| original.getattr(attribute).and_then(|text| text.extract::<String>()).unwrap_or_default();
    let doc = match (text("__text_signature__"), name) {
        // The signature of a native function stands in its docstring, if it has one: Python's own have it in theirs.
        (signature, _) if !signature.is_empty() => format!("{name}{signature}\n--\n\n{}", text("__doc__")),
        (_, GCD_IMPORT_NAME) => format!("{name}(name, package=None, level=0)\n--\n\n{}", text("__doc__")),
        _ => text("__doc__"),
    };
    let doc = CString::new(doc)?;
    let method = ffi::PyMethodDef {
        ml_name: CString::new(name)?.into_raw(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: call },
        ml_flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
        ml_doc: doc.into_raw(),
    };
    let named = original.getattr("__module__")?;
    let method = Box::leak(Box::new(method));
    // SAFETY: the definition and its strings are never freed; the other two are live objects.
    unsafe {
        Bound::from_owned_ptr_or_err(module.py(), ffi::PyCFunction_NewEx(method, module.as_ptr(), named.as_ptr()))
    }
}

pub(super) fn restore(py: Python<'_>, names: &[&str]) -> PyResult<()> {
    let interposers = std::mem::take(&mut *INTERPOSERS.lock().unwrap_or_else(PoisonError::into_inner));
    let (meant, others): (Vec<Interposer>, Vec<Interposer>) =
        interposers.into_iter().partition(|interposer| names.contains(&interposer.name));
    INTERPOSERS.lock().unwrap_or_else(PoisonError::into_inner).extend(others);
    meant.iter().try_for_each(|interposer| interposer.restore(py))
}

unsafe extern "C" fn on_import(
    _module: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its lock held, a tuple, and a dict or null.
    unsafe {
        observe_call(arguments, keywords, asked_of_import);
        IMPORT.call(arguments, keywords)
    }
}

unsafe extern "C" fn on_gcd_import(
    _module: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its lock held, a tuple, and a dict or null.
    unsafe {
        observe_call(arguments, keywords, asked_of_gcd_import);
        GCD_IMPORT.call(arguments, keywords)
    }
}

/// The function by which multiprocessing starts interpreters.
unsafe extern "C" fn on_fork_exec(
    _module: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    unsafe {
        observe_call(arguments, keywords, |call| {
            recording::note_process(call.arguments.py(), FORK_EXEC_NAME);
            Some(())
        });
        FORK_EXEC.call(arguments, keywords)
    }
}

/// A native function that looks at the arguments and passes them on.
macro_rules! interposer {
    ($name:ident, $target:ident, $look:expr) => {
        unsafe extern "C" fn $name(
            _module: *mut ffi::PyObject,
            arguments: *mut ffi::PyObject,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: the interpreter calls with its lock held, a tuple, and a dict or null.
            unsafe {
                observe_call(arguments, keywords, $look);
                $target.call(arguments, keywords)
            }
        }
    };
}

interposer!(on_find_spec, FIND, searched);
interposer!(on_find_spec_below, FIND_BELOW, searched);
interposer!(on_find_spec_of_all, FIND_OF_ALL, searched);
interposer!(on_get_lines, LINES, lines_wanted);
interposer!(on_read_link, LINK, link_asked);

fn searched(call: &Call<'_>) -> Option<()> {
    let name = call.get(0, "name")?;
    let name = name.cast::<PyString>().ok()?.to_str().ok()?;
    let level = name.bytes().take_while(|byte| *byte == b'.').count();
    // The other argument of the two below is a path.
    let package = || call.get(1, "package")?.extract::<String>().ok();
    let absolute = absolute(&name[level..], level, package)?;
    recording::note_search(call.arguments.py(), &absolute);
    Some(())
}

fn lines_wanted(call: &Call<'_>) -> Option<()> {
    let name = call.get(0, "filename")?;
    let path = path_of(&name).filter(|path| !path.as_os_str().as_bytes().starts_with(b"<"))?;
    recording::note_read(call.arguments.py(), path);
    Some(())
}

fn link_asked(call: &Call<'_>) -> Option<()> {
    let path = path_of(&call.get(0, "path")?)?;
    let folder = call.get(usize::MAX, "dir_fd").and_then(|folder| folder.extract().ok()).and_then(folder_of);
    recording::note_link(call.arguments.py(), folder, &path);
    Some(())
}

/// # Safety
/// The interpreter's lock is held; the arguments are a tuple, and a dict or null.
unsafe fn observe_call(
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
    look: impl FnOnce(&Call<'_>) -> Option<()>,
) {
    if !recording::is_recording() {
        return;
    }
    // SAFETY: the caller's promise; both references are borrowed from it.
    let (py, arguments, keywords) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, arguments), Bound::from_borrowed_ptr_or_opt(py, keywords))
    };
    recording::quietly(py, || {
        let keywords = keywords.and_then(|keywords| keywords.cast_into::<PyDict>().ok());
        if let Ok(arguments) = arguments.cast_into::<PyTuple>() {
            look(&Call { arguments, keywords });
        }
    });
}

struct Call<'py> {
    arguments: Bound<'py, PyTuple>,
    keywords: Option<Bound<'py, PyDict>>,
}

impl<'py> Call<'py> {
    fn get(&self, at: usize, name: &str) -> Option<Bound<'py, PyAny>> {
        if at < self.arguments.len() {
            return self.arguments.get_item(at).ok();
        }
        self.keywords.as_ref()?.get_item(name).ok()?
    }

    fn level(&self, at: usize) -> usize {
        self.get(at, "level").and_then(|level| level.extract().ok()).unwrap_or(0)
    }
}

fn asked_of_import(call: &Call<'_>) -> Option<()> {
    let py = call.arguments.py();
    let name = call.get(0, "name")?;
    let name = name.cast::<PyString>().ok()?.to_str().ok()?;
    let globals = call.get(1, "globals").and_then(|globals| globals.cast_into::<PyDict>().ok());
    let value = |key: &str| globals.as_ref().and_then(|globals| globals.get_item(key).ok().flatten());
    let file = value("__file__");
    let file = file.as_ref().and_then(bytes_of);
    let file = file.as_deref().map(OsStr::from_bytes);
    // First of all, since nearly every import of a large suite is one of these.
    if file.is_some_and(|file| recording::is_within_a_package(file, name, call.level(4))) {
        return None;
    }
    let absolute = absolute(name, call.level(4), || package_of(&value))?;
    if recording::is_stdlib(&absolute) {
        return None;
    }
    recording::note_module(py, &absolute, file);
    let wanted = call.get(3, "fromlist").filter(|wanted| !wanted.is_none())?;
    if !(wanted.is_instance_of::<PyTuple>() || wanted.is_instance_of::<PyList>()) {
        return None;
    }
    for item in wanted.try_iter().ok()?.flatten() {
        if let Some(item) = item.extract::<String>().ok().filter(|item| item != "*") {
            recording::note_module(py, &format!("{absolute}.{item}"), file);
        }
    }
    Some(())
}

fn asked_of_gcd_import(call: &Call<'_>) -> Option<()> {
    let name = call.get(0, "name")?;
    let name = name.cast::<PyString>().ok()?.to_str().ok()?;
    let package = || call.get(1, "package")?.extract::<String>().ok();
    let absolute = absolute(name, call.level(2), package)?;
    recording::note_module(call.arguments.py(), &absolute, None);
    Some(())
}

/// As importlib does it: a level of 2 leaves out one component of the package.
fn absolute(name: &str, level: usize, package: impl FnOnce() -> Option<String>) -> Option<Cow<'_, str>> {
    if level == 0 {
        return (!name.is_empty()).then_some(Cow::Borrowed(name));
    }
    let package = package()?;
    let mut base = package.as_str();
    for _ in 1..level {
        base = base.rsplit_once('.')?.0;
    }
    match (base, name) {
        ("", _) => None,
        (_, "") => Some(Cow::Owned(base.to_owned())),
        (_, _) => Some(Cow::Owned(format!("{base}.{name}"))),
    }
}

fn package_of<'py>(value: &impl Fn(&str) -> Option<Bound<'py, PyAny>>) -> Option<String> {
    let text = |object: Option<Bound<'py, PyAny>>| object?.extract::<String>().ok();
    let by_spec = || text(value("__spec__")?.getattr("parent").ok());
    let by_name = || {
        let name = text(value("__name__"))?;
        let is_package = value("__path__").is_some();
        if is_package { Some(name) } else { Some(name.rsplit_once('.')?.0.to_owned()) }
    };
    text(value("__package__")).or_else(by_spec).or_else(by_name)
}
