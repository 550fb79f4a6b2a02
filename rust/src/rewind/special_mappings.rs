//! Finds the mappings of a snapshot that need another treatment than the rest, by the flags in `/proc/self/smaps`.
//!
//! Only `smaps` has these flags, and formatting it takes 1 to 5 ms, so that only a snapshot reads it. What the engine
//! does not know how to restore makes it refuse the snapshot.

use nix::libc;

use crate::rewind::area::{Range, Table};
use crate::rewind::mappings::{self, Kind, Mapping};
use crate::rewind::proc_text::{self, Cursor};
use crate::rewind::refusal::{Reason, Refusal};

/// Reads the mappings of the process with their kinds.
pub fn read(buffer: &mut [u8], area: &Range, out: &mut Table<Mapping>) -> Result<(), Refusal> {
    let failed = |errno: i32| Refusal::new(Reason::ReadMappings, errno.into());
    let mut lines = Cursor::new(proc_text::read_file(c"/proc/self/smaps", buffer).map_err(failed)?);
    out.clear();
    let mut pending: Option<Mapping> = None;
    while let Some(line) = lines.line() {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            let mapping = pending.take().ok_or_else(|| failed(libc::EINVAL))?;
            let kind = kind_with_flags(&mapping, flags)?;
            mappings::push_outside(out, Mapping { kind, ..mapping }, area)?;
        } else if !line.first().is_some_and(u8::is_ascii_uppercase) {
            let (mapping, name) = mappings::parse_line(line).ok_or_else(|| failed(libc::EINVAL))?;
            if is_device(name) {
                return Err(Refusal::at(Reason::DeviceMapping, mapping.range.start));
            }
            pending = Some(mapping);
        }
    }
    Ok(())
}

/// Devices but those that are plain memory. Files in shared memory lie in a folder of `/dev`.
fn is_device(name: &[u8]) -> bool {
    let plain: [&[u8]; 4] = [b"/dev/zero", b"/dev/shm/", b"/dev/mqueue/", b"/dev/hugepages/"];
    name.starts_with(b"/dev/") && !plain.iter().any(|prefix| name.starts_with(prefix))
}

/// The two letters of the flags are those of `show_smap_vma_flags` in the kernel's `fs/proc/task_mmu.c`.
fn kind_with_flags(mapping: &Mapping, flags: &[u8]) -> Result<Kind, Refusal> {
    let has = |name: &[u8; 2]| flags.split(|byte| *byte == b' ').any(|flag| flag == name);
    let special = Err(Refusal::at(Reason::SpecialMapping, mapping.range.start));
    // ss: a shadow stack, which a jump to another stack frame would contradict.
    if has(b"ss") {
        return special;
    }
    if mapping.kind != Kind::Private {
        return Ok(mapping.kind);
    }
    // io, pf: memory of a device. ht: huge pages. dc: the snapshot process would not have it. um, uw, ui: another
    // userfaultfd has registered it. mt: memory tags, which are not copied with a page.
    let refused: [&[u8; 2]; 8] = [b"io", b"pf", b"ht", b"dc", b"um", b"uw", b"ui", b"mt"];
    if refused.iter().any(|flag| has(flag)) {
        return special;
    }
    // wf: MADV_WIPEONFORK. dp: MAP_DROPPABLE, which the generator of random numbers in glibc 2.41 uses.
    Ok(if has(b"wf") || has(b"dp") { Kind::Wiped } else { Kind::Private })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(flags: &str) -> Option<Kind> {
        let (mapping, _name) = mappings::parse_line(b"1000-2000 rw-p 00000000 00:00 0 ").unwrap();
        kind_with_flags(&mapping, flags.as_bytes()).ok()
    }

    #[test]
    fn flags_decide_the_kind() {
        assert_eq!(kind(" rd wr mr mw me ac sd "), Some(Kind::Private));
        assert_eq!(kind(" rd wr mr mw me nr wf dd dp "), Some(Kind::Wiped));
        for refused in ["ss", "io", "pf", "ht", "dc", "uw", "mt"] {
            assert_eq!(kind(&format!(" rd wr {refused} ")), None, "{refused}");
        }
    }

    #[test]
    fn devices() {
        assert!(is_device(b"/dev/nvidia0"));
        assert!(!is_device(b"/dev/zero (deleted)"));
        assert!(!is_device(b"/dev/shm/x"));
        assert!(!is_device(b"/lib/dev/x"));
    }
}
