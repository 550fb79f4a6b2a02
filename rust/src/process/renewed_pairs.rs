//! Pipes and pairs of sockets that lead from this process to itself, as event loops use them to wake themselves.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;

use crate::process::descriptor::{Description, control, is_readable, owned, set_socket_option, socket_option};
use crate::process::unix_peers::Peers;

/// Options of a socket that a new one gets, too, with what the kernel multiplies them by when they are set.
const OPTIONS: [(i32, i32); 3] = [(libc::SO_PASSCRED, 1), (libc::SO_SNDBUF, 2), (libc::SO_RCVBUF, 2)];

enum Kind {
    Pipe {
        capacity: Option<i32>,
    },
    /// The type of the sockets, and the options of both.
    Sockets(i32, [[Option<i32>; OPTIONS.len()]; 2]),
}

/// Two ends: of a pipe, first the one that is read from.
pub struct Pair {
    ends: [Description; 2],
    kind: Kind,
}

impl Pair {
    /// The system's own names of both ends.
    pub fn links(&self) -> impl Iterator<Item = String> {
        self.ends.iter().map(Description::link)
    }

    /// Makes the pair anew if this process has both ends. Returns how many numbers were replaced.
    pub fn renew(&mut self) -> usize {
        if !self.ends.iter().all(Description::is_open) {
            return 0;
        }
        let Some(new) = self.kind.make() else { return 0 };
        self.ends.iter_mut().zip(&new).map(|(end, new)| end.replace(new)).sum()
    }
}

impl Kind {
    fn make(&self) -> Option<[OwnedFd; 2]> {
        let mut ends = [-1; 2];
        // SAFETY: both calls write two numbers to the array.
        let result = unsafe {
            match self {
                Self::Pipe { .. } => libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC),
                Self::Sockets(kind, _) => {
                    libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())
                }
            }
        };
        if result != 0 {
            return None;
        }
        let [Some(one), Some(other)] = ends.map(owned) else { return None };
        self.adjust([one.as_raw_fd(), other.as_raw_fd()]);
        Some([one, other])
    }

    fn adjust(&self, ends: [i32; 2]) {
        match self {
            Self::Pipe { capacity: Some(capacity) } if control(ends[0], libc::F_GETPIPE_SZ, 0) != Some(*capacity) => {
                control(ends[0], libc::F_SETPIPE_SZ, *capacity);
            }
            Self::Pipe { .. } => {}
            Self::Sockets(_, options) => {
                for (end, had) in ends.into_iter().zip(options) {
                    adjust_socket(end, *had);
                }
            }
        }
    }
}

fn options_of(socket: i32) -> [Option<i32>; OPTIONS.len()] {
    OPTIONS.map(|(option, _)| socket_option(socket, option))
}

fn adjust_socket(socket: i32, had: [Option<i32>; OPTIONS.len()]) {
    for ((option, factor), value) in OPTIONS.into_iter().zip(had) {
        if let Some(value) = value.filter(|value| socket_option(socket, option) != Some(*value)) {
            set_socket_option(socket, option, value / factor);
        }
    }
}

/// The pipes without a name that have one reader and one writer, both here, and that are empty.
#[must_use]
pub fn pipes(descriptions: Vec<Description>) -> Vec<Pair> {
    let mut found: Vec<Vec<Description>> = Vec::new();
    for description in descriptions {
        match found.iter_mut().find(|ends| ends.iter().any(|end| end.identity == description.identity)) {
            Some(ends) => ends.push(description),
            None => found.push(vec![description]),
        }
    }
    found.into_iter().filter_map(pipe).collect()
}

fn pipe(mut ends: Vec<Description>) -> Option<Pair> {
    let access = |end: &Description| end.flags & libc::O_ACCMODE;
    ends.sort_by_key(access);
    let ends: [Description; 2] = ends.try_into().ok()?;
    let is_pair = ends.each_ref().map(access) == [libc::O_RDONLY, libc::O_WRONLY];
    if !is_pair || !ends[0].link().starts_with("pipe:") || is_readable(ends[0].first()) {
        return None;
    }
    let kind = Kind::Pipe { capacity: control(ends[0].first(), libc::F_GETPIPE_SZ, 0) };
    Some(Pair { ends, kind })
}

/// The pairs of connected `AF_UNIX` sockets without a name whose ends are both here, and that are empty.
#[must_use]
pub fn sockets(mut descriptions: Vec<Description>) -> Vec<Pair> {
    descriptions.retain(|socket| is_half_of_pair(socket.first()));
    let mut found = Vec::new();
    if descriptions.len() < 2 {
        return found;
    }
    let peers = Peers::new();
    while let Some(one) = descriptions.pop() {
        let Some(wanted) = peers.of(one.identity.inode) else { continue };
        let Some(place) = descriptions.iter().position(|other| other.identity.inode == wanted) else { continue };
        let other = descriptions.swap_remove(place);
        if peers.of(wanted) == Some(one.identity.inode) {
            found.extend(socket_pair([one, other]));
        }
    }
    found
}

fn is_half_of_pair(socket: i32) -> bool {
    socket_option(socket, libc::SO_DOMAIN) == Some(libc::AF_UNIX)
        && socket_option(socket, libc::SO_ACCEPTCONN) == Some(0)
        && is_unnamed(socket, libc::getsockname)
        && is_unnamed(socket, libc::getpeername)
        && !is_readable(socket)
}

type AddressOf = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

/// Whether there is an address, and it is the family alone.
fn is_unnamed(socket: i32, address_of: AddressOf) -> bool {
    // SAFETY: an all-zero address is a valid value; the call writes to it and to its length, which is passed.
    unsafe {
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
        let result = address_of(socket, (&raw mut address).cast(), &raw mut length);
        result == 0 && length as usize == size_of::<libc::sa_family_t>()
    }
}

fn socket_pair(ends: [Description; 2]) -> Option<Pair> {
    let kind = socket_option(ends[0].first(), libc::SO_TYPE)?;
    let options = ends.each_ref().map(|end| options_of(end.first()));
    Some(Pair { ends, kind: Kind::Sockets(kind, options) })
}
