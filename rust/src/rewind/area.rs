//! The engine's own memory, which a rewind leaves alone: one private mapping that holds state, stack, tables and pages.
//!
//! It is reserved whole at the beginning, without commitment (`MAP_NORESERVE`), since the engine can't allocate while it
//! works. What is never touched costs address space only.

use nix::libc;

use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno};

/// Enough for the deepest call of the engine with its buffers (largest: 8 KiB for affinity, 8 KiB of vectors).
const STACK_BYTES: usize = 256 << 10;

/// A range of addresses: start included, end not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Range {
    pub start: usize,
    pub end: usize,
}

impl Range {
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub const fn length(&self) -> usize {
        self.end.wrapping_sub(self.start)
    }

    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// The size of a page, 4 to 64 KiB.
#[derive(Clone, Copy, Debug)]
pub struct PageSize {
    shift: u32,
}

impl PageSize {
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        if bytes.is_power_of_two() { Some(Self { shift: bytes.trailing_zeros() }) } else { None }
    }

    pub fn of_this_machine() -> Option<Self> {
        // SAFETY: sysconf has no precondition.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(bytes).ok().and_then(Self::from_bytes)
    }

    pub const fn bytes(self) -> usize {
        1 << self.shift
    }

    /// Of a length in bytes.
    pub const fn pages(self, length: usize) -> usize {
        length >> self.shift
    }

    pub const fn round_up(self, length: usize) -> usize {
        length.wrapping_add(self.bytes() - 1) & !(self.bytes() - 1)
    }
}

/// A vector of fixed capacity in the engine's memory.
pub struct Table<T: Copy> {
    first: *mut T,
    length: usize,
    capacity: usize,
}

impl<T: Copy> Table<T> {
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `first` points to `capacity` values in the area, of which `length` were written.
        unsafe { std::slice::from_raw_parts(self.first, self.length) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.length) }
    }

    pub fn get(&self, index: usize) -> Option<T> {
        self.as_slice().get(index).copied()
    }

    pub fn last_mut(&mut self) -> Option<&mut T> {
        let last = self.length.checked_sub(1)?;
        // SAFETY: the value at `last` was written, and `self` is borrowed mutably.
        Some(unsafe { &mut *self.first.add(last) })
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    pub fn push(&mut self, value: T) -> Result<(), Refusal> {
        if self.length >= self.capacity {
            return Err(Refusal::at(Reason::TooMany, self.capacity));
        }
        // SAFETY: the place is within the capacity.
        unsafe { self.first.add(self.length).write(value) };
        self.length += 1;
        Ok(())
    }

    /// The memory of all values behind the last one; the table begins and ends at a page's border.
    pub fn unused(&self) -> Range {
        let start = self.first as usize;
        Range::new(start + self.length * size_of::<T>(), start + self.capacity * size_of::<T>())
    }

    /// All of the capacity. The area's memory is zero until it is written.
    pub fn whole(&mut self) -> &mut [T]
    where
        T: syscall::Plain,
    {
        // SAFETY: the whole capacity lies in the area, and zeros are valid values.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.capacity) }
    }
}

/// Hands out parts of the area, one after the other.
pub struct Area {
    pub range: Range,
    next: usize,
    page: PageSize,
}

impl Area {
    /// Reserves the address space.
    pub fn reserve(length: usize, page: PageSize) -> Result<Self, Errno> {
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
        let length = page.round_up(length);
        let nowhere = syscall::descriptor(-1);
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { syscall::call(libc::SYS_mmap, [0, length, protection, flags, nowhere, 0]) }?;
        Ok(Self { range: Range::new(start, start + length), next: start, page })
    }

    /// The next part, which begins and ends at a page's border; none if the area is too short.
    pub fn part(&mut self, bytes: usize) -> Option<Range> {
        let part = Range::new(self.next, self.next.checked_add(self.page.round_up(bytes))?);
        if part.end > self.range.end {
            return None;
        }
        self.next = part.end;
        Some(part)
    }

    /// An empty table.
    pub fn table<T: Copy>(&mut self, capacity: usize) -> Option<Table<T>> {
        let part = self.part(capacity.checked_mul(size_of::<T>())?)?;
        Some(Table { first: part.start as *mut T, length: 0, capacity })
    }

    /// A stack below a page that nothing may touch; the result is its upper end.
    pub fn stack(&mut self) -> Option<*mut u8> {
        let guard = self.part(self.page.bytes())?;
        syscall::protect(guard.start, guard.length(), 0).ok()?;
        Some(self.part(STACK_BYTES)?.end as *mut u8)
    }

    pub const fn stack_bytes() -> usize {
        STACK_BYTES
    }

    /// What has not been handed out yet.
    pub fn rest(&self) -> Range {
        Range::new(self.next, self.range.end)
    }
}
