//! The changes in divided files, and the tests that these changes concern.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::freshness::verdict::Verdict;
use crate::functions::outline::{Change, Outline};
use crate::records::table::{DependencyId, Entry, Subject, Table, TextId};

/// What changed in the files of some dependencies, and which of these changes concern everybody.
#[derive(Default)]
pub(crate) struct Changes {
    /// The files as they are now; None where that can't be read.
    pub(crate) now: FxHashMap<TextId, Option<Outline>>,
    pub(crate) by_dependency: FxHashMap<DependencyId, Change>,
    /// Files of which a changed function ran before the tests of any test file: what it left is there for all.
    pub(crate) for_all: FxHashSet<TextId>,
}

impl Changes {
    /// The names of functions of a file.
    pub(crate) fn names(&self, file: TextId, functions: &[usize]) -> Vec<String> {
        let all = self.now.get(&file).and_then(Option::as_ref).map_or(&[][..], |outline| &outline.functions);
        functions.iter().filter_map(|function| all.get(*function)).map(|function| function.name.clone()).collect()
    }

    /// Whether the change of a file's content leaves out everything that this test file ran. A process that it starts
    /// may run anything.
    pub(crate) fn is_unconcerned(&self, table: &Table, entry: &Entry, id: DependencyId) -> bool {
        let (Some(change), Some(one)) = (self.by_dependency.get(&id), table.dependency(id)) else { return false };
        let Some(divided) = entry.divided.iter().find(|divided| divided.dependency == id) else { return false };
        if entry.dependencies.iter().any(|id| table.dependency(*id).is_some_and(|one| one.subject == Subject::Project))
        {
            return false;
        }
        match change {
            Change::Nothing => true,
            Change::Bodies(bodies) => {
                !self.for_all.contains(&one.name) && !bodies.iter().any(|body| divided.ran.has(*body))
            }
            Change::Rest => false,
        }
    }
}

/// What the last check found.
#[derive(Default)]
pub(crate) struct LastCheck {
    pub(crate) verdicts: FxHashMap<DependencyId, Verdict>,
    pub(crate) functions: Changes,
}
