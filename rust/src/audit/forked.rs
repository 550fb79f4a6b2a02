//! Collects the rows of forked processes in memory that they share with the recording process since before the fork.
//!
//! A pipe or a file would be closed by programs that close every descriptor.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use nix::libc;

use crate::audit::rows::{Kind, Row};
use crate::filesystem::stat::FileStamp;

/// The size of the memory that is mapped at a fork; only written pages cost memory.
const LENGTH: usize = 1 << 20;
/// The offset of the number of bytes in use.
const USED: usize = 0;
const FIRST: usize = 8;
const ALIGNED: usize = 8;

static LEDGER: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
/// The process that records.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// How far it has read.
static READ: AtomicU64 = AtomicU64::new(FIRST as u64);

/// Makes this process the recording one, without rows of another.
pub fn start() {
    OWNER.store(process(), Ordering::SeqCst);
    forget();
}

/// Stops sharing. The mapping stays, since another thread may be writing to it.
pub fn forget() {
    LEDGER.store(std::ptr::null_mut(), Ordering::SeqCst);
    READ.store(FIRST as u64, Ordering::SeqCst);
}

/// Maps the memory before a fork. False where the system refuses it, so that no row will arrive.
pub fn share() -> bool {
    if !LEDGER.load(Ordering::SeqCst).is_null() {
        return true;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at a place that the system picks; nothing else is touched.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED {
        return false;
    }
    let ledger = place.cast::<u8>();
    number(ledger, USED).store(FIRST as u64, Ordering::SeqCst);
    LEDGER.store(ledger, Ordering::SeqCst);
    true
}

/// Appends a row in a process that was forked since; does nothing in the recording process.
pub fn append(owner: &OsStr, kind: Kind, subject: &OsStr, state: Option<FileStamp>) {
    let ledger = LEDGER.load(Ordering::SeqCst);
    if ledger.is_null() || process() == OWNER.load(Ordering::SeqCst) {
        return;
    }
    let bytes = encoded(owner, kind, subject, state);
    let room = (bytes.len() + 4).next_multiple_of(ALIGNED);
    let at = number(ledger, USED).fetch_add(room as u64, Ordering::SeqCst);
    let Ok(at) = usize::try_from(at) else { return };
    if at.saturating_add(room) > LENGTH {
        return;
    }
    // SAFETY: these bytes are this row's alone, and within the mapping; the length comes last and makes them valid.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), ledger.add(at + 4), bytes.len()) };
    length(ledger, at).store(u32::try_from(bytes.len()).unwrap_or_default(), Ordering::Release);
}

/// Takes the rows since the last call. A row that is still being written comes next time, with those after it.
pub fn take() -> Vec<Row> {
    let ledger = LEDGER.load(Ordering::SeqCst);
    if ledger.is_null() || process() != OWNER.load(Ordering::SeqCst) {
        return Vec::new();
    }
    let used = usize::try_from(number(ledger, USED).load(Ordering::SeqCst)).unwrap_or(LENGTH);
    let mut at = usize::try_from(READ.load(Ordering::SeqCst)).unwrap_or(LENGTH);
    let mut rows = Vec::new();
    while at < used.min(LENGTH) {
        let size = length(ledger, at).load(Ordering::Acquire) as usize;
        if size == 0 || at + 4 + size > LENGTH {
            break;
        }
        // SAFETY: written before its length was; within the mapping, by the check above.
        let bytes = unsafe { std::slice::from_raw_parts(ledger.add(at + 4), size) };
        rows.extend(decoded(bytes));
        at += (size + 4).next_multiple_of(ALIGNED);
    }
    READ.store(at as u64, Ordering::SeqCst);
    if at < used {
        rows.push(lost());
    }
    rows
}

/// There was more than is known: an input that is never as it was.
fn lost() -> Row {
    let state = FileStamp::default();
    let subject = OsString::from("what forked processes read");
    Row { owner: OsString::new(), kind: Kind::Read, subject, state: Some(state) }
}

fn encoded(owner: &OsStr, kind: Kind, subject: &OsStr, state: Option<FileStamp>) -> Vec<u8> {
    let mut bytes = vec![kind as u8, u8::from(state.is_some())];
    let FileStamp { mtime, ctime, size, inode, .. } = state.unwrap_or_default();
    bytes.extend(mtime.to_ne_bytes());
    bytes.extend(ctime.to_ne_bytes());
    bytes.extend(size.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes.extend((owner.len() as u64).to_ne_bytes());
    bytes.extend(owner.as_bytes());
    bytes.extend(subject.as_bytes());
    bytes
}

fn decoded(bytes: &[u8]) -> Option<Row> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (numbers, rest) = rest.split_at_checked(40)?;
    let number = |at: usize| -> Option<[u8; 8]> { numbers.get(at * 8..at * 8 + 8)?.try_into().ok() };
    let state = FileStamp::file(
        i64::from_ne_bytes(number(0)?),
        i64::from_ne_bytes(number(1)?),
        u64::from_ne_bytes(number(2)?),
        u64::from_ne_bytes(number(3)?),
        0,
    );
    let (owner, subject) = rest.split_at_checked(usize::try_from(u64::from_ne_bytes(number(4)?)).ok()?)?;
    Some(Row {
        owner: OsString::from_vec(owner.to_vec()),
        kind: *Kind::ALL.get(usize::from(*head.first()?))?,
        subject: OsString::from_vec(subject.to_vec()),
        state: (head.get(1) == Some(&1)).then_some(state),
    })
}

fn process() -> i32 {
    // SAFETY: it takes nothing and can't fail.
    unsafe { libc::getpid() }
}

#[expect(clippy::cast_ptr_alignment, reason = "a page is aligned, and so are the places in it")]
fn number<'a>(ledger: *mut u8, at: usize) -> &'a AtomicU64 {
    // SAFETY: within a mapping that is never undone, and written by atomic operations alone.
    unsafe { &*ledger.add(at).cast::<AtomicU64>() }
}

#[expect(clippy::cast_ptr_alignment, reason = "as above")]
fn length<'a>(ledger: *mut u8, at: usize) -> &'a AtomicU32 {
    // SAFETY: as above.
    unsafe { &*ledger.add(at).cast::<AtomicU32>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        let state = FileStamp::file(-1, 2, 3, u64::MAX, 0);
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            let state = (kind == Kind::Read).then_some(state);
            let bytes = encoded(OsStr::new("/a"), kind, OsStr::new("/b c"), state);
            let row = Row { owner: "/a".into(), kind, subject: "/b c".into(), state };
            assert_eq!(decoded(&bytes), Some(row));
            assert_eq!(decoded(&bytes[..20]), None);
        }
    }
}
