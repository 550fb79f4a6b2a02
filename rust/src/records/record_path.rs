//! The path of a record, which mirrors the path of its test file on any file system.
//!
//! Folders end in `.d` and records in `.json`, so that `a.py`, a folder `a.py` and our own names never meet. No two
//! test files share a path, even where case is ignored.

use std::fmt::Write;

use crate::records::record::Fingerprint;

/// Longer components end in a hash: with its suffix one stays below the 255 bytes of most file systems.
const LONGEST_COMPONENT: usize = 150;
const KEPT_OF_LONGER: usize = 100;
/// A mirrored path above this goes by its hash: `PATH_MAX` is 4096, or 1024, and counts the directory's own path.
const LONGEST_PATH: usize = 700;

/// The place of a test file's record below the directory, with "/". `file` is relative to the root, or absolute.
#[must_use]
pub fn record_path(file: &[u8]) -> String {
    if file.starts_with(b"/") {
        return hashed(file);
    }
    let mirrored = mirrored(file);
    if mirrored.len() > LONGEST_PATH {
        return hashed(file);
    }
    mirrored
}

fn mirrored(file: &[u8]) -> String {
    let mut parts: Vec<&[u8]> = file.split(|byte| *byte == b'/').collect();
    let name = parts.pop().unwrap_or_default();
    let mut result = String::from("tree/");
    for folder in parts {
        push_escaped(&mut result, folder);
        result.push_str(".d/");
    }
    push_escaped(&mut result, name);
    result.push_str(".json");
    result
}

fn hashed(file: &[u8]) -> String {
    format!("outside/{}.json", Fingerprint::of(file))
}

fn push_escaped(result: &mut String, component: &[u8]) {
    let start = result.len();
    let device = is_device(component);
    for (at, byte) in component.iter().enumerate() {
        let is_edge = (at == 0 && device) || (*byte == b'.' && (at == 0 || at + 1 == component.len()));
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' if !is_edge => result.push(char::from(*byte)),
            _other => {
                let _never_fails = write!(result, "%{byte:02x}");
            }
        }
    }
    if result.len() - start > LONGEST_COMPONENT {
        result.truncate(start + KEPT_OF_LONGER);
        // A percent sign before a hyphen is in no escaped name.
        let _never_fails = write!(result, "%-{}", Fingerprint::of(component));
    }
}

/// Names that Windows keeps for itself, whatever follows their first dot.
fn is_device(component: &[u8]) -> bool {
    let stem = component.split(|byte| *byte == b'.').next().unwrap_or_default();
    match stem {
        b"con" | b"prn" | b"aux" | b"nul" => true,
        [b'c', b'o', b'm', digit] | [b'l', b'p', b't', digit] => digit.is_ascii_digit(),
        _other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_mirror_the_tree() {
        assert_eq!(record_path(b"tests/unit/test_a.py"), "tree/tests.d/unit.d/test_a.py.json");
        assert_eq!(record_path(b"Test a.py"), "tree/%54est%20a.py.json");
        assert_eq!(record_path(b".hidden/a./\xff%"), "tree/%2ehidden.d/a%2e.d/%ff%25.json");
    }

    #[test]
    fn devices_are_no_names() {
        for (name, escaped) in [("con", "%63on"), ("nul.py", "%6eul.py"), ("com0.a.b", "%63om0.a.b")] {
            assert_eq!(record_path(name.as_bytes()), format!("tree/{escaped}.json"));
        }
        assert_eq!(record_path(b"console/com10.py"), "tree/console.d/com10.py.json");
    }

    #[test]
    fn long_names_end_in_a_hash() {
        let long = [b'a'; 200];
        let hash = Fingerprint::of(&long);
        assert_eq!(record_path(&long), format!("tree/{}%-{hash}.json", "a".repeat(100)));
        let deep = "abc/".repeat(200) + "x";
        assert_eq!(record_path(deep.as_bytes()), format!("outside/{}.json", Fingerprint::of(deep.as_bytes())));
    }
}
