//! Extends a record by what a run of a part of its tests saw.
//!
//! An extended record depends on everything that it depended on, in the same state, so it holds only where the old one
//! would have held. What a part of the tests did can take nothing away, and can make nothing fresh.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::records::functions::{Bits, Divided, Functions};
use crate::records::record::{Pair, Record, Test};
use crate::records::rounding;
use crate::records::text::Text;

/// Outcomes from best to worst.
const OUTCOMES: [&[u8]; 7] = [b"passed", b"skipped", b"xfailed", b"xpassed", b"rerun", b"error", b"failed"];

/// The old record, extended by `new`, which states what a part of the tests did. `is_numbered_alike` says whether the
/// indexes of a file's functions mean the same in both.
#[must_use]
pub(crate) fn extended(old: &Record, new: Record, is_numbered_alike: impl Fn(&Text) -> bool) -> Record {
    let clean = new.is_clean();
    let files = Files::of(old);
    let functions = joined(old, &new, is_numbered_alike);
    let mut dynamic = old.dynamic.clone();
    for (name, path) in new.dynamic {
        dynamic.entry(name).or_insert(path);
    }
    let closure = new.closure.into_iter().map(|(name, found)| {
        let known = files.reads.get(&name).copied().unwrap_or(found);
        (name, known)
    });
    let reads = new.reads.into_iter().filter(|(name, _)| !files.closure.contains(name));
    Record {
        outcome: if clean { old.outcome.clone() } else { Text::from("failed") },
        tests: old.tests.iter().map(|test| with_outcome(test, &new.tests)).collect(),
        closure: pairs(&old.closure, closure),
        dynamic,
        coupled_with: texts(&old.coupled_with, new.coupled_with),
        roots: in_order(&old.roots, new.roots),
        reads: pairs(&old.reads, reads),
        listings: pairs(&old.listings, new.listings.into_iter()),
        layout: pairs(&old.layout, new.layout.into_iter()),
        environment: pairs(&old.environment, new.environment.into_iter()),
        declared: pairs(&old.declared, new.declared.into_iter()),
        started: texts(&old.started, new.started),
        project: pairs(&old.project, new.project.into_iter()),
        distributions: map(&old.distributions, new.distributions),
        modules: map(&old.modules, new.modules),
        flags: texts(&old.flags, new.flags),
        ports: texts(&old.ports, new.ports),
        writes: texts(&old.writes, new.writes),
        serial: texts(&old.serial, new.serial),
        functions,
        ..old.clone()
    }
}

/// The old record's files that were imported, and those that were read.
struct Files<'a> {
    closure: HashSet<&'a Text>,
    reads: HashMap<&'a Text, Option<crate::records::record::Fingerprint>>,
}

impl<'a> Files<'a> {
    fn of(old: &'a Record) -> Self {
        Self {
            closure: old.closure.iter().map(|(name, _)| name).collect(),
            reads: old.reads.iter().map(|(name, found)| (name, *found)).collect(),
        }
    }
}

fn pairs(old: &[Pair], new: impl Iterator<Item = Pair>) -> Vec<Pair> {
    let known: HashSet<&Text> = old.iter().map(|(name, _)| name).collect();
    let mut all = old.to_vec();
    all.extend(new.filter(|(name, _)| !known.contains(name)));
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn texts(old: &[Text], new: Vec<Text>) -> Vec<Text> {
    Vec::from_iter(old.iter().cloned().chain(new).collect::<BTreeSet<Text>>())
}

fn in_order(old: &[Text], new: Vec<Text>) -> Vec<Text> {
    let mut all = old.to_vec();
    all.extend(new.into_iter().filter(|one| !old.contains(one)));
    all
}

fn map(old: &BTreeMap<Text, Text>, new: BTreeMap<Text, Text>) -> BTreeMap<Text, Text> {
    let mut all = new;
    all.extend(old.clone());
    all
}

/// The worse outcome of the two, and the mean of the seconds. A test that the old record does not know is not added.
fn with_outcome(test: &Test, new: &[Test]) -> Test {
    let Some((_, outcome, seconds)) = new.iter().find(|(node_id, _, _)| *node_id == test.0) else {
        return test.clone();
    };
    let rank = |outcome: &Text| OUTCOMES.iter().position(|one| *one == outcome.0.as_slice()).unwrap_or(OUTCOMES.len());
    let worse = if rank(outcome) > rank(&test.1) { outcome.clone() } else { test.1.clone() };
    (test.0.clone(), worse, rounding::mean(test.2, *seconds))
}

/// A function as (place of its file among the divided ones, its index in the file).
type Function = (usize, usize);

/// The numbers of functions, counted through all divided files, as functions.
fn numbered(divided: &[Divided]) -> Vec<Function> {
    divided.iter().enumerate().flat_map(|(file, one)| (0..one.count).map(move |index| (file, index))).collect()
}

fn functions_in<'a>(set: &'a [u32], numbers: &'a [Function]) -> impl Iterator<Item = Function> + 'a {
    set.iter().filter_map(|number| numbers.get(*number as usize).copied())
}

/// The functions that ran then, and those that ran now. A file that one of the two does not divide is not divided.
fn joined(old: &Record, new: &Record, is_numbered_alike: impl Fn(&Text) -> bool) -> Functions {
    if !old.functions.undivided.0.is_empty() {
        return old.functions.clone();
    }
    if !new.functions.undivided.0.is_empty() {
        return Functions { undivided: new.functions.undivided.clone(), ..Functions::default() };
    }
    let mut merge = Merge::default();
    let closure: HashSet<&Text> = new.closure.iter().map(|(name, _)| name).collect();
    for (then, one) in old.functions.divided.iter().enumerate() {
        match new.functions.divided.iter().position(|other| other.file == one.file) {
            // It was looked at otherwise than to import it.
            None if closure.contains(&one.file) => {}
            Some(now) if is_numbered_alike(&one.file) => merge.join(one, then, &new.functions.divided[now], now),
            // Not imported, or so different that nothing can be added.
            _kept => merge.keep(one, then),
        }
    }
    merge.functions(old, new)
}

#[derive(Default)]
struct Merge {
    divided: Vec<Divided>,
    /// The place of a file before -> its place in `divided`.
    of_old: HashMap<usize, usize>,
    of_new: HashMap<usize, usize>,
}

impl Merge {
    fn keep(&mut self, one: &Divided, then: usize) {
        self.of_old.insert(then, self.divided.len());
        self.divided.push(one.clone());
    }

    fn join(&mut self, one: &Divided, then: usize, other: &Divided, now: usize) {
        self.of_old.insert(then, self.divided.len());
        self.of_new.insert(now, self.divided.len());
        let union = |one_of: &Bits, other_of: &Bits| Bits::of(one_of.numbers().chain(other_of.numbers()), one.count);
        self.divided.push(Divided {
            file: one.file.clone(),
            count: one.count,
            ran: union(&one.ran, &other.ran),
            before: union(&one.before, &other.before),
            outside: union(&one.outside, &other.outside),
        });
    }

    fn functions(self, old: &Record, new: &Record) -> Functions {
        let mut starts = Vec::new();
        let mut next = 0;
        for one in &self.divided {
            starts.push(next);
            next += one.count;
        }
        let number = |places: &HashMap<usize, usize>, (file, index): Function| {
            u32::try_from(starts.get(*places.get(&file)?)? + index).ok()
        };
        let (old_numbers, new_numbers) = (numbered(&old.functions.divided), numbered(&new.functions.divided));
        let now: HashMap<&Text, usize> =
            new.tests.iter().enumerate().map(|(index, (node_id, _, _))| (node_id, index)).collect();
        let (mut sets, mut order): (BTreeMap<Vec<u32>, u32>, Vec<Vec<u32>>) = (BTreeMap::new(), Vec::new());
        let mut tests = Vec::new();
        for (index, (node_id, _, _)) in old.tests.iter().enumerate() {
            let set = set_of(&old.functions, index).and_then(|set| {
                let then = functions_in(set, &old_numbers).filter_map(|one| number(&self.of_old, one));
                let mut all: BTreeSet<u32> = then.collect();
                if let Some(index) = now.get(node_id) {
                    let set = set_of(&new.functions, *index)?;
                    all.extend(functions_in(set, &new_numbers).filter_map(|one| number(&self.of_new, one)));
                }
                Some(all.into_iter().collect::<Vec<u32>>())
            });
            tests.push(set.and_then(|set| {
                let next = u32::try_from(order.len()).ok()?;
                Some(*sets.entry(set).or_insert_with_key(|set| {
                    order.push(set.clone());
                    next
                }))
            }));
        }
        Functions { divided: self.divided, sets: order, tests, undivided: Text::default() }
    }
}

fn set_of(functions: &Functions, test: usize) -> Option<&Vec<u32>> {
    functions.sets.get((*functions.tests.get(test)?)? as usize)
}
