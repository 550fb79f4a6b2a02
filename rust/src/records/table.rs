//! All records in memory, reduced to what a check needs.
//!
//! Names and dependencies are stored once, however many records share them.

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::filesystem::stat::FileStamp;
use crate::records::functions::Bits;
use crate::records::record::{Fingerprint, Pair, Record};
use crate::records::text::Text;

pub(crate) type TextId = u32;
pub(crate) type DependencyId = u32;

/// The kinds of inputs. Their order is that of the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// A file that is imported or read.
    File,
    Listing,
    Declared,
    Environment,
    /// All files of the project in a folder, and below.
    Project,
    Layout,
}

impl Subject {
    pub(crate) const ALL: [Self; 6] =
        [Self::File, Self::Listing, Self::Declared, Self::Environment, Self::Project, Self::Layout];
}

/// A subject as a record says that it was; None where it did not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dependency {
    pub(crate) subject: Subject,
    pub(crate) name: TextId,
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// A file's status, and the fingerprint of the content that it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) stat: FileStamp,
    pub(crate) fingerprint: Fingerprint,
}

/// The functions of one file of the closure that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) dependency: DependencyId,
    pub(crate) ran: Bits,
    pub(crate) before: Bits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How the record file was when it was read.
    pub(crate) stamp: FileStamp,
    pub(crate) epoch: TextId,
    pub(crate) is_clean: bool,
    pub(crate) unsettled: Option<TextId>,
    /// In the order of the verdicts.
    pub(crate) dependencies: Box<[DependencyId]>,
    /// Layouts under which the record was found to hold, too.
    pub(crate) confirmed: Box<[DependencyId]>,
    pub(crate) ports: Box<[TextId]>,
    pub(crate) writes: Box<[TextId]>,
    /// Of the divided files.
    pub(crate) divided: Box<[Ran]>,
}

/// The maps take a quick hash: loading is mostly hashing, and nobody picks these keys to make them collide.
#[derive(Default)]
pub struct Table {
    pub(crate) texts: IndexSet<Box<[u8]>, FxBuildHasher>,
    /// Fingerprints by text, where that is the path of a file.
    pub(crate) cached: FxHashMap<TextId, Cached>,
    pub(crate) dependencies: IndexSet<Dependency, FxBuildHasher>,
    /// Entries by the path of their test file.
    pub(crate) entries: FxHashMap<TextId, Entry>,
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Table {
    pub(crate) fn intern(&mut self, text: &[u8]) -> TextId {
        if let Some(index) = self.texts.get_index_of(text) {
            return number(index);
        }
        number(self.texts.insert_full(text.into()).0)
    }

    #[must_use]
    pub(crate) fn id(&self, text: &[u8]) -> Option<TextId> {
        self.texts.get_index_of(text).map(number)
    }

    #[must_use]
    pub(crate) fn text(&self, id: TextId) -> &[u8] {
        self.texts.get_index(id as usize).map_or(&[], |text| text)
    }

    #[must_use]
    pub(crate) fn dependency(&self, id: DependencyId) -> Option<Dependency> {
        self.dependencies.get_index(id as usize).copied()
    }

    pub(crate) fn depend(&mut self, subject: Subject, name: &[u8], fingerprint: Option<Fingerprint>) -> DependencyId {
        let name = self.intern(name);
        number(self.dependencies.insert_full(Dependency { subject, name, fingerprint }).0)
    }

    /// Takes what a check needs of a record.
    pub(crate) fn insert(&mut self, record: &Record, stamp: FileStamp) {
        let file = self.intern(&record.file.0);
        let entry = Entry {
            stamp,
            epoch: self.intern(&record.epoch.0),
            is_clean: record.is_clean(),
            // Without a path it is unsettled all the same.
            unsettled: (!record.settled)
                .then(|| self.intern(record.unsettled.as_ref().map_or(b"", |path| path.0.as_slice()))),
            divided: self.divided(record),
            dependencies: self.dependencies_of(record),
            confirmed: Box::default(),
            ports: self.intern_all(&record.ports),
            writes: self.intern_all(&record.writes),
        };
        self.entries.insert(file, entry);
    }

    fn intern_all(&mut self, texts: &[Text]) -> Box<[TextId]> {
        texts.iter().map(|text| self.intern(&text.0)).collect()
    }

    fn divided(&mut self, record: &Record) -> Box<[Ran]> {
        let contents: FxHashMap<&Text, Option<Fingerprint>> =
            record.closure.iter().map(|(file, content)| (file, *content)).collect();
        let mut found = Vec::new();
        for one in &record.functions.divided {
            if let Some(content) = contents.get(&one.file) {
                let dependency = self.depend(Subject::File, &one.file.0, *content);
                found.push(Ran { dependency, ran: one.ran.clone(), before: one.before.clone() });
            }
        }
        found.into_boxed_slice()
    }

    fn dependencies_of(&mut self, record: &Record) -> Box<[DependencyId]> {
        let (all, named): (Vec<&Pair>, Vec<&Pair>) = record.environment.iter().partition(|(name, _)| name.0 == b"*");
        let groups: [(Subject, Vec<&Pair>); 6] = [
            (Subject::File, record.closure.iter().chain(&record.reads).collect()),
            (Subject::Listing, record.listings.iter().collect()),
            (Subject::Declared, record.declared.iter().collect()),
            // A named variable says more than all of them.
            (Subject::Environment, named.into_iter().chain(all).collect()),
            (Subject::Project, record.project.iter().collect()),
            (Subject::Layout, record.layout.iter().collect()),
        ];
        let mut found = Vec::new();
        for (subject, pairs) in groups {
            found.extend(pairs.into_iter().map(|(name, fingerprint)| self.depend(subject, &name.0, *fingerprint)));
        }
        found.into_boxed_slice()
    }

    /// The test files, sorted.
    #[must_use]
    pub(crate) fn files(&self) -> Vec<&[u8]> {
        let mut files: Vec<&[u8]> = self.entries.keys().map(|id| self.text(*id)).collect();
        files.sort_unstable();
        files
    }
}
