//! The source of hints: the system's events, or polling.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::watch::burst::Nanoseconds;
use crate::watch::coverage::Reach;
use crate::watch::events::Events;
use crate::watch::polling::Polling;
use crate::watch::tree::Enter;

/// How far below a folder is listed and watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    All,
    /// Everything, but for folders that a poller knows already.
    Unknown,
    /// The names in the folder itself.
    Names,
}

pub enum Source {
    Events(Box<Events>),
    Polling(Polling),
}

impl Source {
    #[must_use]
    pub fn is_polling(&self) -> bool {
        matches!(self, Self::Polling(_))
    }

    /// The time of the next look, and the interval of looks: 0 with events.
    #[must_use]
    pub fn next_look(&self) -> (Option<Nanoseconds>, Nanoseconds) {
        match self {
            Self::Events(_) => (None, 0),
            Self::Polling(polling) => (Some(polling.next), polling.interval),
        }
    }

    /// To be called before a folder is listed. `place`: its path without links. `is_first`: the listing begins with it.
    pub fn enter(&mut self, folder: &Path, place: &Path, depth: Depth, is_first: bool) -> io::Result<Enter> {
        if depth == Depth::Names && !is_first {
            return Ok(Enter::No);
        }
        match self {
            Self::Events(events) => {
                let reach = if depth == Depth::Names { Reach::Entries } else { Reach::Everything };
                events.enter(folder, place, reach)?;
            }
            Self::Polling(polling) => {
                if depth == Depth::Unknown && !is_first && polling.knows(folder) {
                    return Ok(Enter::No);
                }
                polling.enter(folder);
            }
        }
        Ok(Enter::Yes)
    }

    /// Has changes of these names, each with its folder, told as changes of a path. A poller looks at the path itself.
    pub fn expect(&mut self, hops: &[(PathBuf, OsString)], path: &Path) -> io::Result<()> {
        match self {
            Self::Events(events) => hops.iter().try_for_each(|(folder, name)| events.expect(folder, name, path)),
            Self::Polling(_) => Ok(()),
        }
    }

    /// Afterwards, what happened before this call is there to be gathered.
    pub fn catch_up(&mut self) {
        if let Self::Events(events) = self {
            events.catch_up();
        }
    }

    pub fn leave(&mut self, path: &Path) {
        match self {
            Self::Events(events) => events.leave(path),
            Self::Polling(polling) => polling.leave(path),
        }
    }
}
