//! Decodes a Python source file as the interpreter would, and finds where its lines begin.

use std::borrow::Cow;

use crate::error::Rejected;

/// Files above this go to the interpreter's own parser (`docs/design/imports.md`).
pub const LARGEST_FILE: usize = 1 << 20;

/// Decodes by byte order mark and PEP 263 cookie. Encodings other than UTF-8, ASCII and Latin-1 are
/// rejected, not guessed: the interpreter's codecs know them all.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Rejected> {
    if bytes.len() > LARGEST_FILE {
        return Err(Rejected::TooLarge { size: bytes.len(), limit: LARGEST_FILE });
    }
    let (body, marked) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    let text = match cookie(body).map(|name| normalise(&name)).as_deref() {
        None | Some("utf-8") => utf8(body)?,
        Some(other) if marked => return Err(Rejected::Encoding(other.to_owned())),
        Some("ascii") if body.is_ascii() => utf8(body)?,
        Some("ascii") => return Err(Rejected::Undecodable("ASCII")),
        Some("iso-8859-1") => Cow::Owned(body.iter().copied().map(char::from).collect()),
        Some(other) => return Err(Rejected::Encoding(other.to_owned())),
    };
    if text.contains('\0') {
        return Err(Rejected::Undecodable("text: it contains a null byte"));
    }
    Ok(text)
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Rejected> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Rejected::Undecodable("UTF-8"))
}

/// The encoding named in the first two lines; the second counts only after a blank or comment line.
fn cookie(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n' || *byte == b'\r');
    let first = lines.next()?;
    if let Some(found) = cookie_of_line(first) {
        return Some(found);
    }
    let start = first.iter().find(|byte| !matches!(byte, b' ' | b'\t' | 0x0c));
    let mut second = lines.next()?;
    // "\r\n" splits into an empty piece between its two bytes.
    if bytes.get(first.len()) == Some(&b'\r') && bytes.get(first.len() + 1) == Some(&b'\n') {
        second = lines.next()?;
    }
    matches!(start, None | Some(b'#')).then(|| cookie_of_line(second)).flatten()
}

/// `^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)`, as in PEP 263.
fn cookie_of_line(line: &[u8]) -> Option<String> {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | 0x0c))?;
    if line[start] != b'#' {
        return None;
    }
    let key = b"coding";
    let mut from = start;
    while let Some(at) = line[from..].windows(key.len()).position(|window| window == key) {
        let rest = &line[from + at + key.len()..];
        if let [b':' | b'=', value @ ..] = rest {
            let name: Vec<u8> = value
                .iter()
                .copied()
                .skip_while(|byte| matches!(byte, b' ' | b'\t'))
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                .collect();
            if !name.is_empty() {
                return String::from_utf8(name).ok();
            }
        }
        from += at + key.len();
    }
    None
}

/// As the tokenizer's `get_normal_name`, with the aliases of the three encodings that are known here.
fn normalise(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let is = |wanted: &str| name == wanted || name.starts_with(&format!("{wanted}-"));
    if is("utf-8") || name == "utf8" {
        "utf-8".to_owned()
    } else if is("latin-1") || is("iso-8859-1") || is("iso-latin-1") || name == "latin1" {
        "iso-8859-1".to_owned()
    } else if name == "ascii" || name == "us-ascii" {
        "ascii".to_owned()
    } else {
        name
    }
}

/// Where each line begins, to turn the parser's byte offsets into line numbers.
pub struct Lines(Vec<u32>);

impl Lines {
    #[must_use]
    pub fn of(source: &str) -> Self {
        let bytes = source.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        Self(starts)
    }

    /// The line of a byte offset, counted from 1.
    #[must_use]
    pub fn line(&self, offset: u32) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_as_pep_263_says() {
        assert_eq!(decode(b"# -*- coding: latin-1 -*-\ns='\xe9'").unwrap(), "# -*- coding: latin-1 -*-\ns='\u{e9}'");
        assert_eq!(decode(b"#!/bin/x\r\n# vim: fileencoding=latin_1\r\n#\xe9").unwrap().chars().last(), Some('\u{e9}'));
        assert_eq!(decode(b"x=1\n# coding: latin-1\n#\xe9"), Err(Rejected::Undecodable("UTF-8")));
        assert_eq!(decode(b"\n# coding=koi8-r\n"), Err(Rejected::Encoding("koi8-r".into())));
        assert_eq!(decode(b"# coding: ascii\n#\xc3\xa9"), Err(Rejected::Undecodable("ASCII")));
        assert_eq!(decode(b"# encoding and decoding\nx"), Ok("# encoding and decoding\nx".into()));
    }

    #[test]
    fn a_mark_is_dropped_and_holds_against_another_cookie() {
        assert_eq!(decode(b"\xef\xbb\xbfimport a").unwrap(), "import a");
        assert_eq!(decode(b"\xef\xbb\xbf# coding: latin-1\n"), Err(Rejected::Encoding("iso-8859-1".into())));
    }

    #[test]
    fn null_bytes_and_large_files_are_rejected() {
        assert!(decode(b"x\0").is_err());
        let large = vec![b'#'; LARGEST_FILE + 1];
        assert_eq!(decode(&large), Err(Rejected::TooLarge { size: LARGEST_FILE + 1, limit: LARGEST_FILE }));
    }

    #[test]
    fn lines_end_in_any_of_three_ways() {
        let lines = Lines::of("a\nb\r\nc\rd");
        assert_eq!([0, 2, 5, 7].map(|at| lines.line(at)), [1, 2, 3, 4]);
    }
}
