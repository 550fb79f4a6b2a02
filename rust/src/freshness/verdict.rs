//! Decides which records still hold.
//!
//! A verdict is a pure function of a record and of what is on the disk now. Reading the disk, each subject once
//! however many records name it, is here, too.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::filesystem::stat::FileStamp;
use crate::freshness::fingerprint::{self, Found};
use crate::freshness::importable::Folders;
use crate::freshness::project_files;
use crate::process::thread_pool::map_chunks;
use crate::records::table::{Cached, Dependency, DependencyId, Entry, Subject, Table, TextId};

/// Variables by name, as bytes.
pub type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// Whether a record holds, or the first reason why it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no record.
    Unknown,
    /// The record was made in another epoch.
    Epoch,
    /// An input may have changed while the test file ran.
    Unsettled,
    /// The test file did not pass.
    Failed,
    /// A file is missing.
    Gone,
    /// A file has another content.
    Content,
    /// A file exists that did not.
    Appeared,
    /// A folder lists other names.
    Listing,
    /// The files of a declared pattern changed.
    Declared,
    /// An environment variable changed.
    Environment,
    /// The files of the project changed.
    Project,
    /// A folder gives other modules to import.
    Layout,
    /// The record holds.
    Fresh,
}

impl Verdict {
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Epoch => "epoch",
            Self::Unsettled => "unsettled",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::Content => "content",
            Self::Appeared => "appeared",
            Self::Listing => "listing",
            Self::Declared => "declared",
            Self::Environment => "environment",
            Self::Project => "project",
            Self::Layout => "layout",
            Self::Fresh => "fresh",
        }
    }
}

/// A verdict, and the text that it is about.
pub(crate) type Judged = (Verdict, Option<TextId>);

/// How a dependency changed; None if it is as the record says.
#[must_use]
pub(crate) fn change(dependency: &Dependency, found: Found) -> Option<Verdict> {
    let is_same = match (dependency.fingerprint, found) {
        (None, Found::Missing) => true,
        (Some(then), Found::Is(now)) => then == now,
        _other => false,
    };
    let changed = match (dependency.subject, dependency.fingerprint, found) {
        (Subject::File, Some(_), Found::Missing) => Verdict::Gone,
        (Subject::File, None, _) => Verdict::Appeared,
        (Subject::File, ..) => Verdict::Content,
        (Subject::Listing, ..) => Verdict::Listing,
        (Subject::Declared, ..) => Verdict::Declared,
        (Subject::Environment, ..) => Verdict::Environment,
        (Subject::Project, ..) => Verdict::Project,
        (Subject::Layout, ..) => Verdict::Layout,
    };
    (!is_same).then_some(changed)
}

/// The verdict where a record decides it without any look at the disk.
#[must_use]
pub(crate) fn judge_without_io(entry: Option<&Entry>, epochs: &[TextId]) -> Option<Judged> {
    let Some(entry) = entry else { return Some((Verdict::Unknown, None)) };
    if !epochs.contains(&entry.epoch) {
        return Some((Verdict::Epoch, Some(entry.epoch)));
    }
    if let Some(path) = entry.unsettled {
        return Some((Verdict::Unsettled, Some(path)));
    }
    (!entry.is_clean).then_some((Verdict::Failed, None))
}

/// The first dependency that changed. `changes` says how one did, `found` what is there of it, `is_unconcerned` whether
/// a changed content leaves out what this test file ran.
pub(crate) fn judge(
    table: &Table,
    entry: &Entry,
    found: impl Fn(&Dependency) -> Found,
    changes: impl Fn(DependencyId) -> Option<Verdict>,
    is_unconcerned: impl Fn(DependencyId) -> bool,
) -> Judged {
    let concerns = |id: DependencyId, verdict: &Verdict| *verdict != Verdict::Content || !is_unconcerned(id);
    let change = |id: DependencyId| changes(id).filter(|verdict| concerns(id, verdict));
    let changed = entry.dependencies.iter().find_map(|id| Some((change(*id)?, table.dependency(*id)?.name)));
    match changed {
        // Layouts come last, so nothing else changed.
        Some((Verdict::Layout, _)) if is_confirmed(table, entry, found) => (Verdict::Fresh, None),
        Some((verdict, name)) => (verdict, Some(name)),
        None => (Verdict::Fresh, None),
    }
}

/// Whether all folders together look as confirmed: a mixture of two states was never observed.
fn is_confirmed(table: &Table, entry: &Entry, found: impl Fn(&Dependency) -> Found) -> bool {
    let is_same = |one: Dependency| one.fingerprint.is_some() && found(&one).fingerprint() == one.fingerprint;
    !entry.confirmed.is_empty() && entry.confirmed.iter().all(|id| table.dependency(*id).is_some_and(is_same))
}

/// The state of one subject on the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) found: Found,
    /// The status, where the subject is a file.
    pub(crate) stat: Option<FileStamp>,
    /// The latest moment at which it may have been changed.
    pub(crate) newest: i64,
}

/// The circumstances under which subjects are observed.
pub(crate) struct Snapshot<'a> {
    pub(crate) root: &'a Path,
    /// The store's own folder.
    pub(crate) own: &'a Path,
    pub(crate) environment: &'a Variables,
    /// Files that runs write.
    pub(crate) reports: &'a HashSet<PathBuf>,
    /// If times matter: those before it do not.
    pub(crate) since: Option<i64>,
    pub(crate) folders: &'a Folders,
}

pub(crate) type Hashed = Vec<(Vec<u8>, Cached)>;

impl Snapshot<'_> {
    fn path(&self, text: &[u8]) -> PathBuf {
        match text {
            b"." => self.root.to_owned(),
            _other => self.root.join(OsStr::from_bytes(text)),
        }
    }

    fn observe(&self, table: &Table, subject: Subject, id: TextId) -> (Observed, Hashed) {
        let name = table.text(id);
        let mut hashed = Vec::new();
        let known = |path: &Path| {
            let path = path.strip_prefix(self.root).unwrap_or(path);
            table.cached.get(&table.id(path.as_os_str().as_bytes())?)
        };
        let (found, stat, newest) = match subject {
            Subject::File => {
                let look = fingerprint::file(&self.path(name), table.cached.get(&id));
                hashed.extend(look.cached.map(|cached| (name.to_vec(), cached)));
                (look.found, look.stat, look.stat.map_or(0, |stat| stat.newest()))
            }
            Subject::Listing => {
                let folder = self.path(name);
                let stat = FileStamp::of(&folder).ok();
                let newest = stat.map_or_else(|| FileStamp::newest_above(&folder), |stat| stat.newest());
                // A link that leads elsewhere since then may lead to an old folder.
                (fingerprint::listing(&folder, self.own), stat, newest.max(FileStamp::newest_link(&folder)))
            }
            Subject::Project => {
                let place = self.path(name);
                let all = project_files::below(&place, |path| path == self.own || self.reports.contains(path));
                if all.partial {
                    return (Observed { found: Found::Unreadable, stat: None, newest: i64::MAX }, hashed);
                }
                let (found, newest) = fingerprint::contents(&place, &all.files, known, &mut hashed);
                (found, None, newest.max(all.newest))
            }
            Subject::Declared => {
                let (found, newest) = fingerprint::declared(self.root, name, self.own, known, &mut hashed);
                (found, None, newest)
            }
            Subject::Layout => {
                let (found, newest) = self.folders.layout(&self.path(name), self.since);
                (found, None, newest)
            }
            Subject::Environment => (self.variable(name), None, 0),
        };
        (Observed { found, stat, newest }, hashed)
    }

    fn variable(&self, name: &[u8]) -> Found {
        if name == b"*" {
            return Found::Is(fingerprint::environment(self.environment.iter()));
        }
        self.environment.get(name).map_or(Found::Missing, |value| Found::Is(fingerprint::variable(name, value)))
    }
}

/// The observed state of each subject, sorted by subject.
#[derive(Default)]
pub(crate) struct OnDisk(Vec<((Subject, TextId), Observed)>);

impl OnDisk {
    #[must_use]
    pub(crate) fn of(&self, subject: Subject, name: TextId) -> Option<Observed> {
        let at = self.0.binary_search_by_key(&(subject, name), |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, seen)| *seen)
    }

    /// Everything that was looked at.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Subject, TextId, Observed)> + '_ {
        self.0.iter().map(|((subject, id), seen)| (*subject, *id, *seen))
    }

    /// A subject that was not observed is not known to be the same.
    #[must_use]
    pub(crate) fn found(&self, dependency: &Dependency) -> Found {
        self.of(dependency.subject, dependency.name).map_or(Found::Unreadable, |seen| seen.found)
    }
}

/// Looks at each subject once, and keeps in the table what was hashed.
pub(crate) fn observe_on_disk(
    table: &mut Table,
    snapshot: &Snapshot<'_>,
    mut subjects: Vec<(Subject, TextId)>,
) -> OnDisk {
    subjects.sort_unstable();
    subjects.dedup();
    let looks = map_chunks(&subjects, |(subject, id)| snapshot.observe(table, *subject, *id));
    let root = snapshot.root.as_os_str().as_bytes();
    let mut on_disk = Vec::with_capacity(subjects.len());
    for (subject, (seen, hashed)) in subjects.into_iter().zip(looks) {
        on_disk.push((subject, seen));
        for (path, cached) in hashed {
            let below = path.strip_prefix(root).and_then(|path| path.strip_prefix(b"/"));
            let id = table.intern(below.unwrap_or(&path));
            table.cached.insert(id, cached);
        }
    }
    OnDisk(on_disk)
}

/// The subjects of some dependencies.
#[must_use]
pub(crate) fn subjects_of(table: &Table, dependencies: &FxHashSet<DependencyId>) -> Vec<(Subject, TextId)> {
    dependencies.iter().filter_map(|id| table.dependency(*id)).map(|one| (one.subject, one.name)).collect()
}

/// The dependencies that changed, each with its verdict: few, as a rule.
#[must_use]
pub(crate) fn changes(
    table: &Table,
    dependencies: &FxHashSet<DependencyId>,
    on_disk: &OnDisk,
) -> FxHashMap<DependencyId, Verdict> {
    let changed = |id: &DependencyId| {
        let dependency = table.dependency(*id)?;
        Some((*id, change(&dependency, on_disk.found(&dependency))?))
    };
    dependencies.iter().filter_map(changed).collect()
}
