//! The recording of this process: started and stopped, and filled by the hook and the interposers.
//!
//! No lock is held while Python runs, and no error leaves these functions.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::audit::access::{Access, spellings};
use crate::audit::contention;
use crate::audit::forked;
use crate::audit::frames;
use crate::audit::function_calls;
use crate::audit::rows::{Kind, Row};
use crate::audit::scope::{PathClass, Settings};
use crate::audit::tracker::{Tracker, Wanted};
use crate::filesystem::stat::coarse_now;

static RECORDING: AtomicBool = AtomicBool::new(false);
/// Hooks are called in every interpreter of the process. Others may have a lock of their own, and our objects are none
/// of theirs.
static INTERPRETER: AtomicPtr<ffi::PyInterpreterState> = AtomicPtr::new(std::ptr::null_mut());
static TRACKER: Mutex<Option<Tracker>> = Mutex::new(None);
static AGAIN: Mutex<Option<Arc<Settings>>> = Mutex::new(None);

thread_local! {
    /// Set while the hook works, since that may raise events itself.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Notes the interpreter whose events are recorded.
pub fn set_interpreter(interpreter: *mut ffi::PyInterpreterState) {
    INTERPRETER.store(interpreter, Ordering::Relaxed);
}

/// Starts a recording under these settings.
pub fn start(settings: Settings) {
    let again = Settings { collecting: false, ..settings.clone() };
    *AGAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(again));
    forked::start();
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tracker::new(Arc::new(settings), coarse_now()));
    RECORDING.store(true, Ordering::SeqCst);
}

/// The settings of the last `start`.
pub fn settings() -> Option<Arc<Settings>> {
    AGAIN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Starts an empty recording that is not collecting, under the settings of the last `start`: they were prepared
/// then, since each forked child calls this.
pub fn start_again() {
    let Some(settings) = settings() else { return };
    forked::start();
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tracker::new(settings, coarse_now()));
    RECORDING.store(true, Ordering::SeqCst);
}

pub fn stop() {
    RECORDING.store(false, Ordering::SeqCst);
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub fn take() -> Vec<Row> {
    with(Tracker::take).unwrap_or_default()
}

/// Sets the owner, and returns the previous one.
pub fn set_owner(owner: OsString) -> OsString {
    with(|tracker| std::mem::replace(&mut tracker.owner, owner)).unwrap_or_default()
}

pub fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

/// Whether a module of an installed package asks for a part of the same package; by a relative name it always does.
pub fn is_within_a_package(importer: &OsStr, name: &str, level: usize) -> bool {
    let importer = Path::new(importer);
    with(|tracker| match level {
        0 => tracker.settings.is_of_one_package(importer, name),
        _relative => tracker.settings.classify(importer) == PathClass::Ignored,
    })
    .unwrap_or_default()
}

pub fn is_stdlib(module: &str) -> bool {
    with(|tracker| tracker.settings.is_stdlib(module)).unwrap_or_default()
}

/// No Python code runs in `action`, so a thread that holds the interpreter's lock finds this one free.
pub fn with<T>(action: impl FnOnce(&mut Tracker) -> T) -> Option<T> {
    match TRACKER.try_lock() {
        Ok(mut tracker) => tracker.as_mut().map(action),
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().as_mut().map(action),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Runs an action that looks at Python objects for an event: never inside itself, and without a trace in the
/// interpreter, whatever comes.
pub fn quietly(_attached: Python<'_>, action: impl FnOnce()) {
    // SAFETY: no precondition but the interpreter's lock, which the argument stands for.
    let is_alive =
        unsafe { ffi::Py_IsInitialized() != 0 && ffi::PyInterpreterState_Get() == INTERPRETER.load(Ordering::Relaxed) };
    if !is_alive || BUSY.replace(true) {
        return;
    }
    let mut pending = [std::ptr::null_mut(); 3];
    let [kind, value, traceback] = &mut pending;
    // SAFETY: three places for references, which go back as they came; nothing is left that came between.
    unsafe { ffi::PyErr_Fetch(kind, value, traceback) };
    let _a_row_is_lost = catch_unwind(AssertUnwindSafe(action));
    // SAFETY: as above.
    unsafe { ffi::PyErr_Restore(*kind, *value, *traceback) };
    BUSY.set(false);
}

/// Prepares for a fork; our own forks record for themselves. Returns whether the accesses of the fork will be known.
pub fn forks(py: Python<'_>) -> bool {
    let Some(settings) = with(|tracker| Arc::clone(&tracker.settings)) else { return true };
    if frames::is_by_caller(py, &settings) {
        with(Tracker::take_over_forked);
        forked::forget();
        return true;
    }
    function_calls::starts_process(py);
    forked::share()
}

pub fn below_cwd(py: Python<'_>, access: Access, path: Option<PathBuf>) {
    let Some(path) = path else { return };
    if path.is_absolute() {
        touch(py, access, Path::new("/"), &path);
    } else if let Ok(folder) = std::env::current_dir() {
        touch(py, access, &folder, &path);
    }
}

pub fn touch(py: Python<'_>, access: Access, folder: &Path, path: &Path) {
    for path in spellings(folder, path) {
        if access != Access::List || !frames::is_of_the_path_finder(py) {
            contention::touches(access, &path);
        }
        for path in with(|tracker| tracker.meant(access, path)).unwrap_or_default() {
            touch_one(py, access, &path);
        }
    }
}

fn touch_one(py: Python<'_>, access: Access, path: &Path) {
    let wanted = with(|tracker| {
        let wanted = tracker.wanted(access, path)?;
        Some((wanted, Arc::clone(&tracker.settings), tracker.owner.clone()))
    });
    let Some((wanted, settings, default)) = wanted.flatten() else { return };
    // A listing of a temporary folder may count as a reading; a listing by the path finder never does, except of a
    // folder that is searched by a link of the test's own: later searches by name do not find that link.
    let is_linked = wanted.subject != path.as_os_str();
    let kind = match access {
        Access::List if is_linked => Kind::Read,
        Access::List => Kind::List,
        _other => wanted.kind,
    };
    record(frames::owners(py, &settings, kind, &default), &wanted);
}

fn record(owners: Option<frames::Owners>, wanted: &Wanted) {
    for owner in owners.unwrap_or_default() {
        with(|tracker| tracker.record(&owner, wanted.clone()));
    }
}

/// Notes a touch of a name that is not a path.
pub fn note(py: Python<'_>, kind: Kind, name: &OsStr) {
    let wanted = with(|tracker| {
        let wanted = tracker.wanted_name(kind, name)?;
        Some((wanted, Arc::clone(&tracker.settings), tracker.owner.clone()))
    });
    let Some((wanted, settings, default)) = wanted.flatten() else { return };
    let owners = match kind {
        Kind::Environ | Kind::Find => frames::reader(py, &settings, &default),
        Kind::Subprocess | Kind::Start | Kind::Connect => frames::starter(py, &settings, kind, &default),
        _ => frames::owners(py, &settings, kind, &default),
    };
    record(owners, &wanted);
}

/// A module that is looked for without being imported. The import system's own searches are imports.
pub fn note_search(py: Python<'_>, name: &str) {
    if !frames::is_import_system(py) && !is_stdlib(name) {
        note(py, Kind::Find, OsStr::new(name));
    }
}

/// A file whose content is asked of a cache.
pub fn note_read(py: Python<'_>, path: PathBuf) {
    note_source(py, &path);
    below_cwd(py, Access::Read, Some(path));
}

/// A source file that is opened. The import system opens it to run it, which is no look at its text.
pub fn read_source(py: Python<'_>, path: &Path) {
    if !frames::is_importing(py) {
        note_source(py, path);
    }
}

/// Notes that the text of a module, or its code, was looked at: any change of it may then matter.
pub fn note_source(py: Python<'_>, path: &Path) {
    let Some(folder) = std::env::current_dir().ok().or_else(|| path.is_absolute().then(|| PathBuf::from("/"))) else {
        return;
    };
    for path in spellings(&folder, path) {
        let sources = with(|tracker| {
            let mut sources = tracker.meant(Access::Read, path);
            sources.retain(|source| tracker.settings.classify(source) == PathClass::Recorded);
            sources
        });
        for source in sources.unwrap_or_default() {
            note(py, Kind::Source, source.as_os_str());
        }
    }
}

/// A link that is asked where it leads: it is listed, as a folder is. Those above the root say where that lies.
pub fn note_link(py: Python<'_>, folder: Option<PathBuf>, path: &Path) {
    let Some(folder) = folder.or_else(|| std::env::current_dir().ok()) else { return };
    let above_root = |tracker: &mut Tracker| tracker.settings.root.starts_with(folder.join(path));
    if with(above_root) == Some(false) {
        touch(py, Access::Link, &folder, path);
    }
}

/// Notes a process that may read anything of the project.
pub fn note_process(py: Python<'_>, name: &str) {
    function_calls::starts_process(py);
    note(py, Kind::Subprocess, OsStr::new(name));
    note(py, Kind::Start, OsStr::new(name));
}

pub fn note_variable(py: Python<'_>, name: &OsStr) {
    note(py, Kind::Environ, name);
}

/// An absolute dotted name that `file`, if that is known, asks for.
pub fn note_module(py: Python<'_>, name: &str, file: Option<&OsStr>) {
    let subject = OsStr::new(name);
    let innermost = if file.is_none() { frames::asks_for_modules(py) } else { None };
    let Ok(innermost) = innermost.transpose() else { return };
    let importer = file.or(innermost.as_deref()).map(Path::new);
    let wanted = with(|tracker| {
        let is_internal = importer.is_some_and(|file| tracker.settings.is_of_one_package(file, name));
        if is_internal || tracker.settings.is_stdlib(name) {
            return None;
        }
        let owner = file.filter(|_| tracker.settings.collecting);
        let owner = owner.and_then(|file| frames::own_file(&tracker.settings, file));
        if owner.as_ref().is_some_and(|owner| tracker.is_recorded(owner, Kind::Import, subject)) {
            return None;
        }
        let wanted = tracker.wanted_name(Kind::Import, subject)?;
        Some((wanted, owner, Arc::clone(&tracker.settings), tracker.owner.clone()))
    });
    let Some((wanted, known, settings, default)) = wanted.flatten() else { return };
    let by_stack = frames::owners(py, &settings, Kind::Import, &default);
    record(by_stack.map(|by_stack| known.map_or(by_stack, |known| vec![known])), &wanted);
}
