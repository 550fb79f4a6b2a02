//! Epoll sets, made anew with the entries that they had.

use nix::libc;

use crate::process::descriptor::{Description, Identity, info, owned};

/// How an epoll set is named among the links.
pub const LINK: &str = "anon_inode:[eventpoll]";

struct Entry {
    number: i32,
    events: u32,
    data: u64,
}

/// A set, and what it waited for.
pub struct EpollSet {
    description: Description,
    entries: Vec<Entry>,
}

impl EpollSet {
    #[must_use]
    pub fn of(description: Description) -> Self {
        let entries = info(description.first()).lines().filter_map(entry).collect();
        Self { description, entries }
    }

    fn renew(&mut self) -> usize {
        // SAFETY: epoll_create1 has no precondition.
        let Some(new) = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }) else { return 0 };
        if self.description.link() == LINK { self.description.replace(&new) } else { 0 }
    }

    fn fill(&self) {
        for entry in &self.entries {
            let mut event = libc::epoll_event { events: entry.events, u64: entry.data };
            let (set, number) = (self.description.first(), entry.number);
            // SAFETY: the event is this frame's. What can't be added is left out.
            unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, number, &raw mut event) };
        }
    }
}

/// An entry whose number leads to its file; the number of another may have been given to something else since.
fn entry(line: &str) -> Option<Entry> {
    let inode = u64::from_str_radix(after(line, "ino:")?, 16).ok()?;
    let number = after(line, "tfd:")?.parse().ok()?;
    let is_there = Identity::of(number).is_some_and(|identity| identity.inode == inode);
    is_there.then_some(Entry {
        number,
        events: u32::from_str_radix(after(line, "events:")?, 16).ok()?,
        data: u64::from_str_radix(after(line, "data:")?, 16).ok()?,
    })
}

fn after<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    line.split_once(name)?.1.split_whitespace().next()
}

/// Makes all sets before the first is filled: one may wait for another. Returns how many numbers were replaced.
pub fn renew(sets: &mut [EpollSet]) -> usize {
    let replaced: Vec<usize> = sets.iter_mut().map(EpollSet::renew).collect();
    for (set, _) in sets.iter().zip(&replaced).filter(|(_, replaced)| **replaced > 0) {
        set.fill();
    }
    replaced.iter().sum()
}

#[cfg(test)]
mod tests {
    use crate::process::epoll_sets::{after, entry};

    /// As in the kernel's `Documentation/filesystems/proc.rst`.
    const LINE: &str = "tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7";

    #[test]
    fn the_fields_of_an_entry() {
        assert_eq!(
            ["tfd:", "events:", "data:", "ino:"].map(|name| after(LINE, name)),
            [Some("5"), Some("1d"), Some("ffffffffffffffff"), Some("61af"),]
        );
    }

    #[test]
    fn another_file_behind_the_number() {
        assert!(entry(LINE).is_none());
        assert!(entry("pos:\t0").is_none());
    }
}
