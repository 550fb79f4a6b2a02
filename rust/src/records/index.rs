//! The index: the table of all records in one file, so that only records that changed are read.
//!
//! The index is derived and valid on one machine only. An index with any fault is ignored. A file holds a magic
//! number, a checksum, then texts, statuses, dependencies and entries; all numbers are little-endian. Only texts and
//! dependencies that entries use are written, so the index does not grow.

use rustc_hash::FxHashMap;

use crate::filesystem::stat::FileStamp;
use crate::records::functions::Bits;
use crate::records::record::Fingerprint;
use crate::records::table::{Cached, Dependency, Entry, Ran, Subject, Table, TextId};

/// To be raised whenever the form, or the meaning of a fingerprint, changes.
const MAGIC: &[u8; 16] = b"hotreload-idx-5\n";
const NONE: u32 = u32::MAX;
const NO_FINGERPRINT: u8 = 0x80;

/// Numbers of what is written, in the order of its first use.
#[derive(Default)]
struct Numbers {
    order: Vec<u32>,
    by_id: FxHashMap<u32, u32>,
}

impl Numbers {
    fn of(&mut self, id: u32) -> u32 {
        *self.by_id.entry(id).or_insert_with(|| {
            self.order.push(id);
            u32::try_from(self.order.len() - 1).unwrap_or(NONE)
        })
    }
}

/// The bytes of a table. `used`: texts that no entry names, whose statuses are kept nevertheless.
#[must_use]
pub fn encode(table: &Table, used: impl Fn(TextId) -> bool) -> Vec<u8> {
    let (mut texts, mut dependencies) = (Numbers::default(), Numbers::default());
    let mut files: Vec<(&TextId, &Entry)> = table.entries.iter().collect();
    files.sort_unstable_by_key(|(file, _)| table.text(**file));
    let mut entries = Vec::new();
    for (file, entry) in files {
        put_entry(&mut entries, texts.of(*file), entry, &mut texts, &mut dependencies);
    }
    let mut rows = Vec::new();
    for id in &dependencies.order {
        let Some(one) = table.dependency(*id) else { continue };
        rows.push(one.subject as u8 | if one.fingerprint.is_none() { NO_FINGERPRINT } else { 0 });
        put(&mut rows, texts.of(one.name));
        rows.extend(one.fingerprint.map_or([0; 16], |fingerprint| fingerprint.0));
    }
    let statuses = statuses(table, &mut texts, used);
    let mut body = Vec::new();
    put_texts(&mut body, table, &texts.order);
    for (count, bytes) in [(statuses.0, statuses.1), (dependencies.order.len(), rows), (table.entries.len(), entries)] {
        put(&mut body, u32::try_from(count).unwrap_or(NONE));
        body.extend(bytes);
    }
    [MAGIC.as_slice(), blake3::hash(&body).as_bytes(), &body].concat()
}

fn put(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

fn put_stamp(out: &mut Vec<u8>, stamp: &FileStamp) {
    let FileStamp { mtime, ctime, size, inode, device, .. } = *stamp;
    out.extend([mtime, ctime].map(i64::to_le_bytes).as_flattened());
    out.extend([size, inode, device].map(u64::to_le_bytes).as_flattened());
}

fn put_entry(out: &mut Vec<u8>, file: u32, entry: &Entry, texts: &mut Numbers, dependencies: &mut Numbers) {
    put(out, file);
    put_stamp(out, &entry.stamp);
    put(out, texts.of(entry.epoch));
    out.push(u8::from(entry.is_clean));
    put(out, entry.unsettled.map_or(NONE, |id| texts.of(id)));
    put_ids(out, &entry.dependencies, dependencies);
    put_ids(out, &entry.confirmed, dependencies);
    put_ids(out, &entry.ports, texts);
    put_ids(out, &entry.writes, texts);
    put(out, u32::try_from(entry.divided.len()).unwrap_or(NONE));
    for one in &entry.divided {
        put(out, dependencies.of(one.dependency));
        put_bytes(out, &one.ran.0);
        put_bytes(out, &one.before.0);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, u32::try_from(bytes.len()).unwrap_or(NONE));
    out.extend(bytes);
}

fn put_ids(out: &mut Vec<u8>, ids: &[u32], numbers: &mut Numbers) {
    put(out, u32::try_from(ids.len()).unwrap_or(NONE));
    for id in ids {
        put(out, numbers.of(*id));
    }
}

/// The statuses of texts that are written anyway, and of those that `used` names: files below a declared pattern.
fn statuses(table: &Table, texts: &mut Numbers, used: impl Fn(TextId) -> bool) -> (usize, Vec<u8>) {
    let mut cached: Vec<(&TextId, &Cached)> =
        table.cached.iter().filter(|(id, _)| texts.by_id.contains_key(id) || used(**id)).collect();
    cached.sort_unstable_by_key(|(id, _)| table.text(**id));
    let mut out = Vec::with_capacity(cached.len() * 60);
    for (id, Cached { stat, fingerprint }) in &cached {
        put(&mut out, texts.of(**id));
        put_stamp(&mut out, stat);
        out.extend(fingerprint.0);
    }
    (cached.len(), out)
}

fn put_texts(out: &mut Vec<u8>, table: &Table, order: &[TextId]) {
    put(out, u32::try_from(order.len()).unwrap_or(NONE));
    for id in order {
        let text = table.text(*id);
        put(out, u32::try_from(text.len()).unwrap_or(NONE));
        out.extend(text);
    }
}

/// Reads the bytes that are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// The stamp of a regular file.
    fn stamp(&mut self) -> Option<FileStamp> {
        Some(FileStamp::file(self.i64()?, self.i64()?, self.u64()?, self.u64()?, self.u64()?))
    }

    /// A count, of rows that are at least so long: a wrong one must not reserve memory.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(least)? <= self.0.len()).then_some(count)
    }

    fn below(&mut self, limit: usize) -> Option<u32> {
        self.u32().filter(|number| (*number as usize) < limit)
    }
}

/// None if it is not one.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Table> {
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(blake3::OUT_LEN)?;
    if blake3::hash(body).as_bytes() != sum {
        return None;
    }
    let mut reader = Reader(body);
    let mut table = Table::default();
    read_texts(&mut reader, &mut table)?;
    read_statuses(&mut reader, &mut table)?;
    read_dependencies(&mut reader, &mut table)?;
    read_entries(&mut reader, &mut table)?;
    reader.0.is_empty().then_some(table)
}

fn read_texts(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    let count = reader.count(4)?;
    table.texts.reserve(count);
    for _ in 0..count {
        let length = reader.count(1)?;
        table.texts.insert(reader.take(length)?.into());
    }
    // A text that is there twice would shift the numbers of those after it.
    (table.texts.len() == count).then_some(())
}

fn read_statuses(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    let count = reader.count(60)?;
    table.cached.reserve(count);
    for _ in 0..count {
        let id = reader.below(table.texts.len())?;
        let stat = reader.stamp()?;
        table.cached.insert(id, Cached { stat, fingerprint: Fingerprint(reader.array()?) });
    }
    Some(())
}

fn read_dependencies(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    let count = reader.count(21)?;
    table.dependencies.reserve(count);
    for _ in 0..count {
        let [kind] = reader.array()?;
        let subject = *Subject::ALL.get(usize::from(kind & !NO_FINGERPRINT))?;
        let name = reader.below(table.texts.len())?;
        let fingerprint = Fingerprint(reader.array()?);
        let fingerprint = (kind & NO_FINGERPRINT == 0).then_some(fingerprint);
        table.dependencies.insert(Dependency { subject, name, fingerprint });
    }
    (table.dependencies.len() == count).then_some(())
}

fn read_entries(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    let count = reader.count(73)?;
    table.entries.reserve(count);
    for _ in 0..count {
        let file = reader.below(table.texts.len())?;
        let entry = Entry {
            stamp: reader.stamp()?,
            epoch: reader.below(table.texts.len())?,
            is_clean: reader.array::<1>()? == [1],
            unsettled: match reader.u32()? {
                NONE => None,
                id => Some(id).filter(|id| (*id as usize) < table.texts.len()).map(Some)?,
            },
            dependencies: read_ids(reader, table.dependencies.len())?,
            confirmed: read_ids(reader, table.dependencies.len())?,
            ports: read_ids(reader, table.texts.len())?,
            writes: read_ids(reader, table.texts.len())?,
            divided: read_divided(reader, table.dependencies.len())?,
        };
        table.entries.insert(file, entry);
    }
    Some(())
}

fn read_divided(reader: &mut Reader<'_>, limit: usize) -> Option<Box<[Ran]>> {
    let count = reader.count(12)?;
    let one = |_: usize| {
        let dependency = reader.below(limit)?;
        Some(Ran { dependency, ran: read_bits(reader)?, before: read_bits(reader)? })
    };
    (0..count).map(one).collect()
}

fn read_bits(reader: &mut Reader<'_>) -> Option<Bits> {
    let count = reader.count(1)?;
    Some(Bits(reader.take(count)?.into()))
}

fn read_ids(reader: &mut Reader<'_>, limit: usize) -> Option<Box<[u32]>> {
    let count = reader.count(4)?;
    (0..count).map(|_| reader.below(limit)).collect()
}
