//! Thread pools that leave no thread behind, with the stack that parsing needs.
//!
//! The process forks afterwards, so it does not suffice to tell a pool to end: its threads are joined, and have left
//! the kernel's list, before the pool is dropped.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rayon::prelude::*;

/// 64 MB, and at least 64 bytes for each byte of source: 100,000 nested lists aborted on 2 MB
/// (`docs/design/imports.md`). Reserved, not used: only what the parser touches becomes memory.
pub(crate) const SMALLEST_STACK: usize = 64 << 20;
pub(crate) const STACK_PER_BYTE: usize = 64;

/// The stack that a thread needs to parse a source of this size, both in bytes.
#[must_use]
pub fn stack_for(largest_source: usize) -> usize {
    SMALLEST_STACK.max(largest_source.saturating_mul(STACK_PER_BYTE))
}

/// The threads of a pool, to be joined: each with its number in the kernel's list, 0 if it never ran.
type Threads = Arc<Mutex<Vec<(JoinHandle<()>, Arc<AtomicI32>)>>>;

/// A thread pool whose threads are joined when it is dropped.
pub struct Pool {
    pool: Option<rayon::ThreadPool>,
    threads: Threads,
    stack: usize,
}

impl Pool {
    /// None if the system refuses the threads.
    #[must_use]
    pub fn start(count: usize, stack: usize) -> Option<Self> {
        let threads = Threads::default();
        let kept = Arc::clone(&threads);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .stack_size(stack)
            .spawn_handler(move |thread| spawn(thread, &kept))
            .build();
        match pool {
            Ok(pool) => Some(Self { pool: Some(pool), threads, stack }),
            Err(_refused) => {
                join(&threads);
                None
            }
        }
    }

    #[must_use]
    pub(crate) fn stack(&self) -> usize {
        self.stack
    }

    /// The results in the order of the inputs. Each thread takes the next input when it is free, so inputs
    /// that are sorted by size, largest first, end together.
    pub fn map<T: Sync, R: Send>(&self, inputs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        match &self.pool {
            Some(pool) => pool.install(|| inputs.par_iter().with_max_len(1).map(&work).collect()),
            None => Vec::new(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.pool.take());
        join(&self.threads);
    }
}

/// Below this many looks threads cost more than they save: starting and joining two takes as long as 100 looks.
const WORTH_THREADS: usize = 256;
const PIECE: usize = 64;
const SMALL_STACK: usize = 1 << 20;

/// The results in the order of the inputs, by as many threads as help; none outlives the call.
pub(crate) fn map_chunks<T: Sync, R: Send>(inputs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let pool = (inputs.len() >= WORTH_THREADS && threads > 1).then(|| Pool::start(threads, SMALL_STACK)).flatten();
    let Some(pool) = pool else { return inputs.iter().map(work).collect() };
    let pieces: Vec<&[T]> = inputs.chunks(PIECE).collect();
    pool.map(&pieces, |piece| piece.iter().map(&work).collect::<Vec<R>>()).into_iter().flatten().collect()
}

fn spawn(thread: rayon::ThreadBuilder, kept: &Threads) -> std::io::Result<()> {
    let mut builder = std::thread::Builder::new();
    if let Some(size) = thread.stack_size() {
        builder = builder.stack_size(size);
    }
    let id = Arc::new(AtomicI32::new(0));
    let own = Arc::clone(&id);
    let handle = builder.spawn(move || {
        own.store(kernel_id(), Ordering::Release);
        thread.run();
    })?;
    kept.lock().unwrap_or_else(PoisonError::into_inner).push((handle, id));
    Ok(())
}

fn join(threads: &Threads) {
    let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
    for (handle, id) in threads {
        // A panicked thread has ended all the same.
        let _ended = handle.join();
        wait_until_gone(id.load(Ordering::Acquire));
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn kernel_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// A joined thread stays in /proc/self/task for some microseconds, where those who count threads before a
/// fork would see it: wait for it, at most 50 ms.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_gone(id: i32) {
    let entry = std::path::PathBuf::from(format!("/proc/self/task/{id}"));
    for _ in 0..500 {
        if !entry.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn kernel_id() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn wait_until_gone(_id: i32) {}
