//! Strings of a record: bytes as the system has them.
//!
//! In JSON they look as `os.fsdecode` shows them, so a byte that is not text is a lone surrogate there.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A string of a record, as bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl Text {
    #[must_use]
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    #[must_use]
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.shown())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, since a string would have to be valid: lone surrogates come as their three bytes.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(without_surrogates(bytes)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text::from(text))
    }
}

/// U+DC80 to U+DCFF are the bytes that they stand for; any other lone surrogate becomes its escape, as text.
fn without_surrogates(bytes: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match rest {
            [0xed, 0xb2, low, tail @ ..] => {
                result.push(*low);
                rest = tail;
            }
            [0xed, 0xb3, low, tail @ ..] => {
                result.push(low.wrapping_add(0x40));
                rest = tail;
            }
            [0xed, middle @ 0xa0..=0xff, low, tail @ ..] => {
                let code = 0xd000 | (u32::from(middle & 0x3f) << 6) | u32::from(low & 0x3f);
                result.extend_from_slice(format!("\\u{code:x}").as_bytes());
                rest = tail;
            }
            _plain => {
                result.push(*first);
                rest = after;
            }
        }
    }
    result
}
