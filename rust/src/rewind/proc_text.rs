//! Reads files of `/proc` into a fixed buffer, and numbers out of their text.

use std::ffi::CStr;

use nix::libc;

use crate::rewind::syscall::{self, Errno};

/// Reads a whole open file from its beginning. A file that fills the buffer is too long.
pub fn read_again(fd: i32, buffer: &mut [u8]) -> Result<&[u8], Errno> {
    syscall::rewind_file(fd)?;
    let mut length = 0;
    loop {
        let rest = buffer.get_mut(length..).unwrap_or(&mut []);
        if rest.is_empty() {
            return Err(libc::EFBIG);
        }
        match syscall::read(fd, rest)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// Opens, reads and closes a file.
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let fd = syscall::open(path, libc::O_RDONLY)?;
    let text = read_again(fd, buffer);
    syscall::close(fd);
    text
}

/// Takes numbers and words from the front of a text.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next line without its end; none at the end of the text.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
        let line = self.rest.get(..end)?;
        self.rest = self.rest.get(end + 1..).unwrap_or(&[]);
        Some(line)
    }

    /// Skips spaces and tabs.
    pub fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Skips one byte, which must be this one.
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                Some(())
            }
            _other => None,
        }
    }

    /// The next bytes up to a blank.
    pub fn word(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        word
    }

    pub fn decimal(&mut self) -> Option<usize> {
        self.number(10)
    }

    pub fn hexadecimal(&mut self) -> Option<usize> {
        self.number(16)
    }

    fn number(&mut self, base: usize) -> Option<usize> {
        let mut value: Option<usize> = None;
        while let [byte, rest @ ..] = self.rest {
            let digit = match byte {
                b'0'..=b'9' => usize::from(byte - b'0'),
                b'a'..=b'f' => usize::from(byte - b'a') + 10,
                _other => break,
            };
            if digit >= base {
                break;
            }
            value = Some(value.unwrap_or(0).checked_mul(base)?.checked_add(digit)?);
            self.rest = rest;
        }
        value
    }
}

/// The numbers that name entries of a folder in `/proc`: descriptors, threads. Others are skipped.
pub fn for_each_number<E: From<Errno>>(
    path: &CStr,
    buffer: &mut [u8],
    mut visit: impl FnMut(i32) -> Result<(), E>,
) -> Result<(), E> {
    let fd = syscall::open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let result = visit_entries(fd, buffer, &mut visit);
    syscall::close(fd);
    result
}

fn visit_entries<E: From<Errno>>(
    fd: i32,
    buffer: &mut [u8],
    visit: &mut impl FnMut(i32) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let arguments = [syscall::descriptor(fd), buffer.as_mut_ptr() as usize, buffer.len()];
        // SAFETY: pointer and length are those of one slice.
        let length = unsafe { syscall::call(libc::SYS_getdents64, arguments) }?;
        let mut entries = buffer.get(..length).unwrap_or(&[]);
        if entries.is_empty() {
            return Ok(());
        }
        while let Some((number, rest)) = next_entry(entries) {
            if let Some(number) = number.filter(|number| *number != fd) {
                visit(number)?;
            }
            entries = rest;
        }
    }
}

/// Of `struct linux_dirent64`: 16 bytes, the length of the entry (2 bytes), the type (1 byte), the name.
fn next_entry(entries: &[u8]) -> Option<(Option<i32>, &[u8])> {
    let length = usize::from(u16::from_le_bytes([*entries.get(16)?, *entries.get(17)?]));
    let mut name = Cursor::new(entries.get(19..length)?);
    let number = name.decimal().and_then(|number| i32::try_from(number).ok());
    Some((number, entries.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words() {
        let mut cursor = Cursor::new(b"7f00 \t12 word rest\nnext");
        assert_eq!(cursor.hexadecimal(), Some(0x7f00));
        cursor.skip_blanks();
        assert_eq!(cursor.decimal(), Some(12));
        assert_eq!(cursor.decimal(), None);
        cursor.skip_blanks();
        assert_eq!(cursor.word(), b"word");
        assert_eq!(cursor.line(), Some(&b" rest"[..]));
        assert_eq!(cursor.line(), Some(&b"next"[..]));
        assert_eq!(cursor.line(), None);
    }

    #[test]
    fn a_number_that_is_too_large_is_none() {
        assert_eq!(Cursor::new(b"fffffffffffffffff").hexadecimal(), None);
        assert_eq!(Cursor::new(b"ffffffffffffffff").hexadecimal(), Some(usize::MAX));
    }

    #[test]
    fn entries_of_this_process() {
        let mut found = Vec::new();
        let mut buffer = vec![0; 4096];
        for_each_number::<Errno>(c"/proc/self/fd", &mut buffer, |fd| {
            found.push(fd);
            Ok(())
        })
        .unwrap();
        assert!(found.contains(&1));
    }
}
