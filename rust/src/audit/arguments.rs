//! Reads the arguments of audit events: paths, descriptors, addresses.

#[cfg(not(target_os = "linux"))]
use std::ffi::CStr;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::audit::frames::bytes_of;

/// The arguments of an event.
pub struct Arguments<'py>(pub Bound<'py, PyTuple>);

impl<'py> Arguments<'py> {
    pub fn get(&self, at: usize) -> Option<Bound<'py, PyAny>> {
        self.0.get_item(at).ok()
    }

    pub fn path(&self, at: usize) -> Option<PathBuf> {
        path_of(&self.get(at)?)
    }

    pub fn text(&self, at: usize) -> Option<OsString> {
        let object = self.get(at)?;
        let bytes = bytes_of(&object)?;
        Some(OsStr::from_bytes(&bytes).to_owned())
    }

    pub fn number(&self, at: usize) -> Option<i32> {
        self.get(at)?.extract().ok()
    }

    /// The folder that relative paths start from.
    pub fn folder(&self, descriptor: Option<usize>) -> Option<PathBuf> {
        match descriptor.and_then(|at| self.number(at)) {
            Some(descriptor @ 0..) => folder_of(descriptor),
            _ => std::env::current_dir().ok(),
        }
    }
}

pub fn path_of(object: &Bound<'_, PyAny>) -> Option<PathBuf> {
    let is_plain = object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>();
    let plain = if is_plain {
        object.clone()
    } else {
        // SAFETY: a live object goes in; a new reference comes out, or null with an exception set, which is taken away.
        unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyOS_FSPath(object.as_ptr())) }.ok()?
    };
    let bytes = bytes_of(&plain)?;
    let is_path = !bytes.is_empty() && !bytes.contains(&0);
    is_path.then(|| PathBuf::from(OsStr::from_bytes(&bytes)))
}

#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

#[cfg(target_os = "linux")]
pub fn folder_of(descriptor: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("{DESCRIPTORS}/{descriptor}")).ok().filter(|path| path.is_absolute())
}

#[cfg(not(target_os = "linux"))]
pub fn folder_of(descriptor: i32) -> Option<PathBuf> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: F_GETPATH writes at most PATH_MAX bytes, with a zero among them.
    let done = unsafe { libc::fcntl(descriptor, libc::F_GETPATH, path.as_mut_ptr()) } == 0;
    let path = CStr::from_bytes_until_nul(&path).ok().filter(|_| done)?;
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

pub fn open_folders() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(DESCRIPTORS) else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut folders: Vec<PathBuf> = numbers.filter_map(folder_of).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.dedup();
    folders
}

pub fn databases(path: PathBuf) -> Vec<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    if bytes == b":memory:" {
        return Vec::new();
    }
    // Whether it is meant as a URI the event does not tell.
    let Some(rest) = bytes.strip_prefix(b"file:") else { return vec![path] };
    let (name, query) = rest.split_at(rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len()));
    let is_memory = name == b":memory:" || name.is_empty() || query.windows(11).any(|part| part == b"mode=memory");
    if is_memory {
        return Vec::new();
    }
    let name = name.strip_prefix(b"//localhost").or_else(|| name.strip_prefix(b"//")).unwrap_or(name);
    vec![PathBuf::from(OsStr::from_bytes(&unquoted(name))), path]
}

/// Where a database in the mode WAL of `SQLite` has what was written to it last, until the log is copied into its file.
pub fn write_ahead_log(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let digit =
        |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|n| u8::try_from(n).ok());
    let mut result = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let quoted = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        result.push(quoted.map_or(*byte, |(high, low)| high << 4 | low));
        at += if quoted.is_some() { 3 } else { 1 };
    }
    result
}

/// The address as one text, and whether it is one that can be found again (a port that is not 0, a path).
pub fn address_of(address: &Bound<'_, PyAny>) -> Option<(OsString, bool)> {
    if let Ok(parts) = address.cast::<PyTuple>() {
        let (host, port) = (part(&parts.get_item(0).ok()?)?, part(&parts.get_item(1).ok()?)?);
        let is_fixed = port != "0";
        return Some((joined(&joined(&host, OsStr::new(":")), &port), is_fixed));
    }
    let path = bytes_of(address)?;
    Some((joined(OsStr::new("unix:"), OsStr::from_bytes(&path)), !path.is_empty()))
}

/// The port of an address as `address_of` gives it; None for a path.
pub fn port_of(address: &OsStr) -> Option<u16> {
    let text = address.to_str().filter(|text| !text.starts_with("unix:"))?;
    text.rsplit(':').next()?.parse().ok()
}

/// `fileno` of the interpreter's own type of sockets: a subclass may have another, and a test may patch modules.
static FILENO: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub fn remember_sockets(py: Python<'_>) -> PyResult<()> {
    let find = || Ok(py.import("_socket")?.getattr("socket")?.getattr("fileno")?.unbind());
    FILENO.get_or_try_init(py, find).map(|_| ())
}

/// The family of an open socket.
pub fn descriptor_of(socket: &Bound<'_, PyAny>) -> Option<i32> {
    let number = FILENO.get(socket.py())?.bind(socket.py()).call1((socket,)).ok()?;
    number.extract().ok().filter(|number| *number >= 0)
}

/// `SOCK_STREAM` or another.
pub fn type_of(descriptor: i32) -> Option<i32> {
    option_of(descriptor, libc::SO_TYPE)
}

#[cfg(target_os = "linux")]
pub fn family_of(descriptor: i32) -> Option<i32> {
    option_of(descriptor, libc::SO_DOMAIN)
}

/// Who holds an address can't be found out there.
#[cfg(not(target_os = "linux"))]
pub fn family_of(_descriptor: i32) -> Option<i32> {
    None
}

fn option_of(descriptor: i32, name: i32) -> Option<i32> {
    let mut value = 0_i32;
    let mut length = libc::socklen_t::try_from(std::mem::size_of::<i32>()).ok()?;
    let place = (&raw mut value).cast();
    // SAFETY: the system writes at most as many bytes as the number has.
    let done = unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, name, place, &raw mut length) } == 0;
    done.then_some(value)
}

fn part(object: &Bound<'_, PyAny>) -> Option<OsString> {
    match object.extract::<i64>() {
        Ok(number) => Some(number.to_string().into()),
        Err(_not_a_number) => Some(OsStr::from_bytes(&bytes_of(object)?).to_owned()),
    }
}

pub fn joined(left: &OsStr, right: &OsStr) -> OsString {
    let mut whole = left.to_owned();
    whole.push(right);
    whole
}

pub fn is_local(host: &OsStr) -> bool {
    let text = host.to_string_lossy();
    text.is_empty() || text == "localhost" || text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_files_or_uris() {
        let named =
            |name: &str| databases(name.into()).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(named(":memory:"), [""; 0]);
        assert_eq!(named("a?b"), ["a?b"]);
        assert_eq!(named("file:a%20b?mode=ro"), ["a b", "file:a%20b?mode=ro"]);
        assert_eq!(named("file:///x/a%"), ["/x/a%", "file:///x/a%"]);
        assert_eq!(named("file://localhost/x"), ["/x", "file://localhost/x"]);
        assert_eq!(named("file::memory:?cache=shared"), [""; 0]);
        assert_eq!(named("file:x?mode=memory"), [""; 0]);
    }

    #[test]
    fn ports_end_an_address() {
        for (address, port) in [("127.0.0.1:80", Some(80)), (":::0", Some(0)), ("unix:/x:80", None), ("a:99999", None)]
        {
            assert_eq!(port_of(OsStr::new(address)), port, "{address}");
        }
    }

    #[test]
    fn loopback_hosts_are_local() {
        for host in ["", "localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_local(OsStr::new(host)), "{host}");
        }
        for host in ["0.0.0.0", "10.0.0.1", "localhost.example", "::2"] {
            assert!(!is_local(OsStr::new(host)), "{host}");
        }
    }
}
