//! Reads the program, arguments, folder and search path of a started process from the arguments of its audit event.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::audit::arguments::{Arguments, path_of};
use crate::audit::frames::bytes_of;
use crate::audit::programs::Command;

/// The process that an event starts. `event` says at which places the program, its arguments, its folder and its
/// environment are.
#[must_use]
pub fn command_of(event: &str, arguments: &Arguments<'_>) -> Command {
    let (list, folder, environment) = match event {
        "subprocess.Popen" => (Some(1), Some(2), Some(3)),
        "os.exec" | "os.posix_spawn" => (Some(1), None, Some(2)),
        "pty.spawn" => (Some(0), None, None),
        _unknown => (None, None, None),
    };
    let here = std::env::current_dir().unwrap_or_default();
    let folder = folder.and_then(|at| arguments.path(at)).map_or_else(|| here.clone(), |path| here.join(path));
    Command {
        program: if event == "os.system" { None } else { program(arguments) },
        arguments: list.and_then(|at| arguments.get(at)).map(|list| texts(&list)).unwrap_or_default(),
        folder,
        path: environment.and_then(|at| search_path(&arguments.get(at)?)).filter(|_| event == "subprocess.Popen"),
    }
}

fn program(arguments: &Arguments<'_>) -> Option<OsString> {
    let first = arguments.get(0)?;
    path_of(&first).or_else(|| path_of(&first.get_item(0).ok()?)).map(PathBuf::into_os_string)
}

/// The texts of a list or tuple; anything else has none that are known. A single text is the program alone.
fn texts(list: &Bound<'_, PyAny>) -> Vec<OsString> {
    if bytes_of(list).is_some() {
        return Vec::new();
    }
    let size = list.len().unwrap_or(0);
    let each = (0..size).filter_map(|at| list.get_item(at).ok());
    each.map(|item| path_of(&item).map(PathBuf::into_os_string).unwrap_or_default()).collect()
}

/// `PATH` of the environment that it gets: this process's, unless it is given another. None of a mapping of an unknown
/// kind, whose methods are not called here.
fn search_path(given: &Bound<'_, PyAny>) -> Option<OsString> {
    let is_own = given.is_none() || given.get_type().name().is_ok_and(|name| name == "_Environ");
    let found = if is_own {
        std::env::var_os("PATH")
    } else {
        let path = given.cast::<PyDict>().ok()?.get_item("PATH").ok()?;
        path.as_ref().and_then(bytes_of).map(|path| OsStr::from_bytes(&path).to_owned())
    };
    Some(found.unwrap_or_else(|| "/bin:/usr/bin".into()))
}
