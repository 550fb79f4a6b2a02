//! All of the engine's state, which lies at the beginning of its area.

use nix::libc;

use crate::rewind::area::{Area, PageSize, Range, Table};
use crate::rewind::descriptors::{Descriptor, Pair};
use crate::rewind::jump::Context;
use crate::rewind::kernel_state::KernelRecord;
use crate::rewind::mappings::{Kind, Mapping};
use crate::rewind::page_store::{PageIndex, PageStore, ProcessMemory};
use crate::rewind::plan::Change;
use crate::rewind::refusal::{Reason, Refusal};
use crate::rewind::restore::{Counts, Restore};
use crate::rewind::scan::{Engine, Pages, Region, Segment};
use crate::rewind::signals::SignalRecord;
use crate::rewind::syscall::{self, Errno};
use crate::rewind::verify::Verification;

/// The kernel's own limit is 65,530 (`vm.max_map_count`); a process with pandas and matplotlib has 1,500.
const MAPPINGS: usize = 70_000;
const CHANGES: usize = 20_000;
const SEGMENTS: usize = 70_000;
/// Ranges of pages in one state: 20,000 were seen in a heap of 500 MB.
const PAGE_RANGES: usize = 1 << 20;
const GUARDS: usize = 1024;
/// Private address space of 256 GiB in pages of 4 KiB.
const INDEXED_PAGES: usize = 64 << 20;
/// Regions that one `PAGEMAP_SCAN` returns, and entries that one read of pagemap does.
const REGIONS: usize = 16 << 10;
const ENTRIES: usize = 64 << 10;
/// The text of `smaps` has 700 bytes for each mapping.
const TEXT_BYTES: usize = 48 << 20;
/// Fetched together at most.
const PENDING: usize = 8192;

/// Descriptors that the engine holds; -1 where there is none.
pub struct OwnDescriptors {
    pub pagemap: i32,
    pub mappings: i32,
    pub folder: i32,
    pub runner_pidfd: i32,
    pub userfaultfd: i32,
    pub snapshot_pidfd: i32,
    pub snapshot_memory: i32,
}

impl OwnDescriptors {
    pub const NONE: Self = Self {
        pagemap: -1,
        mappings: -1,
        folder: -1,
        runner_pidfd: -1,
        userfaultfd: -1,
        snapshot_pidfd: -1,
        snapshot_memory: -1,
    };

    pub fn all(&self) -> [i32; 7] {
        [
            self.pagemap,
            self.mappings,
            self.folder,
            self.runner_pidfd,
            self.userfaultfd,
            self.snapshot_pidfd,
            self.snapshot_memory,
        ]
    }

    pub fn close(&mut self) {
        for fd in self.all().into_iter().filter(|fd| *fd >= 0) {
            syscall::close(fd);
        }
        *self = Self::NONE;
    }
}

/// When pages were last protected, and how many were dirty at the first rewind after that.
#[derive(Clone, Copy, Default)]
pub struct HotSet {
    pub baseline: u64,
    pub rewinds: u64,
}

/// Times and counts of the last rewind, and of the snapshot.
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    pub snapshot_ns: u64,
    pub check_ns: u64,
    pub mappings_ns: u64,
    pub kernel_ns: u64,
    pub scan_ns: u64,
    pub copy_ns: u64,
    pub total_ns: u64,
    pub mappings: u64,
    pub changes: u64,
    pub ranges: u64,
    pub held_pages: u64,
    pub descriptors_fetched: u64,
    pub threads_ended: u64,
    pub protections: u64,
    pub counts: Counts,
    pub verification: Verification,
}

/// What a process may ask for.
#[derive(Clone, Copy)]
pub struct Settings {
    pub engine: Engine,
    pub store_limit: usize,
    pub rseq: Range,
    /// Whether the snapshot process is a sibling of this process.
    pub has_sibling: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "independent facts, not states of one machine")]
pub struct State {
    /// Where the snapshot and where the rewind were called.
    pub contexts: [Context; 2],
    pub stack_top: *mut u8,
    pub area: Range,
    /// What forks of the process do not need.
    pub bulk: Range,
    pub page: PageSize,
    pub has_sibling: bool,
    pub rseq: Range,
    pub engine: Engine,
    /// The process that made the area.
    pub owner: i32,
    pub is_taken: bool,
    pub snapshot_pid: i32,
    pub rewinds: isize,
    pub must_verify: bool,
    pub refusal: Option<Refusal>,
    pub signal_mask: u64,
    pub own: OwnDescriptors,
    pub kernel: KernelRecord,
    pub signals: SignalRecord,
    pub can_compare_descriptors: bool,
    pub heap_end: usize,
    pub hot_set: HotSet,
    pub statistics: Statistics,
    pub descriptors: Table<Descriptor>,
    pub then: Table<Mapping>,
    pub now: Table<Mapping>,
    pub changes: Table<Change>,
    pub segments: Table<Segment>,
    /// Anonymous pages of the snapshot.
    pub held: Table<Range>,
    pub guards: Table<Range>,
    pub current: Table<Pages>,
    pub pending: Table<usize>,
    pub regions: Table<Region>,
    pub entries: Table<u64>,
    pub text: Table<u8>,
    pub index: PageIndex,
    pub store: PageStore,
}

impl State {
    /// Reserves the area and makes the state in it.
    pub fn create(settings: Settings) -> Result<*mut Self, Errno> {
        let page = PageSize::of_this_machine().ok_or(libc::EINVAL)?;
        let mut area = Area::reserve(Self::area_bytes(page, settings.store_limit), page)?;
        Self::place(&mut area, page, settings).ok_or(libc::ENOMEM)
    }

    fn area_bytes(page: PageSize, store_limit: usize) -> usize {
        let tables = size_of::<Descriptor>() * crate::rewind::descriptors::MAXIMUM
            + size_of::<Mapping>() * MAPPINGS * 2
            + size_of::<Change>() * CHANGES
            + size_of::<Segment>() * SEGMENTS
            + size_of::<Range>() * (PAGE_RANGES + GUARDS)
            + size_of::<Pages>() * PAGE_RANGES
            + size_of::<usize>() * PENDING
            + size_of::<Region>() * REGIONS
            + size_of::<u64>() * ENTRIES
            + TEXT_BYTES
            + size_of::<u32>() * INDEXED_PAGES;
        // Each part is rounded up to a page: 20 parts.
        let rounding = 20 * page.bytes();
        tables + rounding + size_of::<Self>() + Area::stack_bytes() + store_limit
    }

    fn place(area: &mut Area, page: PageSize, settings: Settings) -> Option<*mut Self> {
        let place = area.part(size_of::<Self>())?.start as *mut Self;
        let stack_top = area.stack()?;
        let bulk = area.rest();
        let descriptors = area.table(crate::rewind::descriptors::MAXIMUM)?;
        let (then, now) = (area.table(MAPPINGS)?, area.table(MAPPINGS)?);
        let (changes, segments) = (area.table(CHANGES)?, area.table(SEGMENTS)?);
        let (held, guards, current) = (area.table(PAGE_RANGES)?, area.table(GUARDS)?, area.table(PAGE_RANGES)?);
        let (pending, regions, entries) = (area.table(PENDING)?, area.table(REGIONS)?, area.table(ENTRIES)?);
        let text = area.table(TEXT_BYTES)?;
        let index = PageIndex { numbers: area.table(INDEXED_PAGES)? };
        let store = PageStore::new(area.rest(), page, settings.store_limit);
        // SAFETY: the place is zeroed memory of this size, aligned to a page; each field without a value of its own here
        // is one for which zeros are valid (numbers, and enums whose first variant is 0).
        unsafe {
            macro_rules! set {
                ($($field:ident = $value:expr),* $(,)?) => {
                    $( (&raw mut (*place).$field).write($value); )*
                };
            }
            set!(
                stack_top = stack_top,
                area = area.range,
                bulk = bulk,
                page = page,
                has_sibling = settings.has_sibling,
                rseq = settings.rseq,
                engine = settings.engine,
                owner = syscall::process_id(),
                is_taken = false,
                must_verify = false,
                refusal = None,
                own = OwnDescriptors::NONE,
                can_compare_descriptors = false,
                hot_set = HotSet::default(),
                statistics = Statistics::default(),
                descriptors = descriptors,
                then = then,
                now = now,
                changes = changes,
                segments = segments,
                held = held,
                guards = guards,
                current = current,
                pending = pending,
                regions = regions,
                entries = entries,
                text = text,
                index = index,
                store = store,
            );
        }
        Some(place)
    }

    pub fn pair(&self) -> Pair {
        Pair { runner: self.owner, snapshot: self.snapshot_pid, snapshot_pidfd: self.own.snapshot_pidfd }
    }

    pub fn snapshot_memory(&self) -> ProcessMemory {
        ProcessMemory { pid: self.snapshot_pid, file: self.own.snapshot_memory }
    }

    pub fn restore(&mut self) -> Restore<'_> {
        Restore {
            snapshot: ProcessMemory { pid: self.snapshot_pid, file: self.own.snapshot_memory },
            then: self.then.as_slice(),
            held: self.held.as_slice(),
            current: self.current.as_slice(),
            guards: self.guards.as_slice(),
            index: &mut self.index,
            store: &mut self.store,
            pending: &mut self.pending,
            page: self.page,
            rseq: self.rseq,
            counts: Counts::default(),
        }
    }

    /// `mlockall` puts all of the area into memory: what is not in use goes again.
    pub fn give_back_unused(&mut self) {
        let pages = self.then.as_slice().iter().rfind(|mapping| mapping.kind == Kind::Private);
        let used = pages.map_or(0, |last| last.first_page + self.page.pages(last.range.length()));
        for unused in [self.text.unused(), self.index.unused(used, self.page), self.store.unused()] {
            let _advised = syscall::advise(unused.start, unused.length(), libc::MADV_DONTNEED);
        }
    }

    /// Refuses where the caller may not use the engine: a fork, or another thread.
    pub fn check_caller(&self) -> Result<(), Refusal> {
        if syscall::process_id() != self.owner {
            return Err(Refusal::new(Reason::Forked, self.owner.into()));
        }
        match syscall::thread_id() {
            thread if thread == self.owner => Ok(()),
            thread => Err(Refusal::new(Reason::NotMainThread, thread.into())),
        }
    }
}
