//! The audit hook: decides which events touch something, and records it.
//!
//! The hook runs inside every open() of the process. Therefore it never raises, never panics outwards, holds no lock
//! while Python runs, and returns at once for an event that it does not know.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void, CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use nix::libc;
use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::audit::access::{access_of, spellings, Access};
use crate::audit::arguments::{
    address_of, databases, descriptor_of, family_of, folder_of, is_local, joined, open_folders, path_of, port_of,
    remember_sockets, type_of, Arguments,
};
use crate::audit::contention;
use crate::audit::endpoints::{Endpoint, Protocol};
use crate::audit::forked;
use crate::audit::frames;
use crate::audit::programs::Command;
use crate::audit::rows::{Kind, Row};
use crate::audit::scope::{PathClass, Settings};
use crate::audit::tracker::{Tracker, Wanted};
use crate::filesystem::paths::absolute_path;
use crate::filesystem::stat::coarse_now;

static INSTALLED: AtomicBool = AtomicBool::new(false);
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

type Hook = extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

extern "C" {
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
    remember_sockets(py)?;
    // SAFETY: this thread is attached.
    INTERPRETER.store(unsafe { ffi::PyInterpreterState_Get() }, Ordering::Relaxed);
    Ok(())
}

pub fn start(py: Python<'_>, settings: Settings) -> PyResult<()> {
    install(py)?;
    let again = Settings { collecting: false, ..settings.clone() };
    *AGAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(again));
    forked::start();
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tracker::new(Arc::new(settings), coarse_now()));
    RECORDING.store(true, Ordering::SeqCst);
    Ok(())
}

/// Starts an empty recording that is not collecting, under the settings of the last `start`: they were prepared
/// then, since each forked child calls this.
pub fn start_again() {
    let settings = AGAIN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(settings) = settings else { return };
    forked::start();
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tracker::new(settings, coarse_now()));
    RECORDING.store(true, Ordering::SeqCst);
}

pub fn stop() {
    RECORDING.store(false, Ordering::SeqCst);
    *TRACKER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub fn take() -> Vec<Row> {
    with(|tracker| tracker.take()).unwrap_or_default()
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
fn with<T>(action: impl FnOnce(&mut Tracker) -> T) -> Option<T> {
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

extern "C" fn hook(event: *const c_char, arguments: *mut ffi::PyObject, _data: *mut c_void) -> c_int {
    if !(is_recording() || contention::is_joined()) || event.is_null() || arguments.is_null() {
        return 0;
    }
    // SAFETY: the interpreter passes a C string.
    let Some(event) = Event::of(unsafe { CStr::from_ptr(event) }.to_bytes()) else { return 0 };
    // SAFETY: hooks are called by a thread that is attached, which it stays until the hook returns.
    let py = unsafe { Python::assume_attached() };
    let mut refused = None;
    quietly(py, || {
        // SAFETY: the interpreter passes a borrowed reference to a tuple that outlives the call.
        let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
        if let Ok(arguments) = arguments.cast_into::<PyTuple>() {
            refused = handle(event, &Arguments(arguments));
        }
    });
    let Some((number, text)) = refused else { return 0 };
    // The error that the system would give. An event that raises does not happen, so the other child is not disturbed.
    PyOSError::new_err((number, text)).restore(py);
    -1
}

/// Functions of the C library that start a process.
const STARTERS: [&str; 12] = [
    "system",
    "popen",
    "fork",
    "vfork",
    "clone",
    "posix_spawn",
    "posix_spawnp",
    "execl",
    "execlp",
    "execv",
    "execve",
    "execvp",
];

#[derive(Clone, Copy)]
enum Event {
    Open,
    List,
    Import,
    Library,
    Database,
    Folder,
    /// Which argument names the directory descriptor that a relative path starts from, if one does.
    Replace(Option<usize>),
    Change(Option<usize>),
    Rename,
    Link,
    Symlink,
    Process(&'static str),
    Symbol,
    Connect,
    Bind,
    Name,
    NameOf,
}

impl Event {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"open" => Self::Open,
            b"os.listdir" | b"os.scandir" => Self::List,
            b"import" => Self::Import,
            b"ctypes.dlopen" => Self::Library,
            b"sqlite3.connect" => Self::Database,
            b"os.mkdir" => Self::Folder,
            b"os.rmdir" | b"os.remove" => Self::Replace(Some(1)),
            b"os.truncate" => Self::Change(None),
            b"os.utime" | b"os.chown" => Self::Change(Some(3)),
            b"os.chmod" => Self::Change(Some(2)),
            b"os.rename" => Self::Rename,
            b"os.link" => Self::Link,
            b"os.symlink" => Self::Symlink,
            b"subprocess.Popen" => Self::Process("subprocess.Popen"),
            b"os.system" => Self::Process("os.system"),
            b"os.exec" => Self::Process("os.exec"),
            b"os.posix_spawn" => Self::Process("os.posix_spawn"),
            b"os.spawn" => Self::Process("os.spawn"),
            b"os.fork" => Self::Process("os.fork"),
            b"os.forkpty" => Self::Process("os.forkpty"),
            b"pty.spawn" => Self::Process("pty.spawn"),
            b"ctypes.dlsym" => Self::Symbol,
            b"socket.connect" | b"socket.sendto" | b"socket.sendmsg" => Self::Connect,
            b"socket.bind" => Self::Bind,
            b"socket.getnameinfo" => Self::NameOf,
            b"socket.getaddrinfo" | b"socket.gethostbyname" | b"socket.gethostbyaddr" => Self::Name,
            _ => return None,
        })
    }
}

/// The error, as number and text, with which the system call fails instead of being made.
type Refusal = (i32, &'static str);

fn handle(event: Event, arguments: &Arguments<'_>) -> Option<Refusal> {
    let refusal = match event {
        Event::Bind => refused_bind(arguments),
        Event::Connect => refused_connection(arguments),
        _other => None,
    };
    note_event(event, arguments);
    refusal
}

fn note_event(event: Event, arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    match event {
        Event::Open => opened(arguments),
        Event::List => listed(arguments),
        Event::Import => imported(arguments),
        Event::Library => {
            let path = arguments.path(0).filter(|path| path.as_os_str().as_bytes().contains(&b'/'));
            below_cwd(py, Access::Read, path);
        }
        Event::Database => {
            for path in arguments.path(0).map(databases).unwrap_or_default() {
                below_cwd(py, Access::Update, Some(path));
            }
        }
        Event::Folder => makes_folder(arguments),
        Event::Replace(folder) => touch_at(arguments, Access::Replace, 0, folder),
        Event::Change(folder) => touch_at(arguments, Access::Change, 0, folder),
        Event::Rename => {
            touch_at(arguments, Access::Move, 0, Some(2));
            touch_at(arguments, Access::Replace, 0, Some(2));
            touch_at(arguments, Access::Replace, 1, Some(3));
        }
        Event::Link => {
            // A later reading by the new name reads the file of the old name.
            touch_at(arguments, Access::Read, 0, Some(2));
            touch_at(arguments, Access::Replace, 1, Some(3));
        }
        Event::Symlink => linked(arguments),
        Event::Process(event) => started(event, arguments),
        Event::Symbol => {
            // The name stands before or behind the library.
            let names = [0, 1].into_iter().filter_map(|at| arguments.text(at));
            if names.into_iter().any(|name| STARTERS.iter().any(|known| name == *known)) {
                note_process(py, "native code");
            }
        }
        Event::Connect => {
            if let Some(address) = arguments.get(1).and_then(|address| address_of(&address)) {
                note(py, Kind::Connect, &address.0);
            }
        }
        Event::Bind => {
            let Some((address, is_fixed)) = arguments.get(1).and_then(|address| address_of(&address)) else { return };
            // The system chooses among free ports: nothing that others could depend on.
            if is_fixed {
                note(py, Kind::Bind, &address);
            }
        }
        Event::NameOf => {
            if let Some((address, _)) = arguments.get(0).and_then(|address| address_of(&address)) {
                note(py, Kind::Connect, &joined(OsStr::new("name of:"), &address));
            }
        }
        Event::Name => {
            if let Some(host) = arguments.text(0).filter(|host| !is_local(host)) {
                note(py, Kind::Connect, &joined(OsStr::new("name:"), &host));
            }
        }
    }
}

/// A port that the system chooses is none that another has.
fn refused_bind(arguments: &Arguments<'_>) -> Option<Refusal> {
    let (endpoint, address, descriptor) = endpoint_of(arguments)?;
    let is_held = contention::binds(endpoint, &address, descriptor);
    is_held.then_some((libc::EADDRINUSE, "Address already in use"))
}

fn refused_connection(arguments: &Arguments<'_>) -> Option<Refusal> {
    let (endpoint, address, _) = endpoint_of(arguments)?;
    let host = host_of(&address);
    let is_here = endpoint.protocol == Protocol::Unix || is_local(host) || host == "0.0.0.0" || host == "::";
    let is_held = is_here && contention::connects(endpoint, &address);
    is_held.then_some((libc::ECONNREFUSED, "Connection refused"))
}

/// The endpoint that a socket is about to get, or to talk to; its address as text, and the socket's descriptor.
fn endpoint_of(arguments: &Arguments<'_>) -> Option<(Endpoint, OsString, i32)> {
    if !contention::is_joined() {
        return None;
    }
    let (address, is_fixed) = address_of(&arguments.get(1)?)?;
    let descriptor = descriptor_of(&arguments.get(0)?).filter(|_| is_fixed)?;
    let endpoint = match family_of(descriptor)? {
        libc::AF_UNIX => {
            let path = address.as_bytes().strip_prefix(b"unix:").map(OsStr::from_bytes)?;
            let is_relative = !path.as_bytes().starts_with(b"/") && !path.as_bytes().starts_with(b"\0");
            let folder = if is_relative { std::env::current_dir().ok()? } else { PathBuf::new() };
            Endpoint::of_path(folder.join(path).as_os_str())
        }
        libc::AF_INET | libc::AF_INET6 => {
            let is_stream = type_of(descriptor)? == libc::SOCK_STREAM;
            let protocol = if is_stream { Protocol::Tcp } else { Protocol::Udp };
            Endpoint::of_port(protocol, port_of(&address)?, host_of(&address).to_str()?)
        }
        _other => return None,
    };
    Some((endpoint, address, descriptor))
}

fn host_of(address: &OsStr) -> &OsStr {
    let bytes = address.as_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b':').unwrap_or(bytes.len());
    OsStr::from_bytes(bytes.get(..end).unwrap_or(bytes))
}

/// Prepares for a fork; our own forks record for themselves. Returns whether the accesses of the fork will be known.
fn forks(py: Python<'_>) -> bool {
    let Some(settings) = with(|tracker| Arc::clone(&tracker.settings)) else { return true };
    if frames::is_by_caller(py, &settings) {
        with(Tracker::take_over_forked);
        forked::forget();
        return true;
    }
    forked::share()
}

fn opened(arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    let Some(path) = arguments.path(0) else { return };
    let mode = arguments.get(1).and_then(|mode| mode.extract::<String>().ok());
    let Some(access) = access_of(arguments.number(2).unwrap_or(0), mode.as_deref()) else { return };
    // Never opened for writing under this name: the call has an opener, as for a temporary file. That one's event tells.
    if mode.is_some() && access != Access::Read && path.is_dir() {
        return;
    }
    // os.open() alone has no mode. It may have been given a directory descriptor, which the event does not tell.
    if mode.is_none() && path.is_relative() {
        for folder in open_folders() {
            touch(py, access, &folder, &path);
        }
    }
    below_cwd(py, access, Some(path));
}

fn listed(arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    let Some(folder) = arguments.get(0) else { return };
    let path = if folder.is_none() {
        Some(PathBuf::from("."))
    } else {
        folder.extract().map_or_else(|_not_a_number| path_of(&folder), folder_of)
    };
    below_cwd(py, Access::List, path);
}

fn imported(arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    below_cwd(py, Access::Read, arguments.path(1));
    let Some(name) = arguments.get(0).and_then(|name| name.extract::<String>().ok()) else { return };
    note_module(py, &name, None);
}

/// The target of a link is read by the link's name.
fn linked(arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    if let (Some(target), Some(link), Some(folder)) = (arguments.path(0), arguments.path(1), arguments.folder(Some(2)))
    {
        let place = folder.join(link);
        touch(py, Access::Read, place.parent().unwrap_or(&folder), &target);
    }
    touch_at(arguments, Access::Replace, 1, Some(2));
}

fn started(event: &'static str, arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    let command = Command::of(event, arguments);
    note(py, Kind::Subprocess, command.program.as_deref().unwrap_or(OsStr::new(event)));
    if matches!(event, "os.fork" | "os.forkpty") && forks(py) {
        return;
    }
    let Some(settings) = with(|tracker| Arc::clone(&tracker.settings)) else { return };
    if command.may_read_all() {
        let is_temporary = |path: &Path| settings.classify(path) == PathClass::Temporary;
        note(py, Kind::Start, &command.described(event, &settings.ignored, is_temporary));
    }
    for path in command.files(&settings.ignored) {
        touch(py, Access::Read, Path::new("/"), &path);
    }
}

fn touch_at(arguments: &Arguments<'_>, access: Access, at: usize, folder: Option<usize>) {
    if let Some((base, path)) = based(arguments, at, folder) {
        contention::alters_folder_of(&absolute_path(&base, &path));
        touch(arguments.0.py(), access, &base, &path);
    }
}

/// A path, and the folder that it starts from.
fn based(arguments: &Arguments<'_>, at: usize, folder: Option<usize>) -> Option<(PathBuf, PathBuf)> {
    let path = arguments.path(at)?;
    let base = if path.is_absolute() { PathBuf::from("/") } else { arguments.folder(folder)? };
    Some((base, path))
}

/// A path that exists is not made again (`exist_ok=True`): it is read, not written.
fn makes_folder(arguments: &Arguments<'_>) {
    let Some((base, path)) = based(arguments, 0, Some(2)) else { return };
    let made = absolute_path(&base, &path);
    if made.symlink_metadata().is_ok() {
        contention::touches(Access::Read, &made);
    } else {
        touch_at(arguments, Access::Replace, 0, Some(2));
    }
}

fn below_cwd(py: Python<'_>, access: Access, path: Option<PathBuf>) {
    let Some(path) = path else { return };
    if path.is_absolute() {
        touch(py, access, Path::new("/"), &path);
    } else if let Ok(folder) = std::env::current_dir() {
        touch(py, access, &folder, &path);
    }
}

fn touch(py: Python<'_>, access: Access, folder: &Path, path: &Path) {
    for path in spellings(folder, path) {
        if access != Access::List || !frames::is_of_the_path_finder(py) {
            contention::touches(access, &path);
        }
        let wanted = with(|tracker| {
            let wanted = tracker.wanted(access, &path)?;
            Some((wanted, Arc::clone(&tracker.settings), tracker.owner.clone()))
        });
        let Some((wanted, settings, default)) = wanted.flatten() else { continue };
        // A listing of a temporary folder may count as a reading; a listing by the path finder never does.
        let kind = if access == Access::List { Kind::List } else { wanted.kind };
        record(frames::owners(py, &settings, kind, &default), &wanted);
    }
}

fn record(owners: Option<frames::Owners>, wanted: &Wanted) {
    for owner in owners.unwrap_or_default() {
        with(|tracker| tracker.record(&owner, wanted.clone()));
    }
}

/// Notes a touch of a name that is not a path.
fn note(py: Python<'_>, kind: Kind, name: &OsStr) {
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
    below_cwd(py, Access::Read, Some(path));
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
