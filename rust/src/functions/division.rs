//! Divides the files of a test file's closure by the functions that ran.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::functions::outline::{Outline, Place};
use crate::records::functions::{Bits, CodePlaces, Divided, Functions, FunctionsDraft};
use crate::records::text::Text;

/// The outlines of the files of a run, by name, and the functions of each that ran before all tests. A file of which
/// code ran then that its source does not have is missing.
pub struct Divisible {
    outlines: HashMap<Text, (Outline, BTreeSet<usize>)>,
}

impl Divisible {
    /// `before`: what ran before all tests, by file.
    #[must_use]
    pub fn new(outlines: HashMap<Text, Outline>, before: &HashMap<Text, &CodePlaces>) -> Self {
        let with_before = |(name, outline): (Text, Outline)| {
            let places = before.get(&name).map_or(Some(BTreeSet::new()), |places| functions_at(&outline, places))?;
            Some((name, (outline, places)))
        };
        Self { outlines: outlines.into_iter().filter_map(with_before).collect() }
    }

    /// The functions of a draft by their place in the outlines. A file without an outline, or with code that its source
    /// does not have, is not divided. `name_of`: a file as the record names it.
    #[must_use]
    pub fn divide(&self, draft: &FunctionsDraft, name_of: impl Fn(&Text) -> Text) -> Functions {
        let mut files = BTreeMap::new();
        let mut first = 0;
        for (file, places) in &draft.files {
            let name = name_of(file);
            if let Some((outline, before)) = self.outlines.get(&name)
                && let Some(places) = places_at(outline, places)
            {
                files.insert(name, (outline.functions.len(), before, places, first));
            }
            first += places.len();
        }
        let mut numbered = Numbered::default();
        for (name, (count, before, places, first)) in files {
            numbered.add(name, count, before, &places, first);
        }
        numbered.functions(draft)
    }
}

/// Where these code objects come from; None if one is not of the source.
fn places_at(outline: &Outline, places: &CodePlaces) -> Option<Vec<Place>> {
    let places: Vec<Place> = places.iter().map(|(line, name)| outline.place_of(*line, name)).collect();
    (!places.contains(&Place::Unknown)).then_some(places)
}

fn functions_at(outline: &Outline, places: &CodePlaces) -> Option<BTreeSet<usize>> {
    let function = |place: Place| if let Place::Function(function) = place { Some(function) } else { None };
    Some(places_at(outline, places)?.into_iter().filter_map(function).collect())
}

/// The divided files, and each place of the draft as (file, function).
#[derive(Default)]
struct Numbered<'a> {
    files: Vec<(Text, usize, &'a BTreeSet<usize>)>,
    by_place: BTreeMap<usize, (usize, usize)>,
    /// The number of the first function of each file, counted through.
    starts: Vec<usize>,
    next: usize,
}

impl<'a> Numbered<'a> {
    fn add(&mut self, name: Text, count: usize, before: &'a BTreeSet<usize>, places: &[Place], first: usize) {
        let file = self.files.len();
        for (at, place) in places.iter().enumerate() {
            if let Place::Function(function) = place {
                self.by_place.insert(first + at, (file, *function));
            }
        }
        self.files.push((name, count, before));
        self.starts.push(self.next);
        self.next += count;
    }

    fn functions(&self, draft: &FunctionsDraft) -> Functions {
        let (ran, outside) = (self.by_file(&draft.ran), self.by_file(&draft.outside));
        let none = BTreeSet::new();
        let divided = self.files.iter().enumerate().map(|(file, (name, count, before))| {
            let of = |found: &BTreeMap<usize, BTreeSet<usize>>| found.get(&file).unwrap_or(&none).clone();
            Divided {
                file: name.clone(),
                count: *count,
                ran: Bits::of(of(&ran).union(before).copied(), *count),
                before: Bits::of(before.iter().copied(), *count),
                outside: Bits::of(of(&outside), *count),
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
