//! Decides which audit events touch something, from the arguments of each.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;
use pyo3::prelude::*;

use crate::audit::access::{Access, access_of};
use crate::audit::arguments::{
    Arguments, address_of, databases, descriptor_of, family_of, folder_of, is_local, joined, open_folders, path_of,
    port_of, type_of, write_ahead_log,
};
use crate::audit::contention;
use crate::audit::endpoints::{Endpoint, Protocol};
use crate::audit::frames;
use crate::audit::function_calls;
use crate::audit::globs;
use crate::audit::recording::{
    below_cwd, forks, note, note_module, note_process, note_source, read_source, touch, with,
};
use crate::audit::rows::Kind;
use crate::audit::scope::PathClass;
use crate::audit::started::command_of;
use crate::filesystem::paths::absolute_path;

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
pub enum Event {
    Open,
    List,
    Import,
    Library,
    Glob,
    /// Whether the pattern is looked for in all folders below.
    GlobBelow(bool),
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
    Execute,
    Attribute,
    Code,
    Callback,
}

impl Event {
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"open" => Self::Open,
            b"os.listdir" | b"os.scandir" => Self::List,
            b"import" => Self::Import,
            b"glob.glob/2" => Self::Glob,
            b"pathlib.Path.glob" => Self::GlobBelow(false),
            b"pathlib.Path.rglob" => Self::GlobBelow(true),
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
            b"exec" => Self::Execute,
            b"object.__getattr__" => Self::Attribute,
            b"code.__new__" => Self::Code,
            b"sys.settrace" | b"sys.setprofile" | b"sys.addaudithook" | b"sys.monitoring.register_callback" => {
                Self::Callback
            }
            b"socket.getaddrinfo" | b"socket.gethostbyname" | b"socket.gethostbyaddr" => Self::Name,
            _ => return None,
        })
    }
}

/// The error, as number and text, with which the system call fails instead of being made.
pub type Refusal = (i32, &'static str);

pub fn handle(event: Event, arguments: &Arguments<'_>) -> Option<Refusal> {
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
        Event::Glob => globs::globbed(arguments),
        Event::GlobBelow(is_everywhere) => globs::globbed_below(arguments, is_everywhere),
        Event::Library => {
            let path = arguments.path(0).filter(|path| path.as_os_str().as_bytes().contains(&b'/'));
            below_cwd(py, Access::Read, path);
        }
        Event::Database => {
            for path in arguments.path(0).map(databases).unwrap_or_default() {
                below_cwd(py, Access::Update, Some(write_ahead_log(&path)));
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
        Event::Execute => {
            if let Some(code) = arguments.get(0) {
                function_calls::executes(py, &code);
            }
        }
        Event::Attribute => asked_for_code(arguments),
        // None takes a callback away.
        Event::Callback if arguments.get(0).is_some_and(|callback| callback.is_none()) => {}
        Event::Callback => function_calls::sets_callback(py),
        Event::Code => {
            if let Some(file) = arguments.text(1).and_then(|name| function_calls::file_named(py, &name)) {
                note_source(py, Path::new(&file));
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
    below_cwd(py, access, Some(path.clone()));
    if path.extension().is_some_and(|extension| extension == "py" || extension == "pyc") {
        read_source(py, &path);
    }
}

/// The code of a function is asked for: it may have been looked at, or run in another way than by a call.
fn asked_for_code(arguments: &Arguments<'_>) {
    let py = arguments.0.py();
    let (Some(owner), Some(name)) = (arguments.get(0), arguments.text(1)) else { return };
    if let Some(file) = function_calls::file_of_code(py, &owner, &name).filter(|_| !frames::is_about_signatures(py)) {
        note_source(py, Path::new(&file));
    }
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
    let command = command_of(event, arguments);
    note(py, Kind::Subprocess, command.program.as_deref().unwrap_or(OsStr::new(event)));
    if matches!(event, "os.fork" | "os.forkpty") && forks(py) {
        return;
    }
    function_calls::starts_process(py);
    let Some(settings) = with(|tracker| Arc::clone(&tracker.settings)) else { return };
    if command.may_read_all() {
        let is_temporary = |path: &Path| settings.classify(path) == PathClass::Temporary;
        note(py, Kind::Start, &command.described(event, &settings.ignored, is_temporary));
    }
    for path in command.files(&settings.ignored) {
        touch(py, Access::Read, Path::new("/"), &path);
        note_source(py, &path);
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
