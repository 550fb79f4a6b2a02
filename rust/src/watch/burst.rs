//! Decides when a burst of events is over: a function of times alone, tested without waiting.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A time of the clock of Python's `time.monotonic_ns`, or a span, in nanoseconds.
pub type Nanoseconds = u64;

pub const MILLISECOND: Nanoseconds = 1_000_000;

/// More paths than this are not one person's edit: a checkout, a formatter, a code generator.
/// (The number is the specification's; a rename over a project touches a dozen.)
const LARGE: usize = 20;

/// Git writes on for seconds, and may pause: 20 ms of quiet could cut a checkout to pieces. The specification's number,
/// not a measured one. It is added once to a run of many files.
const LARGE_QUIET: Nanoseconds = 250 * MILLISECOND;

/// More events than this may still be on their way when the quiet is over: the thread that collects them was seen to lag
/// behind a queue of 16,384. A save takes up to 20. A choice.
const MANY_EVENTS: usize = 64;

/// The longest wait for quiet, and for git to let go of its lock. What comes later is a further burst.
pub const LARGE_LONGEST: Nanoseconds = 5_000 * MILLISECOND;

/// How long a burst of an ordinary edit is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A burst ends when no event came for so long …
    pub quiet: Nanoseconds,
    /// … and at the latest so long after the first.
    pub longest: Nanoseconds,
}

/// Places where events say that something changed. They are never trusted, only compared.
#[derive(Debug, Default)]
pub struct Hints {
    /// The paths, and whether a content was written there; otherwise the path was closed, touched, or removed.
    pub paths: BTreeMap<PathBuf, bool>,
    /// Git took its lock, or moved HEAD.
    pub git: bool,
    /// Events were lost: look everywhere.
    pub lost: bool,
    /// The number of events.
    pub events: usize,
}

impl Hints {
    pub fn add(&mut self, path: PathBuf, written: bool) {
        *self.paths.entry(path).or_default() |= written;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.git && !self.lost
    }
}

/// Events that belong together, from the first one on.
#[derive(Debug)]
pub struct Burst {
    pub first: Nanoseconds,
    last: Nanoseconds,
    pub hints: Hints,
}

impl Burst {
    #[must_use]
    pub fn new(now: Nanoseconds) -> Self {
        Self { first: now, last: now, hints: Hints::default() }
    }

    pub fn add(&mut self, hints: Hints, now: Nanoseconds) {
        for (path, written) in hints.paths {
            self.hints.add(path, written);
        }
        self.hints.git |= hints.git;
        self.hints.lost |= hints.lost;
        self.hints.events += hints.events;
        self.last = now;
    }

    /// Whether its end is worth waiting until all events have arrived: the wait itself takes as long as the collecting
    /// thread needs to wake up.
    #[must_use]
    pub fn may_have_more(&self) -> bool {
        self.hints.events > MANY_EVENTS
    }

    #[must_use]
    pub fn is_large(&self) -> bool {
        self.hints.git || self.hints.paths.len() > LARGE
    }

    /// When it is over, if no further event comes. `locked`: git holds its lock. `interval`: how often is looked, 0 if
    /// events are told; two looks must be alike before it is quiet.
    #[must_use]
    pub fn due(&self, pace: Pace, locked: bool, interval: Nanoseconds) -> Nanoseconds {
        let (quiet, longest) = match (self.is_large(), locked) {
            (_, true) => return self.first + LARGE_LONGEST,
            (true, false) => (LARGE_QUIET.max(interval + pace.quiet), LARGE_LONGEST),
            (false, false) => (pace.quiet, pace.longest),
        };
        (self.last + quiet).min(self.first + longest)
    }

    /// The kind of the burst, when `paths` were found to differ.
    #[must_use]
    pub fn name(&self, paths: usize) -> &'static str {
        if self.hints.lost {
            "overflow"
        } else if self.hints.git {
            "git"
        } else if paths > LARGE {
            "many"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { quiet: 20 * MILLISECOND, longest: 100 * MILLISECOND };

    /// The milliseconds at which bursts are over that have one path an event, at these milliseconds.
    fn ends(times: &[u64], git_at: Option<u64>) -> Vec<u64> {
        let mut ends = Vec::new();
        let mut burst: Option<Burst> = None;
        for (number, time) in times.iter().enumerate() {
            let now = time * MILLISECOND;
            if let Some(due) = burst.as_ref().map(|open| open.due(PACE, false, 0)).filter(|due| *due <= now) {
                ends.push(due / MILLISECOND);
                burst = None;
            }
            let mut hints = Hints { git: git_at == Some(*time), ..Hints::default() };
            hints.add(PathBuf::from(number.to_string()), true);
            burst.get_or_insert_with(|| Burst::new(now)).add(hints, now);
        }
        ends.extend(burst.map(|open| open.due(PACE, false, 0) / MILLISECOND));
        ends
    }

    #[test]
    fn an_edit_is_over_after_the_quiet() {
        assert_eq!(ends(&[5], None), [25]);
        assert_eq!(ends(&[0, 10, 25], None), [45]);
        assert_eq!(ends(&[0, 20], None), [20, 40]);
    }

    #[test]
    fn a_steady_writer_is_cut_at_the_longest() {
        assert_eq!(ends(&[0, 15, 30, 45, 60, 75, 90, 105], None), [100, 125]);
    }

    #[test]
    fn many_paths_wait_for_a_longer_quiet() {
        let twenty: Vec<u64> = (0..20).collect();
        assert_eq!(ends(&twenty, None), [39]);
        let more: Vec<u64> = (0..21).chain([200, 440, 689]).collect();
        assert_eq!(ends(&more, None), [939]);
    }

    #[test]
    fn git_waits_for_a_longer_quiet_and_five_seconds_at_most() {
        assert_eq!(ends(&[0, 100, 349], Some(0)), [599]);
        let steady: Vec<u64> = (0..60).map(|number| number * 100).collect();
        assert_eq!(ends(&steady, Some(0))[0], 5_000);
    }

    #[test]
    fn a_lock_holds_it_up_and_a_poller_looks_twice() {
        let mut burst = Burst::new(0);
        burst.add(Hints { git: true, ..Hints::default() }, 0);
        assert_eq!(burst.due(PACE, true, 0), LARGE_LONGEST);
        assert_eq!(burst.due(PACE, false, 0), LARGE_QUIET);
        assert_eq!(burst.due(PACE, false, 1_000 * MILLISECOND), 1_020 * MILLISECOND);
    }

    #[test]
    fn the_gravest_names_it() {
        let mut burst = Burst::new(0);
        assert_eq!((burst.name(20), burst.name(21)), ("", "many"));
        burst.hints.git = true;
        assert_eq!(burst.name(21), "git");
        burst.hints.lost = true;
        assert_eq!(burst.name(0), "overflow");
    }
}
