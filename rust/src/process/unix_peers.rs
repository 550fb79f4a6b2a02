//! Finds the two ends of pairs of `AF_UNIX` sockets: only the kernel's socket diagnostics name the other end.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;

use crate::process::descriptor::owned;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `AF_UNIX` and `NLM_F_REQUEST`, in the sizes that they have in a request.
const AF_UNIX: u8 = 1;
const IS_REQUEST: u16 = 1;
/// `UDIAG_SHOW_PEER`, `UNIX_DIAG_PEER` and `UNIX_DIAG_SHUTDOWN` of `linux/unix_diag.h`.
const SHOW_PEER: u32 = 4;
const PEER: u16 = 2;
const SHUTDOWN: u16 = 6;
/// The sizes of `struct nlmsghdr`, `struct unix_diag_msg` and `struct nlattr`.
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;
/// The bytes of a request: the header and a `struct unix_diag_req`.
const REQUEST: u32 = 40;

/// Asks the kernel. Without the permission, nothing has a peer.
pub struct Peers(Option<OwnedFd>);

impl Peers {
    #[must_use]
    pub fn new() -> Self {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: socket has no precondition.
        Self(owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) }))
    }

    /// The inode of the other end of a socket of this network namespace; none if one direction was shut down.
    #[must_use]
    pub fn of(&self, inode: u64) -> Option<u64> {
        let (socket, request) = (self.0.as_ref()?.as_raw_fd(), request(u32::try_from(inode).ok()?));
        let mut answer = [0_u8; 512];
        // SAFETY: both buffers are this frame's, and their lengths are passed on. The kernel answers before `send`
        // returns, so nothing has to be waited for.
        let got = unsafe {
            libc::send(socket, request.as_ptr().cast(), request.len(), 0);
            libc::recv(socket, answer.as_mut_ptr().cast(), answer.len(), libc::MSG_DONTWAIT)
        };
        peer(answer.get(..usize::try_from(got).ok()?)?, inode)
    }
}

fn request(inode: u32) -> Vec<u8> {
    let (length, flags) = (REQUEST, IS_REQUEST);
    let header = [&length.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]];
    let family = [AF_UNIX, 0, 0, 0];
    let (every_state, no_cookie) = (u32::MAX, [u8::MAX; 8]);
    let asked = [&family[..], &every_state.to_ne_bytes(), &inode.to_ne_bytes(), &SHOW_PEER.to_ne_bytes(), &no_cookie];
    [header.concat(), asked.concat()].concat()
}

fn peer(answer: &[u8], inode: u64) -> Option<u64> {
    let is_answer = short(answer, 4)? == BY_FAMILY && u64::from(word(answer, HEADER + 4)?) == inode;
    let mut attributes = answer.get(HEADER + MESSAGE..)?;
    let (mut peer, mut is_open) = (None, false);
    while let (Some(length), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
        match kind {
            PEER => peer = word(attributes, ATTRIBUTE),
            SHUTDOWN => is_open = attributes.get(ATTRIBUTE) == Some(&0),
            _other => {}
        }
        let length = usize::from(length).max(ATTRIBUTE).next_multiple_of(4);
        attributes = attributes.get(length..).unwrap_or(&[]);
    }
    peer.filter(|_inode| is_answer && is_open).map(u64::from)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use crate::process::descriptor::Identity;
    use crate::process::unix_peers::Peers;

    #[test]
    fn each_end_names_the_other() {
        let (Ok((one, other)), peers) = (UnixStream::pair(), Peers::new()) else { return };
        let inode = |end: &UnixStream| Identity::of(end.as_raw_fd()).map(|identity| identity.inode);
        let found = |end: &UnixStream| inode(end).and_then(|number| peers.of(number));
        assert_eq!((found(&one), found(&other)), (inode(&other), inode(&one)));
        assert!(one.shutdown(std::net::Shutdown::Write).is_ok());
        assert_eq!(found(&one), None);
    }

    #[test]
    fn an_inode_that_is_no_socket_has_no_peer() {
        assert_eq!(Peers::new().of(1), None);
        assert_eq!(Peers::new().of(u64::MAX), None);
    }
}
