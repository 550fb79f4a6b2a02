//! Records what a process touches: each subject once for each owner, with its state at the first touch.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexSet;

use crate::audit::access::Access;
use crate::audit::bytecode;
use crate::audit::forked;
use crate::audit::rows::{Kind, Row};
use crate::audit::scope::{PathClass, Settings};
use crate::filesystem::paths::real_path;
use crate::filesystem::stat::FileStamp;

/// A touch that counts, if the code that caused it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub kind: Kind,
    pub subject: OsString,
    replaces: bool,
}

#[derive(Default)]
struct Touched {
    by: Vec<(usize, Kind)>,
    /// Replaced by this process before it was read.
    is_output: bool,
    first: Option<Option<FileStamp>>,
}

impl Touched {
    fn has(&self, owner: usize, kind: Kind) -> bool {
        // A file that was updated is an input already.
        self.by
            .iter()
            .any(|(by, known)| *by == owner && (*known == kind || (kind == Kind::Read && *known == Kind::Update)))
    }

    fn is_input(&self) -> bool {
        self.by.iter().any(|(_, kind)| matches!(kind, Kind::Read | Kind::Update))
    }
}

pub struct Tracker {
    pub settings: Arc<Settings>,
    /// The owner of events that no running module body claims.
    pub owner: OsString,
    started: i64,
    owners: IndexSet<OsString>,
    touched: HashMap<OsString, Touched>,
    rows: Vec<(usize, Kind, OsString, Option<FileStamp>)>,
}

impl Tracker {
    #[must_use]
    pub fn new(settings: Arc<Settings>, started: i64) -> Self {
        Self {
            settings,
            owner: OsString::new(),
            started,
            owners: IndexSet::from([OsString::new()]),
            touched: HashMap::new(),
            rows: Vec::new(),
        }
    }

    /// The paths that a touch of one is about: bytecode is read instead of its sources.
    #[must_use]
    pub fn meant(&self, access: Access, path: PathBuf) -> Vec<PathBuf> {
        let sources = || bytecode::sources_of(&path, self.settings.pycache_prefix.as_deref());
        let sources = if access == Access::Read { sources() } else { Vec::new() };
        if sources.is_empty() { vec![path] } else { sources }
    }

    /// Whether, and as what, a touch of an absolute, normal path counts.
    #[must_use]
    pub fn wanted(&self, access: Access, path: &Path) -> Option<Wanted> {
        let prefix = self.settings.pycache_prefix.as_deref();
        let is_input = matches!(access, Access::Read | Access::List | Access::Link);
        if !is_input && bytecode::is_store(path, prefix) {
            return None;
        }
        let linked = if access == Access::Link { None } else { self.linked_into_root(path) };
        let path = linked.as_deref().unwrap_or(path);
        #[expect(clippy::match_same_arms, reason = "the order of the arms decides")]
        let kind = match (self.settings.classify(path), access) {
            (PathClass::Ignored, _) | (PathClass::Temporary, Access::Replace | Access::Change) => return None,
            (PathClass::Temporary, Access::Link) if !self.is_old_link(path) => return None,
            (_, Access::Link) => Kind::List,
            (PathClass::Temporary, _) if !self.is_old(path) => return None,
            // The folder of all temporary ones changes by itself.
            (PathClass::Temporary, Access::List) if !self.settings.is_temporary_root(path) => Kind::List,
            (PathClass::Temporary, _) | (PathClass::Recorded, Access::Read | Access::Move) => Kind::Read,
            (PathClass::Recorded, Access::Update | Access::Append) => Kind::Update,
            (PathClass::Recorded, Access::Replace | Access::Change) => Kind::Write,
            (PathClass::Recorded, Access::List) => Kind::List,
        };
        let replaces = access == Access::Replace;
        if self.touched.get(path.as_os_str()).is_some_and(|known| self.is_known(known, kind, replaces, path)) {
            return None;
        }
        Some(Wanted { kind, subject: path.as_os_str().to_owned(), replaces })
    }

    fn is_known(&self, known: &Touched, kind: Kind, replaces: bool, path: &Path) -> bool {
        // A process reads its own output, unless the writing failed.
        let is_output = matches!(kind, Kind::Read | Kind::Update)
            && known.is_output
            && !(self.is_old(path) && self.is_old_link(path));
        let is_marked = !replaces || known.is_output || known.is_input();
        is_output || (is_marked && !self.settings.collecting && known.has(0, kind))
    }

    /// Whether a name that is no path counts.
    #[must_use]
    pub fn wanted_name(&self, kind: Kind, name: &OsStr) -> Option<Wanted> {
        let is_known = !self.settings.collecting && self.has(0, kind, name);
        (!is_known).then(|| Wanted { kind, subject: name.to_owned(), replaces: false })
    }

    /// Whether this owner has such a row: the caller need not ask who did it.
    #[must_use]
    pub fn is_recorded(&self, owner: &OsStr, kind: Kind, name: &OsStr) -> bool {
        self.owners.get_index_of(owner).is_some_and(|owner| self.has(owner, kind, name))
    }

    fn has(&self, owner: usize, kind: Kind, subject: &OsStr) -> bool {
        let has = |subject: &OsStr| self.touched.get(subject).is_some_and(|known| known.has(owner, kind));
        // A reader of the whole environment has read each variable.
        has(subject) || (kind == Kind::Environ && has(OsStr::new("*")))
    }

    /// A test may reach the project's files by a link in a folder of its own, and look there for one that is missing.
    fn linked_into_root(&self, path: &Path) -> Option<PathBuf> {
        if self.settings.classify(path) != PathClass::Temporary {
            return None;
        }
        let real = real_path(path)?;
        (real.starts_with(&self.settings.root) && self.settings.classify(&real) == PathClass::Recorded).then_some(real)
    }

    /// Whether the path did not change since the recording began.
    fn is_old(&self, path: &Path) -> bool {
        FileStamp::of(path).is_ok_and(|stamp| stamp.is_before(self.started))
    }

    /// As `is_old`, of the name itself where that is a link.
    fn is_old_link(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| FileStamp::from(&found).is_before(self.started))
    }

    pub fn record(&mut self, owner: &OsStr, wanted: Wanted) {
        let owner = match (self.settings.collecting, self.owners.get_index_of(owner)) {
            (false, _) => 0,
            (true, Some(known)) => known,
            (true, None) => self.owners.insert_full(owner.to_owned()).0,
        };
        let is_known = self.has(owner, wanted.kind, &wanted.subject);
        let Wanted { kind, subject, replaces } = wanted;
        let touched = self.touched.entry(subject.clone()).or_default();
        let is_input = touched.is_input();
        touched.is_output |= replaces && !is_input;
        if is_known {
            return;
        }
        let state = match kind {
            Kind::Read | Kind::Update => *touched.first.get_or_insert_with(|| FileStamp::of(Path::new(&subject)).ok()),
            Kind::Write if !touched.is_output => {
                touched.first.get_or_insert_with(|| FileStamp::of(Path::new(&subject)).ok());
                None
            }
            _ => None,
        };
        touched.by.push((owner, kind));
        forked::append(self.owners.get_index(owner).map_or(OsStr::new(""), OsString::as_os_str), kind, &subject, state);
        self.rows.push((owner, kind, subject, state));
    }

    /// Takes over the rows of forked processes. A file that was replaced here is no input for them either.
    pub fn take_over_forked(&mut self) {
        for row in forked::take() {
            let owner = if self.settings.collecting { self.owners.insert_full(row.owner).0 } else { 0 };
            if !self.has(owner, row.kind, &row.subject) {
                self.touched.entry(row.subject.clone()).or_default().by.push((owner, row.kind));
                self.rows.push((owner, row.kind, row.subject, row.state));
            }
        }
    }

    /// In the order of the first touch; what comes later is recorded anew.
    pub fn take(&mut self) -> Vec<Row> {
        self.take_over_forked();
        self.touched.clear();
        let owners = &self.owners;
        let row = |(owner, kind, subject, state): (usize, Kind, OsString, Option<FileStamp>)| Row {
            owner: owners.get_index(owner).cloned().unwrap_or_default(),
            kind,
            subject,
            state,
        };
        self.rows.drain(..).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::stat::coarse_now;

    fn tracker(collecting: bool) -> Tracker {
        let settings =
            Settings { root: "/none".into(), collecting, temporary: vec!["/".into()], ..Settings::default() };
        Tracker::new(Arc::new(settings), coarse_now())
    }

    fn touch(tracker: &mut Tracker, owner: &str, access: Access, path: &str) {
        for path in tracker.meant(access, path.into()) {
            if let Some(wanted) = tracker.wanted(access, &path) {
                tracker.record(OsStr::new(owner), wanted);
            }
        }
    }

    fn kinds(tracker: &mut Tracker) -> Vec<(String, &'static str)> {
        let row = |row: Row| (row.owner.into_string().unwrap(), row.kind.name());
        tracker.take().into_iter().map(row).collect()
    }

    fn own(kinds: &[&'static str]) -> Vec<(String, &'static str)> {
        kinds.iter().map(|kind| (String::new(), *kind)).collect()
    }

    #[test]
    fn what_was_replaced_is_no_input_for_any_owner() {
        let mut tracker = tracker(true);
        touch(&mut tracker, "a", Access::Replace, "/none/x");
        touch(&mut tracker, "b", Access::Read, "/none/x");
        touch(&mut tracker, "b", Access::Update, "/none/x");
        assert_eq!(kinds(&mut tracker), [("a".to_owned(), "write")]);
    }

    #[test]
    fn what_was_read_first_stays_an_input_of_others() {
        let mut tracker = tracker(true);
        touch(&mut tracker, "a", Access::Read, "/none/x");
        touch(&mut tracker, "a", Access::Replace, "/none/x");
        touch(&mut tracker, "b", Access::Read, "/none/x");
        let rows = [("a".to_owned(), "read"), ("a".to_owned(), "write"), ("b".to_owned(), "read")];
        assert_eq!(kinds(&mut tracker), rows);
    }

    #[test]
    fn a_change_of_attributes_is_followed_by_a_replacement() {
        let mut tracker = tracker(false);
        touch(&mut tracker, "", Access::Change, "/none/x");
        touch(&mut tracker, "", Access::Replace, "/none/x");
        touch(&mut tracker, "", Access::Read, "/none/x");
        assert_eq!(kinds(&mut tracker), own(&["write"]));
    }

    #[test]
    fn nothing_is_written_to_stores_of_bytecode() {
        let mut tracker = tracker(false);
        for access in [Access::Replace, Access::Update, Access::Move, Access::Change] {
            touch(&mut tracker, "", access, "/none/__pycache__/x.cpython-312.pyc.99");
            touch(&mut tracker, "", access, "/none/x.pyc");
        }
        touch(&mut tracker, "", Access::Read, "/none/__pycache__/x.cpython-312.pyc");
        let rows = tracker.take();
        assert_eq!(rows.iter().map(|row| row.subject.to_str().unwrap()).collect::<Vec<_>>(), ["/none/x.py"]);
    }

    #[test]
    fn all_of_the_environment_stands_for_each_variable() {
        let mut tracker = tracker(true);
        for (owner, name) in [("a", "X"), ("a", "*"), ("a", "Y"), ("b", "Y")] {
            if let Some(wanted) = tracker.wanted_name(Kind::Environ, OsStr::new(name)) {
                tracker.record(OsStr::new(owner), wanted);
            }
        }
        let rows = tracker.take().into_iter().map(|row| (row.owner.into_string().unwrap(), row.subject));
        let expected =
            [("a", "X"), ("a", "*"), ("b", "Y")].map(|(owner, name)| (owner.to_owned(), OsString::from(name)));
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}
