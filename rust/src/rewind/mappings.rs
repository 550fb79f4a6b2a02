//! The mappings of the process, from `/proc/self/maps` and by `PROCMAP_QUERY`.

use nix::libc;

use crate::rewind::area::{Range, Table};
use crate::rewind::proc_text::{self, Cursor};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno};

/// The highest address of user space that is looked at. 2^47 on x86-64, where `[vsyscall]` lies above; arm64 with 48
/// bits has no mapping above either.
pub const USER_END: usize = if cfg!(target_arch = "x86_64") { 1 << 47 } else { 1 << 48 };

/// What a rewind does with a mapping of the snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Restored.
    Private,
    /// Shared with other processes, as under a fork: left alone.
    Shared,
    /// Reads as zeros in a fork (`MADV_WIPEONFORK`, `MAP_DROPPABLE`): emptied, so that its owner sees a fork.
    Wiped,
    /// `[vdso]` and `[vvar]`: the kernel's.
    Kernel,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mapping {
    pub range: Range,
    pub kind: Kind,
    /// `PROT_READ`, `PROT_WRITE` and `PROT_EXEC`.
    pub protection: u8,
    pub offset: usize,
    /// Major number in the upper half, minor number in the lower.
    pub device: u64,
    /// 0: anonymous.
    pub inode: u64,
    /// Of a private mapping of the snapshot: number of private pages in front of it.
    pub first_page: usize,
}

impl Mapping {
    pub const fn is_anonymous(&self) -> bool {
        self.inode == 0
    }

    pub const fn is_readable(&self) -> bool {
        self.protection as i32 & libc::PROT_READ != 0
    }

    pub const fn is_read_write(&self) -> bool {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        self.protection as i32 & both == both
    }

    /// Whether the memory at an address is the same object in both: this file at this offset, or anonymous.
    pub const fn is_same_object(&self, other: &Self, address: usize) -> bool {
        (matches!(self.kind, Kind::Shared) == matches!(other.kind, Kind::Shared))
            && self.inode == other.inode
            && self.device == other.device
            && (self.inode == 0
                || self.offset.wrapping_add(address.wrapping_sub(self.range.start))
                    == other.offset.wrapping_add(address.wrapping_sub(other.range.start)))
    }
}

/// One line of `/proc/self/maps` and the name at its end. `7f00-8f00 rw-p 00000000 fe:01 1234   /lib/x.so`
pub fn parse_line(line: &[u8]) -> Option<(Mapping, &[u8])> {
    let mut cursor = Cursor::new(line);
    let start = cursor.hexadecimal()?;
    cursor.expect(b'-')?;
    let end = cursor.hexadecimal()?;
    cursor.expect(b' ')?;
    let flags = cursor.word();
    let bit = |index: usize, letter: u8, bit: i32| {
        if flags.get(index) == Some(&letter) { bit as u8 } else { 0 }
    };
    let protection = bit(0, b'r', libc::PROT_READ) | bit(1, b'w', libc::PROT_WRITE) | bit(2, b'x', libc::PROT_EXEC);
    cursor.expect(b' ')?;
    let offset = cursor.hexadecimal()?;
    cursor.expect(b' ')?;
    let major = cursor.hexadecimal()?;
    cursor.expect(b':')?;
    let device = (major as u64) << 32 | cursor.hexadecimal()? as u64;
    cursor.expect(b' ')?;
    let inode = cursor.decimal()? as u64;
    cursor.skip_blanks();
    let name = cursor.rest;
    let kind = match flags.get(3)? {
        _kernel if name.starts_with(b"[v") => Kind::Kernel,
        b's' => Kind::Shared,
        _private => Kind::Private,
    };
    Some((Mapping { range: Range::new(start, end), kind, protection, offset, device, inode, first_page: 0 }, name))
}

/// Adds a mapping without its part in the engine's area, with which the kernel may have merged it.
pub fn push_outside(out: &mut Table<Mapping>, mapping: Mapping, area: &Range) -> Result<(), Refusal> {
    let below = Range::new(mapping.range.start, mapping.range.end.min(area.start));
    let above = Range::new(mapping.range.start.max(area.end), mapping.range.end);
    for range in [below, above] {
        if !range.is_empty() && range.start < USER_END {
            let offset = mapping.offset.wrapping_add(range.start.wrapping_sub(mapping.range.start));
            out.push(Mapping { range, offset, ..mapping })?;
        }
    }
    Ok(())
}

/// Reads `/proc/self/maps`.
pub fn read_text(fd: i32, buffer: &mut [u8], area: &Range, out: &mut Table<Mapping>) -> Result<(), Refusal> {
    let text = proc_text::read_again(fd, buffer).map_err(failed)?;
    let mut lines = Cursor::new(text);
    out.clear();
    while let Some(line) = lines.line() {
        let (mapping, _name) = parse_line(line).ok_or_else(|| failed(libc::EINVAL))?;
        push_outside(out, mapping, area)?;
    }
    Ok(())
}

/// `struct procmap_query` of `linux/fs.h`, Linux 6.11.
#[derive(Clone, Copy)]
#[repr(C)]
struct Query {
    size: u64,
    query_flags: u64,
    address: u64,
    start: u64,
    end: u64,
    flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    major: u32,
    minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

syscall::plain!(Query);

/// `_IOWR('f', 17, struct procmap_query)`
const PROCMAP_QUERY: usize = 0xc000_0000 | size_of::<Query>() << 16 | (b'f' as usize) << 8 | 0x11;
/// `PROCMAP_QUERY_COVERING_OR_NEXT_VMA`
const COVERING_OR_NEXT: u64 = 0x10;
/// `PROCMAP_QUERY_VMA_SHARED`; the three bits below are those of a protection.
const SHARED: u64 = 0x08;

/// Asks for each mapping by itself, which formats no text.
fn read_queries(fd: i32, area: &Range, out: &mut Table<Mapping>) -> Result<(), Refusal> {
    out.clear();
    let mut query: Query = syscall::zeroed();
    query.size = size_of::<Query>() as u64;
    query.query_flags = COVERING_OR_NEXT;
    loop {
        let arguments = [syscall::descriptor(fd), PROCMAP_QUERY, syscall::pointer_mut(&mut query)];
        // SAFETY: the call reads and writes one structure, whose size it is told.
        match unsafe { syscall::call(libc::SYS_ioctl, arguments) } {
            Err(libc::ENOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
            Ok(_found) => {}
        }
        if query.start as usize >= USER_END {
            return Ok(());
        }
        let mapping = Mapping {
            range: Range::new(query.start as usize, query.end as usize),
            kind: if query.flags & SHARED == 0 { Kind::Private } else { Kind::Shared },
            protection: (query.flags & 7) as u8,
            offset: query.offset as usize,
            device: u64::from(query.major) << 32 | u64::from(query.minor),
            inode: query.inode,
            first_page: 0,
        };
        push_outside(out, mapping, area)?;
        query.address = query.end;
    }
}

/// Reads the mappings by the faster way that the kernel has. Those of the kernel are not marked.
pub fn read(fd: i32, buffer: &mut [u8], area: &Range, out: &mut Table<Mapping>) -> Result<(), Refusal> {
    match read_queries(fd, area, out) {
        Err(Refusal { reason: Reason::ReadMappings, .. }) => read_text(fd, buffer, area, out),
        other => other,
    }
}

fn failed(errno: Errno) -> Refusal {
    Refusal::new(Reason::ReadMappings, errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewind::area::{Area, PageSize};

    #[test]
    fn a_line_of_a_file() {
        let line = b"7f0000001000-7f0000003000 r-xp 00001000 fe:01 1234                       /lib/a b.so";
        let (mapping, name) = parse_line(line).unwrap();
        assert_eq!(mapping.range, Range::new(0x7f00_0000_1000, 0x7f00_0000_3000));
        assert_eq!((mapping.protection, mapping.offset, mapping.inode), (5, 0x1000, 1234));
        assert_eq!((mapping.kind, mapping.device), (Kind::Private, 0xfe << 32 | 1));
        assert_eq!(name, b"/lib/a b.so");
    }

    #[test]
    fn lines_without_a_name_and_of_the_kernel() {
        let (mapping, name) = parse_line(b"1000-2000 rw-s 00000000 00:01 9 ").unwrap();
        assert_eq!((mapping.kind, name), (Kind::Shared, &b""[..]));
        let (mapping, _name) = parse_line(b"1000-2000 r--p 00000000 00:00 0    [vvar]").unwrap();
        assert_eq!(mapping.kind, Kind::Kernel);
        assert!(parse_line(b"1000 2000 r--p").is_none());
        assert!(parse_line(b"").is_none());
    }

    #[test]
    fn both_ways_find_the_same() {
        let page = PageSize::from_bytes(4096).unwrap();
        let mut area = Area::reserve(8 << 20, page).unwrap();
        let mut text: Table<Mapping> = area.table(10_000).unwrap();
        let mut queries: Table<Mapping> = area.table(10_000).unwrap();
        let fd = syscall::open(c"/proc/self/maps", libc::O_RDONLY).unwrap();
        let mut buffer = vec![0; 4 << 20];
        // The allocator of another test may map memory in between.
        for _attempt in 0..100 {
            if read_queries(fd, &area.range, &mut queries).is_err() {
                return; // before Linux 6.11
            }
            read_text(fd, &mut buffer, &area.range, &mut text).unwrap();
            let plain = |table: &Table<Mapping>| {
                let unmarked = |mapping: &Mapping| (mapping.range, mapping.protection, mapping.inode, mapping.device);
                table.as_slice().iter().map(unmarked).collect::<Vec<_>>()
            };
            if plain(&text) == plain(&queries) {
                assert!(text.as_slice().iter().all(|mapping| mapping.range.intersection(&area.range).is_empty()));
                return;
            }
        }
        panic!("the two lists differ");
    }
}
