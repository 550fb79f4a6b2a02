//! Original contents of pages, fetched from the snapshot process when a page is dirty for the first time.

use nix::libc;

use crate::rewind::area::{PageSize, Range, Table};
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::syscall::{self, Errno};

/// Ranges of one `process_vm_readv`; the kernel allows 1,024. Two pages of stack.
const RANGES_PER_READ: usize = 512;
/// Bytes of one read at most: 32 MiB in pages of 4 KiB.
const PAGES_PER_READ: usize = 8192;

/// The memory of another process.
#[derive(Clone, Copy)]
pub struct ProcessMemory {
    pub pid: i32,
    /// `/proc/PID/mem`, which also reads what is mapped without a permission to read; -1 if there is none.
    pub file: i32,
}

impl ProcessMemory {
    /// Reads ranges into one buffer, one after the other. Returns how many bytes were read.
    pub fn read(self, into: Range, ranges: &[libc::iovec]) -> Result<usize, Errno> {
        let local = libc::iovec { iov_base: into.start as *mut libc::c_void, iov_len: into.length() };
        let (local, remote) = (syscall::pointer(&local), ranges.as_ptr() as usize);
        // SAFETY: the buffer is the caller's; bad remote addresses make the call fail or end early.
        unsafe { syscall::call(libc::SYS_process_vm_readv, [self.pid as usize, local, 1, remote, ranges.len(), 0]) }
    }

    /// Reads ranges into one buffer, one after the other, by the file if there is one, as [`Self::look`] does.
    fn read_all(self, into: Range, ranges: &[libc::iovec]) -> Result<usize, Errno> {
        if self.file < 0 {
            return self.read(into, ranges);
        }
        let mut place = into.start;
        for range in ranges {
            // SAFETY: the ranges fill the buffer, which is the caller's.
            let buffer = unsafe { std::slice::from_raw_parts_mut(place as *mut u8, range.iov_len) };
            if syscall::read_at(self.file, buffer, range.iov_base as usize)? != range.iov_len {
                break;
            }
            place += range.iov_len;
        }
        Ok(place - into.start)
    }

    /// Reads one range.
    pub fn read_range(self, into: usize, range: Range) -> Result<usize, Errno> {
        self.read(Range::new(into, into.wrapping_add(range.length())), &[vector(range)])
    }

    /// Reads one range into a buffer of its length, by the file if there is one. Returns how many bytes were read.
    ///
    /// `process_vm_readv` pins pages, and since Linux 5.19 a pin copies each page that forks share: after one look at
    /// all memory of two processes, both had all of it for themselves. The file is read without a pin.
    pub fn look(self, buffer: &mut [u8], range: Range) -> Result<usize, Errno> {
        if self.file >= 0 {
            return syscall::read_at(self.file, buffer, range.start);
        }
        self.read_range(buffer.as_mut_ptr() as usize, range)
    }

    /// Reads one page by the file.
    fn read_page_by_file(self, into: Range, address: usize) -> Result<(), Errno> {
        // SAFETY: the range is a page of the store.
        let buffer = unsafe { std::slice::from_raw_parts_mut(into.start as *mut u8, into.length()) };
        if syscall::read_at(self.file, buffer, address)? == into.length() { Ok(()) } else { Err(libc::EFAULT) }
    }
}

fn vector(range: Range) -> libc::iovec {
    libc::iovec { iov_base: range.start as *mut libc::c_void, iov_len: range.length() }
}

pub struct PageStore {
    memory: Range,
    page: PageSize,
    used: usize,
    limit_bytes: usize,
}

impl PageStore {
    /// Page 0 stays unused, so that 0 in an index means "not here".
    pub fn new(memory: Range, page: PageSize, limit: usize) -> Self {
        let limit_bytes = memory.length().saturating_sub(page.bytes()).min(limit);
        Self { memory, page, used: 1, limit_bytes }
    }

    pub fn pages(&self) -> usize {
        self.used - 1
    }

    pub fn free_pages(&self) -> usize {
        self.page.pages(self.limit_bytes).saturating_sub(self.pages())
    }

    /// The memory behind the last page.
    pub fn unused(&self) -> Range {
        Range::new(self.address(self.next_number(0)), self.memory.end)
    }

    pub fn full(&self) -> Refusal {
        Refusal::at(Reason::StoreLimit, self.limit_bytes)
    }

    /// The number that the n-th page from now will have.
    pub fn next_number(&self, ahead: usize) -> u32 {
        u32::try_from(self.used + ahead).unwrap_or(u32::MAX)
    }

    /// The address of a stored page.
    pub fn address(&self, number: u32) -> usize {
        self.memory.start + number as usize * self.page.bytes()
    }

    /// Fetches pages in the order of the list, which gives them the next numbers.
    pub fn fetch(&mut self, process: ProcessMemory, addresses: &[usize]) -> Result<(), Refusal> {
        let mut rest = addresses;
        while !rest.is_empty() {
            let mut ranges = [vector(Range::default()); RANGES_PER_READ];
            let (count, range_count) = self.gather(rest, &mut ranges);
            if count > self.free_pages() {
                return Err(self.full());
            }
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            let start = self.address(self.next_number(0));
            let into = Range::new(start, start + count * self.page.bytes());
            let read = process.read_all(into, ranges.get(..range_count).unwrap_or(&[]));
            if read != Ok(into.length()) {
                self.fetch_one_by_one(process, now)?;
            }
            self.used += count;
            rest = later;
        }
        Ok(())
    }

    /// Joins adjoining pages; returns the numbers of pages and of ranges.
    fn gather(&self, addresses: &[usize], ranges: &mut [libc::iovec; RANGES_PER_READ]) -> (usize, usize) {
        let (mut count, mut range_count, mut end) = (0, 0, 0);
        for address in addresses.iter().take(PAGES_PER_READ) {
            let index = if range_count > 0 && *address == end { range_count - 1 } else { range_count };
            let Some(range) = ranges.get_mut(index) else { break };
            if index == range_count {
                *range = vector(Range::new(*address, *address));
                range_count += 1;
            }
            range.iov_len += self.page.bytes();
            end = address.wrapping_add(self.page.bytes());
            count += 1;
        }
        (count, range_count)
    }

    fn fetch_one_by_one(&self, process: ProcessMemory, addresses: &[usize]) -> Result<(), Refusal> {
        for (ahead, address) in addresses.iter().enumerate() {
            let start = self.address(self.next_number(ahead));
            let into = Range::new(start, start + self.page.bytes());
            let source = Range::new(*address, address.wrapping_add(self.page.bytes()));
            if process.read_range(into.start, source) != Ok(into.length()) {
                process
                    .read_page_by_file(into, *address)
                    .map_err(|errno| Refusal::new(Reason::ReadMemory, errno.into()))?;
            }
        }
        Ok(())
    }
}

/// Whether the snapshot process's memory can be read at all.
pub fn check_access(process: ProcessMemory, address: usize) -> Result<(), Refusal> {
    let mut word = 0_u64;
    let source = Range::new(address, address.wrapping_add(size_of::<u64>()));
    match process.read_range(syscall::pointer_mut(&mut word), source) {
        Ok(_read) => Ok(()),
        Err(errno) => Err(Refusal::new(Reason::ReadMemory, errno.into())),
    }
}

/// Number of a page in the store for each private page of the snapshot; 0: not there.
pub struct PageIndex {
    pub numbers: Table<u32>,
}

impl PageIndex {
    pub fn get(&mut self, page: usize) -> u32 {
        self.numbers.whole().get(page).copied().unwrap_or(0)
    }

    pub fn set(&mut self, page: usize, number: u32) {
        if let Some(place) = self.numbers.whole().get_mut(page) {
            *place = number;
        }
    }

    /// The memory behind the numbers of so many pages.
    pub fn unused(&self, pages: usize, page: PageSize) -> Range {
        let all = self.numbers.unused();
        Range::new(page.round_up(all.start + pages * size_of::<u32>()).min(all.end), all.end)
    }

    pub fn capacity(&mut self) -> usize {
        self.numbers.whole().len()
    }
}
