//! Divides the files of a test file's closure by the functions that ran.

use std::collections::{BTreeMap, BTreeSet};

use crate::functions::outline::{Outline, Place};
use crate::records::functions::{Bits, Divided, Functions, FunctionsDraft};
use crate::records::text::Text;

/// The functions of a draft by their place in the outlines. A file without an outline, or with code that its source
/// does not have, is not divided. `name_of`: a file as the record names it.
pub fn divide<'a>(
    draft: &FunctionsDraft,
    name_of: impl Fn(&Text) -> Text,
    outline_of: impl Fn(&Text) -> Option<&'a Outline>,
) -> Functions {
    let mut first = 0;
    let mut files: BTreeMap<Text, (&Outline, Vec<Place>, usize)> = BTreeMap::new();
    for (file, places) in &draft.files {
        let name = name_of(file);
        if let Some(outline) = outline_of(&name) {
            let places: Vec<Place> = places.iter().map(|(line, name)| outline.place_of(*line, name)).collect();
            if !places.contains(&Place::Unknown) {
                files.insert(name, (outline, places, first));
            }
        }
        first += places.len();
    }
    let mut numbered = Numbered::default();
    for (name, (outline, places, first)) in files {
        numbered.add(name, outline.functions.len(), &places, first);
    }
    numbered.functions(draft)
}

/// The divided files, and each place of the draft as (file, function).
#[derive(Default)]
struct Numbered {
    files: Vec<(Text, usize)>,
    by_place: BTreeMap<usize, (usize, usize)>,
    /// The number of the first function of each file, counted through.
    starts: Vec<usize>,
    next: usize,
}

impl Numbered {
    fn add(&mut self, name: Text, count: usize, places: &[Place], first: usize) {
        let file = self.files.len();
        for (at, place) in places.iter().enumerate() {
            if let Place::Function(function) = place {
                self.by_place.insert(first + at, (file, *function));
            }
        }
        self.files.push((name, count));
        self.starts.push(self.next);
        self.next += count;
    }

    fn functions(&self, draft: &FunctionsDraft) -> Functions {
        let (ran, before) = (self.by_file(&draft.ran), self.by_file(&draft.before));
        let outside = self.by_file(&draft.outside);
        let none = BTreeSet::new();
        let divided = self.files.iter().enumerate().map(|(file, (name, count))| {
            let bits = |found: &BTreeMap<usize, BTreeSet<usize>>| {
                Bits::of(found.get(&file).unwrap_or(&none).iter().copied(), *count)
            };
            Divided {
                file: name.clone(),
                count: *count,
                ran: bits(&ran),
                before: bits(&before),
                outside: bits(&outside),
            }
        });
        let mut sets: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut order = Vec::new();
        let tests = draft.tests.iter().map(|ran| {
            let set = self.counted_through(ran.as_ref()?);
            let next = u32::try_from(order.len()).ok()?;
            Some(*sets.entry(set).or_insert_with_key(|set| {
                order.push(set.clone());
                next
            }))
        });
        let tests = tests.collect();
        Functions { divided: divided.collect(), sets: order, tests, undivided: draft.undivided.clone() }
    }

    fn by_file(&self, places: &[usize]) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (file, function) in places.iter().filter_map(|place| self.by_place.get(place)) {
            found.entry(*file).or_default().insert(*function);
        }
        found
    }

    fn counted_through(&self, places: &[usize]) -> Vec<u32> {
        let number = |(file, function): &(usize, usize)| self.starts.get(*file).map_or(0, |start| start + function);
        let numbers = places.iter().filter_map(|place| self.by_place.get(place)).map(number);
        let numbers: BTreeSet<u32> = numbers.filter_map(|number| u32::try_from(number).ok()).collect();
        numbers.into_iter().collect()
    }
}
