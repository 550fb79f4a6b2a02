//! The changes that make the mappings of now those of the snapshot again.

use nix::libc;

use crate::rewind::area::{PageSize, Range, Table};
use crate::rewind::mappings::{Kind, Mapping};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    Unmap,
    /// Anonymous memory, empty.
    Map,
    Protect,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    pub operation: Operation,
    pub range: Range,
    pub protection: u8,
}

/// Walks over two sorted lists of ranges and visits each stretch of addresses that lies in one of both, with the indexes
/// of the ranges that cover it.
pub fn walk<A, B>(
    (left, range_of_left): (&[A], impl Fn(&A) -> Range),
    (right, range_of_right): (&[B], impl Fn(&B) -> Range),
    mut visit: impl FnMut(Range, Option<&A>, Option<&B>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut left, mut right, mut position) = (left.iter().peekable(), right.iter().peekable(), 0);
    loop {
        while left.next_if(|one| range_of_left(one).end <= position).is_some() {}
        while right.next_if(|one| range_of_right(one).end <= position).is_some() {}
        let (next_left, next_right) = (left.peek().copied(), right.peek().copied());
        let (from_left, from_right) = (next_left.map(&range_of_left), next_right.map(&range_of_right));
        let here = |range: &Range| range.start <= position;
        // Where this stretch ends: at the end of a range that covers it, or before the next one.
        let border =
            |range: Option<Range>| range.map_or(usize::MAX, |range| if here(&range) { range.end } else { range.start });
        let end = border(from_left).min(border(from_right));
        if end == usize::MAX {
            return Ok(());
        }
        let covers_left = next_left.filter(|_one| from_left.as_ref().is_some_and(here));
        let covers_right = next_right.filter(|_one| from_right.as_ref().is_some_and(here));
        if covers_left.is_some() || covers_right.is_some() {
            visit(Range::new(position, end), covers_left, covers_right)?;
        }
        position = end;
    }
}

/// Finds the changes, in order of address. Mappings of files that are gone can't be made again.
pub fn plan(then: &[Mapping], now: &[Mapping], out: &mut Table<Change>) -> Result<(), Refusal> {
    out.clear();
    let range_of = |mapping: &Mapping| mapping.range;
    walk((then, range_of), (now, range_of), |range, before, after| compare(range, before, after, out))
}

fn compare(
    range: Range,
    before: Option<&Mapping>,
    after: Option<&Mapping>,
    out: &mut Table<Change>,
) -> Result<(), Refusal> {
    let mut change = |operation, protection| out.push(Change { operation, range, protection });
    match (before, after) {
        (None, None) => Ok(()),
        (None, Some(_new)) => change(Operation::Unmap, 0),
        (Some(old), None) => {
            require_restorable(old, range)?;
            change(Operation::Map, old.protection)
        }
        (Some(old), Some(_same)) if old.kind == Kind::Kernel => Ok(()),
        (Some(old), Some(new)) if !old.is_same_object(new, range.start) => {
            require_restorable(old, range)?;
            change(Operation::Unmap, 0)?;
            change(Operation::Map, old.protection)
        }
        (Some(old), Some(new)) if old.protection != new.protection => change(Operation::Protect, old.protection),
        (Some(_old), Some(_equal)) => Ok(()),
    }
}

fn require_restorable(old: &Mapping, range: Range) -> Result<(), Refusal> {
    match old.kind {
        Kind::Private if old.is_anonymous() => Ok(()),
        _other => Err(Refusal::at(Reason::Mapping, range.start)),
    }
}

/// Carries out the plan. `heap_end` is the program break of the snapshot.
///
/// A heap that shrank grows by the break, so that it stays one mapping; what lies in its way is unmapped before.
pub fn apply(changes: &[Change], heap_end: usize, page: PageSize) -> Result<(), Errno> {
    let heap_now = program_break(0);
    if heap_now > heap_end {
        move_break(heap_end)?;
    }
    for change in changes.iter().filter(|change| change.operation == Operation::Unmap) {
        make(change)?;
    }
    let mut grown = Range::default();
    if heap_now < heap_end {
        move_break(heap_end)?;
        grown = Range::new(page.round_up(heap_now), page.round_up(heap_end));
    }
    for change in changes.iter().filter(|change| change.operation != Operation::Unmap) {
        let is_made = change.operation == Operation::Map && change.range.intersection(&grown) == change.range;
        if !is_made {
            make(change)?;
        }
    }
    Ok(())
}

fn move_break(end: usize) -> Result<(), Errno> {
    if program_break(end) == end { Ok(()) } else { Err(libc::ENOMEM) }
}

fn make(change: &Change) -> Result<(), Errno> {
    let (start, length) = (change.range.start, change.range.length());
    match change.operation {
        Operation::Unmap => {
            // SAFETY: what was mapped since the snapshot is used by nothing that outlives the rewind.
            unsafe { syscall::call(libc::SYS_munmap, [start, length]) }.map(drop)
        }
        Operation::Protect => syscall::protect(start, length, change.protection),
        Operation::Map => {
            let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as usize;
            let protection = usize::from(change.protection);
            let arguments = [start, length, protection, flags, syscall::descriptor(-1), 0];
            // SAFETY: the range held memory of the snapshot that is gone.
            unsafe { syscall::call(libc::SYS_mmap, arguments) }.map(drop)
        }
    }
}

/// Moves the program break and returns where it is then; 0 only asks.
pub fn program_break(end: usize) -> usize {
    // SAFETY: the caller lowers the break over memory that is gone anyway, or raises it.
    unsafe { syscall::call(libc::SYS_brk, [end]) }.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rewind::area::Area;

    /// Units of address space in the model.
    const UNITS: usize = 40;

    /// What lies at each unit: the same object has the same inode, and an offset that grows by one.
    type Model = Vec<Option<(Kind, u8, u64, usize)>>;

    fn model_of(mappings: &[Mapping]) -> Model {
        let mut model = vec![None; UNITS];
        for mapping in mappings {
            for (index, unit) in model[mapping.range.start..mapping.range.end].iter_mut().enumerate() {
                let offset = if mapping.inode == 0 { 0 } else { mapping.offset + index };
                *unit = Some((mapping.kind, mapping.protection, mapping.inode, offset));
            }
        }
        model
    }

    fn mappings() -> impl Strategy<Value = Vec<Mapping>> {
        let one = (0_usize..4, 1_usize..6, 0_u8..8, 0_u64..3, 0_usize..4, any::<bool>());
        proptest::collection::vec(one, 0..10).prop_map(|parts| {
            let mut start = 0;
            let mut found = Vec::new();
            for (gap, length, protection, inode, offset, is_shared) in parts {
                let range = Range::new(start + gap, start + gap + length);
                if range.end > UNITS {
                    break;
                }
                start = range.end;
                let kind = if is_shared { Kind::Shared } else { Kind::Private };
                found.push(Mapping { range, kind, protection, offset, device: 0, inode, first_page: 0 });
            }
            found
        })
    }

    fn applied(now: &[Mapping], changes: &[Change]) -> Model {
        let mut model = model_of(now);
        for operation in [Operation::Unmap, Operation::Map, Operation::Protect] {
            for change in changes.iter().filter(|change| change.operation == operation) {
                for unit in &mut model[change.range.start..change.range.end] {
                    *unit = match (operation, *unit) {
                        (Operation::Unmap, _any) => None,
                        (Operation::Map, before) => {
                            assert_eq!(before, None);
                            Some((Kind::Private, change.protection, 0, 0))
                        }
                        (Operation::Protect, before) => {
                            before.map(|(kind, _old, inode, offset)| (kind, change.protection, inode, offset))
                        }
                    };
                }
            }
        }
        model
    }

    /// Whether a model can be made of another one: everything but private anonymous memory must be there.
    fn is_possible(then: &Model, now: &Model) -> bool {
        then.iter().zip(now).all(|(then, now)| match (then, now) {
            (None | Some((Kind::Private, _, 0, _)), _any) => true,
            (Some((kind, _, inode, offset)), Some((other, _, other_inode, other_offset))) => {
                (kind, inode, offset) == (other, other_inode, other_offset)
            }
            (Some(_lost), None) => false,
        })
    }

    proptest! {
        #[test]
        fn the_plan_makes_the_mappings_of_then(then in mappings(), now in mappings()) {
            let mut area = Area::reserve(1 << 20, PageSize::from_bytes(4096).unwrap()).unwrap();
            let mut changes: Table<Change> = area.table(1000).unwrap();
            let planned = plan(&then, &now, &mut changes);
            let (model_then, model_now) = (model_of(&then), model_of(&now));
            prop_assert_eq!(planned.is_ok(), is_possible(&model_then, &model_now));
            if planned.is_ok() {
                prop_assert_eq!(applied(&now, changes.as_slice()), model_then);
            }
            // SAFETY: the area is used by this test only.
            unsafe { libc::munmap(area.range.start as *mut _, area.range.length()) };
        }

        #[test]
        fn equal_mappings_need_no_change(then in mappings()) {
            let mut area = Area::reserve(1 << 20, PageSize::from_bytes(4096).unwrap()).unwrap();
            let mut changes: Table<Change> = area.table(1000).unwrap();
            plan(&then, &then, &mut changes).unwrap();
            prop_assert_eq!(changes.len(), 0);
            // SAFETY: the area is used by this test only.
            unsafe { libc::munmap(area.range.start as *mut _, area.range.length()) };
        }
    }
}
