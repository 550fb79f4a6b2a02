//! The lines of `/proc/self/status` that name what a process can't take back.
//!
//! One read of the file costs less than a system call for each: ids, groups, capabilities, seccomp filters.

use crate::rewind::proc_text::{self, Cursor};
use crate::rewind::refusal::{Reason, Refusal};

/// The lines that are compared, and what a difference means.
const COMPARED: [(&[u8], Reason); 13] = [
    (b"Uid:", Reason::Credentials),
    (b"Gid:", Reason::Credentials),
    (b"Groups:", Reason::Credentials),
    (b"THP_enabled:", Reason::Status),
    (b"CapInh:", Reason::Credentials),
    (b"CapPrm:", Reason::Credentials),
    (b"CapEff:", Reason::Credentials),
    (b"CapBnd:", Reason::Credentials),
    (b"CapAmb:", Reason::Credentials),
    (b"NoNewPrivs:", Reason::NoNewPrivileges),
    (b"Seccomp:", Reason::Seccomp),
    (b"Seccomp_filters:", Reason::Seccomp),
    (b"Speculation_", Reason::Status),
];
/// Some hundred bytes, and eleven for each supplementary group.
const RECORD_BYTES: usize = 16 << 10;

/// The compared lines, one after the other, in the order of the file.
pub struct StatusRecord {
    lines: [u8; RECORD_BYTES],
    length: usize,
    locked: usize,
}

/// The reason why a line is compared; none if it is not.
fn reason_of(line: &[u8]) -> Option<Reason> {
    COMPARED.iter().find(|(key, _reason)| line.starts_with(key)).map(|(_key, reason)| *reason)
}

/// Kibibytes of `VmLck:`.
fn locked_of(line: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(line.strip_prefix(b"VmLck:")?);
    cursor.skip_blanks();
    cursor.decimal()
}

fn read(buffer: &mut [u8]) -> Result<&[u8], Refusal> {
    proc_text::read_file(c"/proc/self/status", buffer).map_err(|errno| Refusal::new(Reason::ReadProc, errno.into()))
}

impl StatusRecord {
    pub fn record(&mut self, buffer: &mut [u8]) -> Result<(), Refusal> {
        self.record_text(read(buffer)?)
    }

    fn record_text(&mut self, text: &[u8]) -> Result<(), Refusal> {
        self.length = 0;
        self.locked = 0;
        let mut lines = Cursor::new(text);
        while let Some(line) = lines.line() {
            self.locked = locked_of(line).unwrap_or(self.locked);
            if reason_of(line).is_some() {
                self.push(line)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let end = self.length + line.len() + 1;
        let place = self.lines.get_mut(self.length..end).ok_or(Refusal::at(Reason::TooMany, RECORD_BYTES))?;
        if let Some((last, start)) = place.split_last_mut() {
            start.copy_from_slice(line);
            *last = b'\n';
        }
        self.length = end;
        Ok(())
    }

    /// Refuses where a line differs. Returns whether memory was locked that was not locked before.
    pub fn check(&self, buffer: &mut [u8]) -> Result<bool, Refusal> {
        self.check_text(read(buffer)?)
    }

    fn check_text(&self, text: &[u8]) -> Result<bool, Refusal> {
        let mut expected = Cursor::new(self.lines.get(..self.length).unwrap_or(&[]));
        let (mut lines, mut locked) = (Cursor::new(text), 0);
        while let Some(line) = lines.line() {
            locked = locked_of(line).unwrap_or(locked);
            if let Some(reason) = reason_of(line)
                && expected.line() != Some(line)
            {
                return Err(Refusal::new(reason, 0));
            }
        }
        if locked != self.locked && self.locked != 0 {
            return Err(Refusal::new(Reason::MemoryLock, 0));
        }
        Ok(locked != self.locked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "Name:\tx\nUid:\t1\t1\nGroups:\t4 5 \nVmLck:\t      0 kB\nThreads:\t1\nNoNewPrivs:\t0\nSeccomp_filters:\t1\n";

    fn recorded() -> StatusRecord {
        let mut record = StatusRecord { lines: [0; RECORD_BYTES], length: 0, locked: 0 };
        record.record_text(TEXT.as_bytes()).unwrap();
        record
    }

    #[test]
    fn an_equal_status_passes() {
        assert_eq!(recorded().check_text(TEXT.as_bytes()), Ok(false));
        assert_eq!(recorded().check_text(TEXT.replace("Threads:\t1", "Threads:\t9").as_bytes()), Ok(false));
    }

    #[test]
    fn a_difference_names_its_reason() {
        for (old, new, reason) in [
            ("Uid:\t1\t1", "Uid:\t1\t0", Reason::Credentials),
            ("4 5", "4", Reason::Credentials),
            ("NoNewPrivs:\t0", "NoNewPrivs:\t1", Reason::NoNewPrivileges),
            ("filters:\t1", "filters:\t2", Reason::Seccomp),
        ] {
            let refusal = recorded().check_text(TEXT.replace(old, new).as_bytes()).unwrap_err();
            assert_eq!(refusal.reason, reason);
        }
    }

    #[test]
    fn locked_memory_is_told() {
        assert_eq!(recorded().check_text(TEXT.replace("      0 kB", "64 kB").as_bytes()), Ok(true));
    }
}
