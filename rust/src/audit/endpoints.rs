//! Addresses of sockets: whether two of them overlap, and which process holds one.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use crate::audit::board::Bind;

/// Any address of this machine, or one that is not known.
const ANY: u64 = 0;
/// "localhost": one of the two below.
const LOCAL: u64 = 1;
const LOOPBACKS: [&str; 2] = ["127.0.0.1", "::1"];
/// The state of a listening socket in the tables of proc(5).
const LISTENING: &str = "0A";
/// Held by no process any more.
const TIME_WAIT: &str = "06";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Unix,
}

/// An address that two sockets of one machine can't both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// The port, or the hash of a path.
    pub number: u64,
    pub address: u64,
}

impl Endpoint {
    pub fn of_port(protocol: Protocol, port: u16, host: &str) -> Self {
        Self { protocol, number: u64::from(port), address: address_code(host) }
    }

    pub fn of_path(path: &OsStr) -> Self {
        Self { protocol: Protocol::Unix, number: hash(b"unix", path.as_bytes()) >> 2, address: ANY }
    }

    pub fn key(&self) -> u64 {
        self.number << 2 | self.protocol as u64
    }

    pub fn overlaps(&self, bind: &Bind) -> bool {
        self.key() == bind.key && overlap(self.address, bind.address)
    }
}

/// FNV-1a: every process must find the same.
pub fn hash(domain: &[u8], bytes: &[u8]) -> u64 {
    let mix = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    domain.iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn address_code(host: &str) -> u64 {
    let host = host.split('%').next().unwrap_or(host);
    if host == "localhost" {
        return LOCAL;
    }
    let Ok(address) = host.parse::<IpAddr>() else { return ANY };
    code_of(address)
}

fn code_of(address: IpAddr) -> u64 {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return ANY;
    }
    hash(b"", address.to_string().as_bytes()) | 2
}

fn overlap(one: u64, other: u64) -> bool {
    let is_loopback = |code: u64| code == LOCAL || LOOPBACKS.iter().any(|host| code == address_code(host));
    let local = |one: u64, other: u64| one == LOCAL && is_loopback(other);
    one == other || one == ANY || other == ANY || local(one, other) || local(other, one)
}

/// Whether the process that noted it still has the socket.
pub fn is_held(bind: &Bind) -> bool {
    let link = fs::read_link(format!("/proc/{}/fd/{}", bind.process, bind.descriptor));
    link.is_ok_and(|target| target.as_os_str() == OsStr::new(&format!("socket:[{}]", bind.inode)))
}

/// The inodes of the sockets that have this port, as the system's tables say it; a path has none.
pub fn sockets_on(endpoint: &Endpoint, only_listening: bool) -> HashSet<u64> {
    let (tables, is_tcp) = match endpoint.protocol {
        Protocol::Tcp => (["/proc/self/net/tcp", "/proc/self/net/tcp6"], true),
        Protocol::Udp => (["/proc/self/net/udp", "/proc/self/net/udp6"], false),
        Protocol::Unix => return HashSet::new(),
    };
    let mut found = HashSet::new();
    for table in tables {
        let text = fs::read_to_string(table).unwrap_or_default();
        let rows = text.lines().skip(1).filter_map(row_of);
        let wanted = rows.filter(|row| {
            let is_in_state = if is_tcp && only_listening { row.state == LISTENING } else { row.state != TIME_WAIT };
            let is_there = u64::from(row.port) == endpoint.number && overlap(row.address, endpoint.address);
            is_there && is_in_state && row.inode != 0
        });
        found.extend(wanted.map(|row| row.inode));
    }
    found
}

struct Row<'text> {
    address: u64,
    port: u16,
    state: &'text str,
    inode: u64,
}

fn row_of(line: &str) -> Option<Row<'_>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Row {
        address: code_of(address_of_table(address)?),
        port: u16::from_str_radix(port, 16).ok()?,
        state: fields.get(3)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of four bytes, each in the machine's own order.
fn address_of_table(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if text.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let mut bytes = [0_u8; 16];
    for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
        part.copy_from_slice(&word(at)?);
    }
    Some(IpAddr::from(bytes))
}

/// Whether a process has one of these sockets open.
pub fn has_open(process: &str, sockets: &HashSet<u64>) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let target = fs::read_link(entry.path()).ok();
        let text = target.as_ref().and_then(|target| target.to_str()).unwrap_or_default();
        let inode = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u64| sockets.contains(&inode))
    })
}

/// All processes, with their process groups.
pub fn processes() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(|pid| Some((pid, group_of(pid)?))).collect()
}

fn group_of(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn do_overlap(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(address_code);
        assert_eq!(overlap(one, other), overlap(other, one));
        overlap(one, other)
    }

    #[test]
    fn addresses_overlap_where_one_is_the_other_or_any() {
        for (one, other) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("", "10.0.0.1"),
            ("::", "127.0.0.1"),
            ("::", "::1"),
            ("localhost", "127.0.0.1"),
            ("localhost", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("fe80::1%lo", "fe80::1"),
            ("host.example", "127.0.0.2"),
        ] {
            assert!(do_overlap(one, other), "{one} {other}");
        }
        for (one, other) in [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "::1"), ("localhost", "10.0.0.1")] {
            assert!(!do_overlap(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_row_of_the_table_is_read() {
        let line = "   0: 0100007F:BD21 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 x";
        let row = row_of(line).unwrap();
        assert_eq!((row.address, row.port, row.state, row.inode), (address_code("127.0.0.1"), 48417, "0A", 77));
        let six = address_of_table("00000000000000000000000001000000").unwrap();
        assert_eq!(code_of(six), address_code("::1"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_is_found_with_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = |host: &str| sockets_on(&Endpoint::of_port(Protocol::Tcp, port, host), true);
        assert_eq!((found("127.0.0.1").len(), found("127.0.0.2").len()), (1, 0));
        assert!(has_open("self", &found("localhost")));
        assert!(!has_open("self", &found("127.0.0.2")));
    }
}
