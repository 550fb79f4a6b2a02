//! Gives a fork open file descriptions of its own, in place of those that it shares with its siblings.
//!
//! A fork copies the table of descriptors only: the offset of a file, the entries of an epoll set, what is written to a
//! pipe are one for all forks. The process that forks notes which of its descriptors can be had anew, and each fork
//! replaces these. Docs: `docs/design/reset.md`.

use std::collections::HashSet;
use std::os::fd::AsRawFd;

use nix::libc;

use crate::process::descriptor::{self, Description, Descriptor, Identity, info};
use crate::process::epoll_sets::{self, EpollSet};
use crate::process::holders::{EVENTFD, eventfd_name, held_elsewhere};
use crate::process::renewed_pairs::{self, Pair};

struct File {
    description: Description,
    offset: i64,
}

struct Counter {
    description: Description,
    count: u64,
    is_semaphore: bool,
}

/// What was noted in the process that forks.
#[derive(Default)]
pub struct OpenDescriptions {
    files: Vec<File>,
    pairs: Vec<Pair>,
    counters: Vec<Counter>,
    sets: Vec<EpollSet>,
}

impl OpenDescriptions {
    /// Notes what can be had anew. `kept` are numbers that stay as they are, with all that share their description;
    /// `ours` are children of this process that do not share its descriptions any more.
    #[must_use]
    pub fn note(kept: &[i32], ours: &[i32]) -> Self {
        let mut noted = Self::default();
        let mut counters = Vec::new();
        let (mut pipes, mut sockets) = (Vec::new(), Vec::new());
        for description in descriptions(&descriptor::all(), kept) {
            match description.identity.kind {
                libc::S_IFREG => noted.files.extend(file(description)),
                libc::S_IFIFO => pipes.push(description),
                libc::S_IFSOCK => sockets.push(description),
                _special => match description.link().as_str() {
                    EVENTFD => counters.push(description),
                    epoll_sets::LINK => noted.sets.push(EpollSet::of(description)),
                    _other => {}
                },
            }
        }
        noted.pairs = renewed_pairs::pipes(pipes);
        noted.pairs.extend(renewed_pairs::sockets(sockets));
        noted.counters.extend(counters.into_iter().filter_map(counter));
        noted.leave_what_others_hold(ours);
        noted
    }

    fn leave_what_others_hold(&mut self, ours: &[i32]) {
        if self.pairs.is_empty() && self.counters.is_empty() {
            return;
        }
        let held: HashSet<String> = held_elsewhere(ours);
        self.pairs.retain(|pair| !pair.links().any(|link| held.contains(&link)));
        self.counters.retain(|counter| !held.contains(&eventfd_name(&info(counter.description.first()))));
    }

    /// Replaces, in a fork, what was noted. Returns the number of descriptors that were replaced.
    ///
    /// It may be called again: a rewind puts the descriptions of its snapshot back.
    pub fn renew(&mut self) -> usize {
        let files: usize = self.files.iter_mut().map(File::renew).sum();
        let pairs: usize = self.pairs.iter_mut().map(Pair::renew).sum();
        let counters: usize = self.counters.iter_mut().map(Counter::renew).sum();
        files + pairs + counters + epoll_sets::renew(&mut self.sets)
    }
}

/// The descriptions that may be replaced, each with all its numbers.
fn descriptions(all: &[Descriptor], kept: &[i32]) -> Vec<Description> {
    let is_kept = |number: i32| number <= libc::STDERR_FILENO || kept.contains(&number);
    let is_one = |one: i32, other: i32| {
        // Where the kernel does not tell, what looks like a file that is kept is taken for it.
        descriptor::is_same_description(one, other).unwrap_or(is_kept(one))
    };
    let mut found: Vec<Description> = Vec::new();
    // What is kept comes first, so that the others are compared with it.
    let (first, others): (Vec<&Descriptor>, Vec<&Descriptor>) = all.iter().partition(|one| is_kept(one.number));
    for one in first.into_iter().chain(others).filter(|one| is_candidate(one)) {
        let known = found.iter_mut().find(|known| {
            (known.identity, known.flags) == (one.identity, one.flags) && is_one(known.first(), one.number)
        });
        match known {
            Some(known) => known.numbers.push(one.number),
            None => found.push(Description { numbers: vec![one.number], flags: one.flags, identity: one.identity }),
        }
    }
    let kept: Vec<Identity> = found.iter().filter(|one| is_kept(one.first())).map(|one| one.identity).collect();
    // Both ends of a pipe have one identity. A file may be open twice.
    let stays = |one: &Description| match one.identity.kind {
        libc::S_IFIFO | libc::S_IFSOCK => kept.contains(&one.identity),
        _other => is_kept(one.first()),
    };
    found.retain(|one| !stays(one));
    found
}

fn is_candidate(one: &Descriptor) -> bool {
    // The owner and the signal of `O_ASYNC` can't be handed on.
    let is_plain = one.flags & (libc::O_ASYNC | libc::O_PATH) == 0;
    is_plain
        && match one.identity.kind {
            libc::S_IFREG => one.flags & libc::O_ACCMODE == libc::O_RDONLY,
            libc::S_IFIFO | libc::S_IFSOCK | 0 => true,
            _other => false,
        }
}

fn file(description: Description) -> Option<File> {
    let info = info(description.first());
    let offset = descriptor::field(&info, "pos")?.parse().ok()?;
    // A lock of `flock` belongs to the description. The lines of other locks look alike.
    let is_locked = descriptor::field(&info, "lock").is_some();
    (!is_locked).then_some(File { description, offset })
}

/// What must not be repeated when a file is opened again: `O_NOFOLLOW`, too, since the path is a link.
const ONCE: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_NOFOLLOW;

impl File {
    fn renew(&mut self) -> usize {
        let Some(number) = self.description.still_open().next() else { return 0 };
        let Some(new) = descriptor::open_again(number, self.description.flags & !ONCE) else { return 0 };
        // SAFETY: no memory is concerned.
        let place = unsafe { libc::lseek(new.as_raw_fd(), self.offset, libc::SEEK_SET) };
        if place != self.offset || Identity::of(new.as_raw_fd()) != Some(self.description.identity) {
            return 0;
        }
        self.description.replace(&new)
    }
}

/// Older kernels do not tell whether it is a semaphore; then it stays as it is.
fn counter(description: Description) -> Option<Counter> {
    let info = info(description.first());
    let count = u64::from_str_radix(descriptor::field(&info, "eventfd-count")?, 16).ok()?;
    let is_semaphore = descriptor::field(&info, "eventfd-semaphore")? != "0";
    Some(Counter { description, count, is_semaphore })
}

impl Counter {
    fn renew(&mut self) -> usize {
        let flags = libc::EFD_CLOEXEC | if self.is_semaphore { libc::EFD_SEMAPHORE } else { 0 };
        // SAFETY: eventfd has no precondition.
        let Some(new) = descriptor::owned(unsafe { libc::eventfd(0, flags) }) else { return 0 };
        if self.description.link() != EVENTFD {
            return 0;
        }
        let bytes = self.count.to_ne_bytes();
        if self.count > 0 {
            // SAFETY: the bytes are this frame's. A new eventfd has room for each count, so the call does not wait.
            unsafe { libc::write(new.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        }
        self.description.replace(&new)
    }
}
