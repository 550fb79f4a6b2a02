//! Turns the draft of a run into a record: relative paths, sorted lists, fingerprints, and whether an input changed
//! while the test file ran.
//!
//! An input counts as changed if its status differs from that at the first touch, or if it was changed after the
//! start. A folder or a pattern, whose times also move for `__pycache__` and the like, counts as unchanged if it looks
//! now as it did at a check before the start.

use std::collections::BTreeSet;

use crate::filesystem::stat::GRANULARITY;
use crate::freshness::fingerprint::Found;
use crate::freshness::verdict::{Observed, OnDisk};
use crate::functions::division::Divisible;
use crate::records::functions::Functions;
use crate::records::record::{Costs, Draft, Pair, Record, Touch};
use crate::records::root::Root;
use crate::records::rounding::rounded;
use crate::records::table::{Subject, Table, TextId};
use crate::records::text::Text;

/// A draft in the form of the record, before anything was looked at.
pub struct Plan {
    draft: Draft,
    file: Text,
    layout: Vec<Text>,
}

fn sorted(texts: impl IntoIterator<Item = Text>) -> Vec<Text> {
    Vec::from_iter(BTreeSet::from_iter(texts))
}

impl Plan {
    /// `file` as the root shows it.
    #[must_use]
    pub fn new(root: &Root, file: Text, draft: Draft) -> Self {
        let paths = |list: Vec<Text>| sorted(list.iter().map(|path| root.shorten(&path.0)));
        let mut seen = BTreeSet::new();
        // Their order is that in which names are looked up.
        let roots: Vec<Text> = draft.roots.iter().map(|path| root.shorten(&path.0)).collect();
        let roots: Vec<Text> = roots.into_iter().filter(|path| seen.insert(path.clone())).collect();
        let mut closure = draft.closure;
        closure.push(file.clone());
        let closure = paths(closure);
        let draft = Draft {
            tests: draft.tests.into_iter().map(|(id, outcome, seconds)| (id, outcome, rounded(seconds))).collect(),
            costs: Costs {
                collection: rounded(draft.costs.collection),
                fixtures: rounded(draft.costs.fixtures),
                imports: rounded(draft.costs.imports),
            },
            dynamic: draft
                .dynamic
                .into_iter()
                .map(|(name, path)| (name, path.map(|one| root.shorten(&one.0))))
                .collect(),
            coupled_with: paths(draft.coupled_with),
            reads: reads(root, draft.reads),
            listings: paths(draft.listings),
            environment: sorted(draft.environment),
            declared: paths(draft.declared),
            started: sorted(draft.started),
            project: paths(draft.project),
            flags: sorted(draft.flags),
            ports: sorted(draft.ports),
            writes: paths(draft.writes),
            serial: sorted(draft.serial),
            epoch: draft.epoch,
            outcome: draft.outcome,
            distributions: draft.distributions,
            modules: draft.modules,
            roots,
            closure,
            functions: draft.functions,
        };
        Self { layout: layout(&draft), draft, file }
    }

    /// The record, by what was seen of its subjects. `before`: whether something looked the same before the start.
    #[must_use]
    pub fn record(
        &self,
        table: &Table,
        on_disk: &OnDisk,
        since: i64,
        before: impl Fn(Subject, TextId, Observed) -> bool,
        functions: Functions,
    ) -> Record {
        let seen = |subject: Subject, name: &Text| {
            let unseen = Observed { found: Found::Unreadable, stat: None, newest: i64::MAX };
            table.id(&name.0).and_then(|id| on_disk.of(subject, id)).unwrap_or(unseen)
        };
        let unsettled = self.unsettled(since, &seen, |subject, name| {
            table.id(&name.0).is_some_and(|id| before(subject, id, seen(subject, name)))
        });
        let pair = |subject: Subject, name: Text| {
            let found = seen(subject, &name).found;
            (name, found.fingerprint())
        };
        let pairs =
            |subject, names: Vec<Text>| -> Vec<Pair> { names.into_iter().map(|name| pair(subject, name)).collect() };
        let draft = self.draft.clone();
        Record {
            settled: unsettled.is_none(),
            unsettled,
            closure: pairs(Subject::File, draft.closure),
            reads: draft.reads.into_iter().map(|(path, _)| pair(Subject::File, path)).collect(),
            listings: pairs(Subject::Listing, draft.listings),
            layout: pairs(Subject::Layout, self.layout.clone()),
            environment: pairs(Subject::Environment, draft.environment),
            declared: pairs(Subject::Declared, draft.declared),
            project: pairs(Subject::Project, draft.project),
            started: draft.started,
            file: self.file.clone(),
            epoch: draft.epoch,
            outcome: draft.outcome,
            tests: draft.tests,
            costs: draft.costs,
            dynamic: draft.dynamic,
            coupled_with: draft.coupled_with,
            roots: draft.roots,
            distributions: draft.distributions,
            modules: draft.modules,
            flags: draft.flags,
            ports: draft.ports,
            writes: draft.writes,
            serial: draft.serial,
            functions,
        }
    }

    /// The functions that ran.
    #[must_use]
    pub fn functions(&self, root: &Root, divisible: &Divisible) -> Functions {
        divisible.divide(&self.draft.functions, |file| root.shorten(&file.0))
    }

    /// The files whose functions were watched.
    pub fn watched(&self, root: &Root) -> impl Iterator<Item = Text> {
        self.draft.functions.files.iter().map(|(file, _)| root.shorten(&file.0))
    }

    /// All that is to be looked at.
    pub fn subjects(&self, table: &mut Table) -> Vec<(Subject, TextId)> {
        let draft = &self.draft;
        let groups: [(Subject, Vec<&Text>); 6] = [
            (Subject::File, draft.closure.iter().chain(draft.reads.iter().map(|(path, _)| path)).collect()),
            (Subject::Listing, draft.listings.iter().collect()),
            (Subject::Declared, draft.declared.iter().collect()),
            (Subject::Environment, draft.environment.iter().collect()),
            (Subject::Project, draft.project.iter().collect()),
            (Subject::Layout, self.layout.iter().collect()),
        ];
        let all = groups.into_iter().flat_map(|(subject, names)| names.into_iter().map(move |name| (subject, name)));
        all.map(|(subject, name)| (subject, table.intern(&name.0))).collect()
    }

    /// The first input that changed while the test file ran.
    fn unsettled(
        &self,
        since: i64,
        seen: &impl Fn(Subject, &Text) -> Observed,
        before: impl Fn(Subject, &Text) -> bool,
    ) -> Option<Text> {
        let imported = |path: &&Text| is_imported_settled(seen(Subject::File, path), since);
        let read = |pair: &&(Text, Option<Touch>)| is_read_settled(seen(Subject::File, &pair.0), pair.1, since);
        let wide = |subject: Subject, name: &Text| {
            let seen = seen(subject, name);
            let is_readable = seen.found != Found::Unreadable;
            is_readable && (seen.newest < since || before(subject, name))
        };
        let draft = &self.draft;
        let first = |subject: Subject, names: &[Text]| names.iter().find(|name| !wide(subject, name)).cloned();
        let closure = draft.closure.iter().find(|path| !imported(path)).cloned();
        closure
            .or_else(|| draft.reads.iter().find(|pair| !read(pair)).map(|(path, _)| path.clone()))
            .or_else(|| first(Subject::Listing, &draft.listings))
            .or_else(|| first(Subject::Declared, &draft.declared))
            .or_else(|| first(Subject::Project, &draft.project))
            .or_else(|| first(Subject::Layout, &self.layout))
    }
}

fn is_imported_settled(seen: Observed, since: i64) -> bool {
    matches!(seen.found, Found::Is(_)) && seen.newest < since
}

fn is_read_settled(seen: Observed, touch: Option<Touch>, since: i64) -> bool {
    match (seen.found, seen.stat, touch) {
        (Found::Missing, _, None) => true,
        // Only the kind of a folder or a device counts.
        (Found::Is(_), Some(stat), Some(_)) if !stat.is_file() => true,
        (Found::Is(_), Some(stat), Some(touch)) => {
            (stat.mtime, stat.ctime, stat.size, stat.inode) == touch && seen.newest < since
        }
        _changed => false,
    }
}

/// The time before which changes do not matter.
#[must_use]
pub fn since(started: i64) -> i64 {
    started.saturating_sub(GRANULARITY)
}

/// The first touch counts where a file was touched twice.
fn reads(root: &Root, reads: Vec<(Text, Option<Touch>)>) -> Vec<(Text, Option<Touch>)> {
    let mut reads: Vec<_> = reads.into_iter().map(|(path, touch)| (root.shorten(&path.0), touch)).collect();
    reads.sort_by(|one, other| one.0.cmp(&other.0));
    reads.dedup_by(|one, other| one.0 == other.0);
    reads
}

/// The folders in which an added module may change what an import finds: the roots, the folder of each file, and what
/// lies between, where a module may come to stand before a namespace folder.
fn layout(draft: &Draft) -> Vec<Text> {
    let roots = &draft.roots;
    let mut folders: BTreeSet<Text> = roots.iter().cloned().collect();
    for file in &draft.closure {
        let mut folder = parent(file);
        folders.insert(folder.clone());
        let is_outside = folder.0.starts_with(b"/");
        if is_outside && !roots.iter().any(|root| is_below(&folder, root)) {
            continue;
        }
        while !roots.contains(&folder) && folder.0 != b"." && folder.0 != b"/" {
            folder = parent(&folder);
            folders.insert(folder.clone());
        }
    }
    for name in draft.dynamic.keys() {
        folders.extend(roots.iter().flat_map(|root| led_through(root, name)));
    }
    Vec::from_iter(folders)
}

/// The folders that `a.b.c` leads through. One without `__init__` has no file in the closure that would name it.
fn led_through(root: &Text, name: &Text) -> Vec<Text> {
    let parts: Vec<&[u8]> = name.0.split(|byte| *byte == b'.').collect();
    let is_name = parts.iter().all(|part| !part.is_empty() && !part.contains(&b'/'));
    let Some((_, parents)) = parts.split_last().filter(|_| is_name) else { return Vec::new() };
    let mut folder = root.clone();
    let below = |folder: &Text, part: &[u8]| match folder.0.as_slice() {
        b"." => Text(part.to_vec()),
        above => Text([above, b"/", part].concat()),
    };
    let mut found = Vec::new();
    for part in parents {
        folder = below(&folder, part);
        found.push(folder.clone());
    }
    found
}

fn is_below(folder: &Text, root: &Text) -> bool {
    folder.0.strip_prefix(root.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn parent(path: &Text) -> Text {
    match path.0.iter().rposition(|byte| *byte == b'/') {
        Some(0) => Text::from("/"),
        Some(end) => Text(path.0[..end].to_vec()),
        None => Text::from("."),
    }
}
