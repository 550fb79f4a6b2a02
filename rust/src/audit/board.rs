//! Shared memory of one run: the ports that its children bound and the paths that they wrote, in order.
//!
//! The board holds two ring buffers of atomics. A child appends before it acts, then reads what the others appended:
//! of two children that collide, at least one sees the other. Nothing is ever removed. A reader drops entries that
//! were overwritten while it read them, and entries of children that did not live beside its own.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use nix::libc;

/// Numbers of 8 bytes: the heads of both rings, then for each slot its child, where that began, and its first item.
const HEADER: usize = 2 + WORDS_OF_SLOT * SLOTS;
const WORDS_OF_SLOT: usize = 4;
/// Beside a process id: this child has done with its items, and waits for others.
const LEFT: u64 = 1 << 32;
/// Slots beyond that are not compared: no machine had more processors than that.
pub const SLOTS: usize = 512;
/// A port that was bound this many binds ago, all by children of this run, is forgotten.
const BINDS: usize = 1024;
const BIND_WORDS: usize = 6;
/// Likewise of paths. The ring takes 2 MB when it is full, and what it has used until then.
const WRITES: usize = 1 << 17;
const WRITE_WORDS: usize = 2;
const SLOT_BITS: u32 = 16;

/// How large the file must be.
pub const BYTES: usize = (HEADER + BINDS * BIND_WORDS + WRITES * WRITE_WORDS) * 8;

/// A socket that was given an address, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// Protocol and port, or the hash of a path.
    pub key: u64,
    /// As `endpoints::Address` encodes it.
    pub address: u64,
    pub slot: usize,
    pub process: i32,
    pub descriptor: i32,
    pub inode: u64,
}

/// For one child the index in each slot from which on entries are those of a child that lived beside it.
pub struct Since {
    binds: Vec<u64>,
    writes: Vec<u64>,
}

pub struct Board {
    words: &'static [AtomicU64],
}

impl Board {
    /// Maps the file. The mapping is never undone: it is shared with forks, and a test may close the descriptor.
    pub fn open(descriptor: i32) -> std::io::Result<Self> {
        let page = map(descriptor, BYTES)?;
        // SAFETY: the mapping has that many bytes, is aligned to a page, lives for ever, and is accessed by atomics alone.
        let words = unsafe { std::slice::from_raw_parts(page.cast_const(), BYTES / 8) };
        Ok(Self { words })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        self.words.get(at).unwrap_or(&NOWHERE)
    }

    fn of_slot(&self, slot: usize, what: usize) -> &AtomicU64 {
        self.word(2 + WORDS_OF_SLOT * slot.min(SLOTS - 1) + what)
    }

    fn binds_head(&self) -> u64 {
        self.word(0).load(Ordering::SeqCst)
    }

    fn writes_head(&self) -> u64 {
        self.word(1).load(Ordering::SeqCst)
    }

    /// This process is the slot's child from now on; `item` is the first of those that it runs.
    pub fn begin(&self, slot: usize, item: u32) -> Since {
        // The heads first: a child that begins after this is seen with all that it does.
        let (binds, writes) = (self.binds_head(), self.writes_head());
        let living: Vec<bool> = (0..SLOTS).map(|other| other != slot && self.child(other).is_some()).collect();
        let began = |what: usize, head: u64| {
            let of = |(other, lives): (usize, &bool)| {
                if *lives { self.of_slot(other, what).load(Ordering::SeqCst) } else { head }
            };
            living.iter().enumerate().map(of).collect()
        };
        let since = Since { binds: began(1, binds), writes: began(2, writes) };
        self.of_slot(slot, 1).store(binds, Ordering::SeqCst);
        self.of_slot(slot, 2).store(writes, Ordering::SeqCst);
        self.of_slot(slot, 3).store(u64::from(item) + 1, Ordering::SeqCst);
        self.of_slot(slot, 0).store(u64::from(std::process::id()), Ordering::SeqCst);
        since
    }

    /// The slot's child has done with its items; nobody lives beside it until it begins again.
    pub fn leave(&self, slot: usize) {
        self.of_slot(slot, 0).fetch_or(LEFT, Ordering::SeqCst);
    }

    /// The process id of a slot's child, if it lives.
    pub fn child(&self, slot: usize) -> Option<i32> {
        let pid = i32::try_from(self.of_slot(slot, 0).load(Ordering::SeqCst)).ok().filter(|pid| *pid > 0)?;
        // SAFETY: signal 0 is sent to nobody; the call only says whether the process exists.
        (unsafe { libc::kill(pid, 0) } == 0).then_some(pid)
    }

    /// One more than the first item of a slot's child, or of its last one; 0 where there was none.
    pub fn last_item(&self, slot: usize) -> u64 {
        self.of_slot(slot, 3).load(Ordering::SeqCst)
    }

    pub fn add_bind(&self, bind: Bind) {
        let sequence = self.word(0).fetch_add(1, Ordering::SeqCst);
        let at = HEADER + position(sequence, BINDS) * BIND_WORDS;
        let slot = u64::try_from(bind.slot).unwrap_or_default();
        self.word(at).store(0, Ordering::SeqCst);
        let words = [bind.key, bind.address, slot, packed(bind.process, bind.descriptor), bind.inode];
        for (offset, value) in words.into_iter().enumerate() {
            self.word(at + 1 + offset).store(value, Ordering::SeqCst);
        }
        self.word(at).store(sequence + 1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The binds of children that lived beside the child of this slot, oldest first.
    pub fn binds_beside(&self, slot: usize, since: &Since) -> Vec<Bind> {
        let head = self.binds_head();
        let least = since.binds.iter().copied().min().unwrap_or(head);
        let first = least.max(head.saturating_sub(BINDS as u64));
        let is_beside = |(sequence, bind): &(u64, Bind)| {
            bind.slot != slot && since.binds.get(bind.slot).is_some_and(|began| began <= sequence)
        };
        let found = (first..head).filter_map(|sequence| Some((sequence, self.bind(sequence)?)));
        found.filter(is_beside).map(|(_, bind)| bind).collect()
    }

    fn bind(&self, sequence: u64) -> Option<Bind> {
        let at = HEADER + position(sequence, BINDS) * BIND_WORDS;
        let word = |offset: usize| self.word(at + offset).load(Ordering::SeqCst);
        let is_whole = || word(0) == sequence + 1;
        if !is_whole() {
            return None;
        }
        let (process, descriptor) = unpacked(word(4));
        let slot = usize::try_from(word(3)).ok()?;
        let bind = Bind { key: word(1), address: word(2), slot, process, descriptor, inode: word(5) };
        is_whole().then_some(bind)
    }

    pub fn add_write(&self, slot: usize, hash: u64) {
        let sequence = self.word(1).fetch_add(1, Ordering::SeqCst);
        let at = HEADER + BINDS * BIND_WORDS + position(sequence, WRITES) * WRITE_WORDS;
        self.word(at).store(0, Ordering::SeqCst);
        self.word(at + 1).store(hash, Ordering::SeqCst);
        self.word(at).store(stamp(sequence, slot), Ordering::SeqCst);
    }

    /// The first write by a child that lived beside the one of this slot, of those that `wanted` knows.
    pub fn write_beside(&self, slot: usize, since: &Since, wanted: impl Fn(u64) -> bool) -> Option<(u64, usize)> {
        let head = self.writes_head();
        let least = since.writes.iter().copied().min().unwrap_or(head);
        let first = least.max(head.saturating_sub(WRITES as u64));
        (first..head).find_map(|sequence| {
            let at = HEADER + BINDS * BIND_WORDS + position(sequence, WRITES) * WRITE_WORDS;
            let found = self.word(at).load(Ordering::SeqCst);
            let other = usize::try_from(found & ((1 << SLOT_BITS) - 1)).ok()?;
            let is_beside = other != slot && since.writes.get(other).is_some_and(|began| *began <= sequence);
            if !is_beside || found != stamp(sequence, other) {
                return None;
            }
            let hash = self.word(at + 1).load(Ordering::SeqCst);
            (self.word(at).load(Ordering::SeqCst) == found && wanted(hash)).then_some((hash, other))
        })
    }
}

/// Shared with every process that maps the same file. Never undone.
pub fn map(descriptor: i32, bytes: usize) -> std::io::Result<*mut AtomicU64> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place that the system picks; nothing else is touched.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, descriptor, 0) };
    if page == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    Ok(page.cast::<AtomicU64>())
}

fn position(sequence: u64, length: usize) -> usize {
    usize::try_from(sequence % length as u64).unwrap_or_default()
}

fn stamp(sequence: u64, slot: usize) -> u64 {
    (sequence + 1) << SLOT_BITS | (slot as u64 & ((1 << SLOT_BITS) - 1))
}

fn packed(process: i32, descriptor: i32) -> u64 {
    let [a, b, c, d] = process.to_ne_bytes();
    let [e, f, g, h] = descriptor.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

fn unpacked(word: u64) -> (i32, i32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn board() -> Board {
        // SAFETY: a new file without a name; the name is a C string.
        let file = unsafe { libc::memfd_create(c"board".as_ptr(), 0) };
        // SAFETY: our own descriptor.
        assert_eq!(unsafe { libc::ftruncate(file, BYTES.try_into().unwrap()) }, 0);
        Board::open(file).unwrap()
    }

    fn bind(slot: usize, key: u64) -> Bind {
        Bind { key, address: 5, slot, process: 7, descriptor: 3, inode: 1 << 40 }
    }

    #[test]
    fn binds_of_others_that_live_are_found() {
        let board = board();
        board.add_bind(bind(1, 80));
        let since = board.begin(0, 0);
        assert_eq!(board.binds_beside(0, &since), [], "nobody lived in slot 1");
        board.add_bind(bind(0, 81));
        board.add_bind(bind(2, 82));
        assert_eq!(board.binds_beside(0, &since), [bind(2, 82)]);
    }

    #[test]
    fn a_child_that_lived_before_counts_from_its_beginning() {
        let board = board();
        board.add_write(1, 41);
        let _first = board.begin(1, 0);
        board.add_write(1, 42);
        let since = board.begin(0, 0);
        assert_eq!(board.write_beside(0, &since, |hash| hash == 41), None);
        assert_eq!(board.write_beside(0, &since, |hash| hash == 42), Some((42, 1)));
        board.add_write(0, 43);
        assert_eq!(board.write_beside(0, &since, |hash| hash == 43), None, "its own");
    }

    #[test]
    fn a_child_that_left_lives_beside_nobody() {
        let board = board();
        let _first = board.begin(1, 8);
        assert_eq!(board.child(1), i32::try_from(std::process::id()).ok());
        board.leave(1);
        assert_eq!(board.child(1), None);
        board.add_write(1, 41);
        let since = board.begin(0, 0);
        assert_eq!(board.write_beside(0, &since, |hash| hash == 41), None);
        assert_eq!((board.last_item(1), board.last_item(2)), (9, 0));
    }

    #[test]
    fn a_full_ring_forgets_the_oldest() {
        let board = board();
        let since = board.begin(0, 0);
        for key in 0..=BINDS as u64 {
            board.add_bind(bind(1, key));
        }
        let found = board.binds_beside(0, &since);
        assert_eq!((found.len(), found[0]), (BINDS, bind(1, 1)));
        for hash in 0..=WRITES as u64 {
            board.add_write(1, hash);
        }
        assert_eq!(board.write_beside(0, &since, |hash| hash == 0), None);
        assert_eq!(board.write_beside(0, &since, |_| true), Some((1, 1)));
    }
}
