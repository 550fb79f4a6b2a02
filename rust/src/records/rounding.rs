//! Rounds and averages the seconds in a record.
//!
//! Seconds that barely moved stay as they were, so that a cache of records in continuous integration keeps its bytes.

use std::collections::HashMap;

use crate::records::record::{Costs, Record};
use crate::records::text::Text;

/// Below both of these a difference is noise: a quarter, and 5 ms.
const RELATIVE: f64 = 0.25;
const ABSOLUTE: f64 = 0.005;

/// To three significant digits.
#[must_use]
pub fn rounded(seconds: f64) -> f64 {
    format!("{seconds:.2e}").parse().unwrap_or(0.0)
}

/// Whether the stored record says the same but for seconds that barely moved.
#[must_use]
pub fn is_kept(old: &Record, new: &Record) -> bool {
    let as_old = Record { tests: old.tests.clone(), costs: old.costs, ..new.clone() };
    as_old == *old && same_tests(old, new) && numbers(old).zip(numbers(new)).all(|(old, new)| is_near(old, new))
}

fn same_tests(old: &Record, new: &Record) -> bool {
    let without_seconds = |record: &Record| -> Vec<(Text, Text)> {
        record.tests.iter().map(|(node_id, outcome, _)| (node_id.clone(), outcome.clone())).collect()
    };
    without_seconds(old) == without_seconds(new)
}

fn numbers(record: &Record) -> impl Iterator<Item = f64> + '_ {
    let Costs { collection, fixtures, imports } = record.costs;
    record.tests.iter().map(|test| test.2).chain([collection, fixtures, imports])
}

fn is_near(old: f64, new: f64) -> bool {
    (new - old).abs() < (RELATIVE * old.abs()).max(ABSOLUTE)
}

/// Half of what was known, half of what was measured.
pub fn average(old: &Record, new: &mut Record) {
    let known: HashMap<&Text, f64> = old.tests.iter().map(|(node_id, _, seconds)| (node_id, *seconds)).collect();
    for (node_id, _, seconds) in &mut new.tests {
        if let Some(before) = known.get(node_id) {
            *seconds = mean(*before, *seconds);
        }
    }
    new.costs = Costs {
        collection: mean(old.costs.collection, new.costs.collection),
        fixtures: mean(old.costs.fixtures, new.costs.fixtures),
        imports: mean(old.costs.imports, new.costs.imports),
    };
}

pub(crate) fn mean(old: f64, new: f64) -> f64 {
    rounded(0.5 * old + 0.5 * new)
}
