//! The functions of a first-party file that a test file's tests ran.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};

use crate::records::json::Json;
use crate::records::text::Text;

/// A set of small numbers; in JSON hexadecimal digits, the lowest eight numbers first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits(pub Box<[u8]>);

impl Bits {
    /// The numbers, all below `count`.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = usize>, count: usize) -> Self {
        let mut bytes = vec![0; count.div_ceil(8)];
        for number in numbers {
            if let Some(byte) = bytes.get_mut(number / 8) {
                *byte |= 1 << (number % 8);
            }
        }
        Self(bytes.into())
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        self.0.get(number / 8).is_some_and(|byte| byte & (1 << (number % 8)) != 0)
    }

    /// Its numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 8).filter(|number| self.has(*number))
    }

    fn json(&self, out: &mut Json) {
        out.raw("\"");
        for byte in &self.0 {
            out.raw(&format!("{byte:02x}"));
        }
        out.raw("\"");
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes =
            pairs.map(|pair| pair.filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        let bytes: Option<Box<[u8]>> = bytes.collect();
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not a set of numbers"))
    }
}

/// A file of the closure that is divided: its functions by their place in its outline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Divided {
    pub(crate) file: Text,
    /// The number of functions.
    pub(crate) count: usize,
    /// Those that ran for this test file at any time.
    pub(crate) ran: Bits,
    /// Those of them that ran before its tests: what they left is there for every test file.
    pub(crate) before: Bits,
    /// Those that ran in its children outside of a single test.
    pub(crate) outside: Bits,
}

/// All that is known of the functions that ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Functions {
    /// Sorted by file.
    pub(crate) divided: Vec<Divided>,
    /// Sets of functions, each as the functions of all divided files counted through, and sorted.
    pub(crate) sets: Vec<Vec<u32>>,
    /// For each test of the record the set that it ran by itself; None where that is not known.
    pub(crate) tests: Vec<Option<u32>>,
    /// The reason for which no file is divided.
    pub(crate) undivided: Text,
}

impl Functions {
    /// The indexes of the tests that ran one of these functions, or of which it is not known what they ran, such as those
    /// that started a process; None if any test may have run one, since one ran outside of the tests.
    #[must_use]
    pub(crate) fn tests_that_ran(&self, changed: &[(Text, Vec<usize>)]) -> Option<Vec<usize>> {
        let mut numbers = BTreeSet::new();
        for (file, functions) in changed {
            // Of a file that is not divided here it is not known who ran what changed.
            if !self.divided.iter().any(|divided| divided.file == *file) {
                return None;
            }
            let mut start = 0;
            for divided in &self.divided {
                if divided.file == *file {
                    let is_common = |function: &usize| divided.before.has(*function) || divided.outside.has(*function);
                    if functions.iter().any(is_common) {
                        return None;
                    }
                    numbers.extend(functions.iter().filter_map(|function| u32::try_from(start + function).ok()));
                }
                start += divided.count;
            }
        }
        let ran = |set: &Vec<u32>| set.iter().any(|number| numbers.contains(number));
        let sets: Vec<bool> = self.sets.iter().map(ran).collect();
        let mut found = Vec::new();
        for (index, set) in self.tests.iter().enumerate() {
            if set.is_none_or(|set| sets.get(set as usize).is_none_or(|ran| *ran)) {
                found.push(index);
            }
        }
        Some(found)
    }

    pub(crate) fn json(&self, out: &mut Json) {
        out.raw("{");
        out.key("divided");
        out.list(&self.divided, |out, one| {
            out.raw("{");
            out.key("file");
            out.text(&one.file);
            out.key("count");
            out.raw(&one.count.to_string());
            out.key("ran");
            one.ran.json(out);
            out.key("before");
            one.before.json(out);
            out.key("outside");
            one.outside.json(out);
            out.raw("}");
        });
        out.key("sets");
        out.list(&self.sets, |out, set| out.list(set, |out, number| out.raw(&number.to_string())));
        out.key("tests");
        out.list(&self.tests, |out, set| out.optional(set.as_ref(), |out, set| out.raw(&set.to_string())));
        out.key("undivided");
        out.text(&self.undivided);
        out.raw("}");
    }
}

/// Code objects of one file: first line and qualified name of each.
pub type CodePlaces = Vec<(u32, String)>;

/// What a run says of the functions that ran. Places are counted through in the order of `files`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionsDraft {
    /// Files whose functions were watched, each with the places of those that ran in children.
    pub(crate) files: Vec<(Text, CodePlaces)>,
    pub(crate) ran: Vec<usize>,
    pub(crate) outside: Vec<usize>,
    /// Of each test.
    pub(crate) tests: Vec<Option<Vec<usize>>>,
    pub(crate) undivided: Text,
}
