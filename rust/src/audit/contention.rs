//! Detects collisions between this child and the children beside it: ports, and paths that one of them writes.
//!
//! Plain pytest runs one test at a time, so a port or path that another child holds would have been free. The thread
//! that meets a collision notes it at once on the page of its slot, where the controller reads it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::access::Access;
use crate::audit::board::{self, Bind, Board, SLOTS, Since};
use crate::audit::endpoints::{self, Endpoint};

/// The slot's page, in words of eight bytes: `protocol.Progress` has what lies where.
const PAGE: usize = 4096;
const ITEM: usize = 0;
const STATE: usize = 2;
const KIND: usize = 3;
const HOLDER: usize = 4;
const LENGTH: usize = 5;
const TEXT: usize = 6;
const MOST_TEXT: usize = 1024;
const WRITING: u64 = 1;
const WRITTEN: u64 = 2;
/// How long a port counts as held by a process that is not a child beside this one, without another search: each
/// request to a test's own server would read the system's tables (50 µs).
const KNOWN: Duration = Duration::from_secs(1);

/// Folders of the kernel's, and those where tools keep what they remember: no test's outcome lies there.
const SYSTEM: [&[u8]; 3] = [b"/proc/", b"/dev/", b"/sys/"];
const TOOLS: [&[u8]; 7] =
    [b"__pycache__", b".pytest_cache", b".hypothesis", b".mypy_cache", b".ruff_cache", b".tox", b".git"];

/// A disk in memory lies among the kernel's.
const MEMORY: &[u8] = b"/dev/shm/";

static JOINED: AtomicBool = AtomicBool::new(false);
static CHILD: Mutex<Option<Child>> = Mutex::new(None);

/// The kind of a collision, for the message of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollisionKind {
    Bind = 1,
    Connect = 2,
    Path = 3,
}

struct Child {
    page: &'static [AtomicU64],
    board: Board,
    slot: usize,
    since: Since,
    /// The paths that this child touched, by hash.
    touched: HashMap<u64, OsString>,
    strangers: HashMap<u64, Instant>,
}

pub fn is_joined() -> bool {
    JOINED.load(Ordering::Relaxed)
}

/// This process is the child of a slot from now on. One that was the child of a slot before (a fork of a fork) is no more.
pub fn join(page: i32, board: i32, slot: usize, item: u32) -> std::io::Result<()> {
    if slot >= SLOTS {
        return Ok(());
    }
    let board = Board::open(board)?;
    let memory = board::map(page, PAGE)?;
    // SAFETY: the mapping has that many bytes, is aligned, lives for ever, and is accessed by atomics alone.
    let page = unsafe { std::slice::from_raw_parts(memory.cast_const(), PAGE / 8) };
    let since = board.begin(slot, item);
    let child = Child { page, board, slot, since, touched: HashMap::new(), strangers: HashMap::new() };
    *CHILD.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    JOINED.store(true, Ordering::SeqCst);
    Ok(())
}

/// This child has run its items.
pub fn leave() {
    with(|child| child.board.leave(child.slot));
}

fn with<T>(action: impl FnOnce(&mut Child) -> T) -> Option<T> {
    if !is_joined() {
        return None;
    }
    // Held by another thread of this process only without an interpreter lock: then one event is not compared.
    CHILD.try_lock().ok()?.as_mut().map(action)
}

/// A socket is about to get this address. Whether a child that lives beside this one has it.
pub fn binds(endpoint: Endpoint, shown: &OsStr, descriptor: i32) -> bool {
    with(|child| {
        let process = i32::try_from(std::process::id()).unwrap_or_default();
        let (key, address) = (endpoint.key(), endpoint.address);
        let inode = inode_of(descriptor);
        child.board.add_bind(Bind { key, address, slot: child.slot, process, descriptor, inode });
        let holder = child.holder(&endpoint, false);
        holder.map(|holder| child.publish(CollisionKind::Bind, holder, shown)).is_some()
    })
    .unwrap_or_default()
}

/// A socket is about to be connected to this address, which is one of this machine.
pub fn connects(endpoint: Endpoint, shown: &OsStr) -> bool {
    with(|child| {
        let holder = child.holder(&endpoint, true);
        holder.map(|holder| child.publish(CollisionKind::Connect, holder, shown)).is_some()
    })
    .unwrap_or_default()
}

/// An absolute, normal path is about to be read, listed or written.
pub fn touches(access: Access, path: &Path) {
    if !is_joined() || is_of_no_test(path) {
        return;
    }
    let own = if access == Access::List { hash_of_listing(path) } else { hash_of(path) };
    let writes = matches!(access, Access::Update | Access::Append | Access::Replace | Access::Change | Access::Move);
    let creates = writes && std::fs::symlink_metadata(path).is_err();
    with(|child| {
        if access != Access::Append {
            child.touched.entry(own).or_insert_with(|| path.as_os_str().to_owned());
        }
        if writes {
            child.board.add_write(child.slot, hash_of(path));
        }
    });
    if creates {
        alters_folder_of(path);
    }
}

/// The path is about to come, to go or to get another name.
pub fn alters_folder_of(path: &Path) {
    if let Some(folder) = path.parent().filter(|_| is_joined() && !is_of_no_test(path)) {
        with(|child| child.board.add_write(child.slot, hash_of_listing(folder)));
    }
}

/// A test failed. Notes whether it used a path that a child beside this one wrote.
pub fn find_path_collision() -> bool {
    with(|child| {
        let wrote = child.board.write_beside(child.slot, &child.since, |hash| child.touched.contains_key(&hash));
        let Some((hash, other)) = wrote else { return false };
        let path = child.touched.get(&hash).cloned().unwrap_or_default();
        child.publish(CollisionKind::Path, other, &path);
        true
    })
    .unwrap_or_default()
}

fn hash_of(path: &Path) -> u64 {
    endpoints::hash(b"path", path.as_os_str().as_bytes())
}

fn hash_of_listing(folder: &Path) -> u64 {
    endpoints::hash(b"list", folder.as_os_str().as_bytes())
}

fn is_of_no_test(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    SYSTEM.iter().any(|folder| bytes.starts_with(folder) && !bytes.starts_with(MEMORY))
        || bytes.ends_with(b".pyc")
        || bytes.split(|byte| *byte == b'/').any(|part| TOOLS.contains(&part))
}

fn inode_of(descriptor: i32) -> u64 {
    let link = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok();
    let text = link.as_ref().and_then(|link| link.to_str()).unwrap_or_default();
    text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok()).unwrap_or_default()
}

impl Child {
    /// The slot of the child that holds this, if one does, and this child has no part in it.
    fn holder(&mut self, endpoint: &Endpoint, connects: bool) -> Option<usize> {
        let beside = self.board.binds_beside(self.slot, &self.since);
        let noted = beside.iter().rev().find(|bind| endpoint.overlaps(bind) && endpoints::is_held(bind));
        if let Some(bind) = noted {
            return Some(bind.slot);
        }
        let is_known = self.strangers.get(&endpoint.key()).is_some_and(|since| since.elapsed() < KNOWN);
        if connects && is_known {
            return None;
        }
        self.holder_by_the_tables(endpoint, connects)
    }

    /// Finds sockets without an event: of a program that a test started, or of native code.
    fn holder_by_the_tables(&mut self, endpoint: &Endpoint, connects: bool) -> Option<usize> {
        let sockets = endpoints::sockets_on(endpoint, connects);
        if sockets.is_empty() {
            return None;
        }
        let others: Vec<(usize, i32)> = (0..SLOTS)
            .filter(|slot| *slot != self.slot)
            .filter_map(|slot| Some((slot, self.board.child(slot)?)))
            .collect();
        let own = self.board.child(self.slot);
        let has = |leader: i32, all: &[(i32, i32)]| {
            let mut members = all.iter().filter(|(_, group)| *group == leader);
            members.any(|(pid, _)| endpoints::has_open(&pid.to_string(), &sockets))
        };
        let all = if others.is_empty() || endpoints::has_open("self", &sockets) {
            Vec::new()
        } else {
            endpoints::processes()
        };
        let is_own = all.is_empty() || own.is_some_and(|leader| has(leader, &all));
        let holder = others.iter().find(|(_, leader)| !is_own && has(*leader, &all)).map(|(slot, _)| *slot);
        if holder.is_none() {
            self.strangers.insert(endpoint.key(), Instant::now());
        }
        holder
    }

    /// The first collision counts; of what comes later the first may be the cause.
    fn publish(&self, kind: CollisionKind, holder: usize, shown: &OsStr) {
        let word = |at: usize| self.page.get(at);
        let (Some(state), Some(item)) = (word(STATE), word(ITEM)) else { return };
        if state.compare_exchange(0, WRITING, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        let bytes = shown.as_bytes();
        let bytes = bytes.get(..MOST_TEXT).unwrap_or(bytes);
        let index = item.load(Ordering::SeqCst).to_ne_bytes();
        let index = u32::from_ne_bytes([index[0], index[1], index[2], index[3]]);
        let holder = self.board.last_item(holder);
        let header = [(KIND, kind as u64 | u64::from(index) << 32), (HOLDER, holder), (LENGTH, bytes.len() as u64)];
        let text = bytes.chunks(8).enumerate().map(|(at, part)| {
            let mut whole = [0_u8; 8];
            whole.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            (TEXT + at, u64::from_ne_bytes(whole))
        });
        for (at, value) in header.into_iter().chain(text) {
            if let Some(place) = word(at) {
                place.store(value, Ordering::SeqCst);
            }
        }
        state.store(WRITTEN, Ordering::SeqCst);
    }
}
