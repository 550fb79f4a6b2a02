//! Writes compact JSON, member by member, in the order of the calls.

use std::io::Write;

use crate::records::text::Text;

/// Compact JSON, in the order of the calls.
#[derive(Default)]
pub struct Json(Vec<u8>);

impl Json {
    /// The bytes written so far.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Writes a string; bytes that are not text become lone surrogates.
    pub fn text(&mut self, text: &Text) {
        self.0.push(b'"');
        for chunk in text.0.utf8_chunks() {
            for byte in chunk.valid().bytes() {
                match byte {
                    b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                    0..=0x1f => self.escape(byte, "00"),
                    _plain => self.0.push(byte),
                }
            }
            chunk.invalid().iter().for_each(|byte| self.escape(*byte, "dc"));
        }
        self.0.push(b'"');
    }

    fn escape(&mut self, byte: u8, page: &str) {
        let _never_fails = write!(self.0, "\\u{page}{byte:02x}");
    }

    pub(crate) fn number(&mut self, number: f64) {
        let _never_fails = write!(self.0, "{number}");
    }

    pub(crate) fn optional<T>(&mut self, value: Option<&T>, write: impl Fn(&mut Self, &T)) {
        match value {
            Some(value) => write(self, value),
            None => self.raw("null"),
        }
    }

    pub(crate) fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.enclosed('[', items, write, ']');
    }

    /// As `list`, with braces.
    pub(crate) fn object<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.enclosed('{', items, write, '}');
    }

    fn enclosed<T>(&mut self, open: char, items: &[T], write: impl Fn(&mut Self, &T), close: char) {
        self.raw(open.encode_utf8(&mut [0; 4]));
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw(close.encode_utf8(&mut [0; 4]));
    }

    /// The name of a member, with what stands before and after it.
    pub(crate) fn key(&mut self, name: &str) {
        let comma = if self.0.last() == Some(&b'{') { "" } else { "," };
        let _never_fails = write!(self.0, "{comma}\"{name}\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(json: &str) -> (Text, String) {
        let text: Text = serde_json::from_str(json).unwrap();
        let mut out = Json::default();
        out.text(&text);
        (text, String::from_utf8(out.done()).unwrap())
    }

    #[test]
    fn odd_bytes_are_what_python_shows_of_them() {
        let (text, json) = round_trip(r#""a\udcff\udc80\udcbf\udcc0""#);
        assert_eq!(text.0, b"a\xff\x80\xbf\xc0");
        assert_eq!(json, r#""a\udcff\udc80\udcbf\udcc0""#);
        assert_eq!(round_trip(r#""\ud800x""#).1, r#""\\ud800x""#);
    }

    #[test]
    fn text_is_written_plainly() {
        assert_eq!(round_trip(r#""\ud83d\ude00 \u00e9\n\"\\""#).1, "\"😀 é\\u000a\\\"\\\\\"");
    }
}
