//! Compares records with what is on the disk now.

use rustc_hash::FxHashSet;

use crate::freshness::function_changes::LastCheck;
use crate::freshness::verdict::{self, Judged, OnDisk, Snapshot, Variables, Verdict, observe_on_disk, subjects_of};
use crate::records::table::{Dependency, DependencyId, Entry, Subject, Table, TextId};
use crate::records::text::Text;
use crate::storage::store::Store;

impl Store {
    /// A verdict for each file, and what it is about. Records of any of these epochs may hold.
    pub fn check(&mut self, files: &[Vec<u8>], epochs: &[String], environment: &Variables) -> Vec<(Verdict, Text)> {
        self.need_load();
        let epochs = self.epoch_ids(epochs);
        let ids: Vec<Option<TextId>> = files.iter().map(|file| self.table.id(&self.root.shorten(file).0)).collect();
        let entry_of = |table: &Table, id: Option<TextId>| id.and_then(|id| table.entries.get(&id).cloned());
        let entries: Vec<Option<Entry>> = ids.into_iter().map(|id| entry_of(&self.table, id)).collect();
        let early: Vec<Option<Judged>> =
            entries.iter().map(|entry| verdict::judge_without_io(entry.as_ref(), &epochs)).collect();
        let open = entries.iter().zip(&early).filter(|(_, early)| early.is_none());
        let needed: FxHashSet<DependencyId> =
            open.flat_map(|(entry, _)| entry.iter().flat_map(|entry| entry.dependencies.iter().copied())).collect();
        let on_disk = self.on_disk(subjects_of(&self.table, &needed), environment);
        let changes = verdict::changes(&self.table, &needed, &on_disk);
        let functions = self.function_changes(&changes, &on_disk);
        let change = |id: DependencyId| changes.get(&id).copied();
        let judged = entries.iter().zip(early).map(|(entry, early)| match (early, entry) {
            (Some(early), _) => early,
            (None, Some(entry)) => {
                let is_unconcerned = |id| functions.is_unconcerned(&self.table, entry, id);
                verdict::judge(&self.table, entry, |one| on_disk.found(one), change, is_unconcerned)
            }
            (None, None) => (Verdict::Unknown, None),
        });
        let judged = judged.map(|(verdict, about)| (verdict, self.about(about))).collect();
        self.last = LastCheck { verdicts: changes, functions };
        judged
    }

    pub(crate) fn about(&self, text: Option<TextId>) -> Text {
        Text(text.map_or_else(Vec::new, |id| self.table.text(id).to_vec()))
    }

    pub(crate) fn on_disk(&mut self, subjects: Vec<(Subject, TextId)>, environment: &Variables) -> OnDisk {
        let snapshot = Snapshot {
            root: self.root.path(),
            own: self.directory.folder(),
            environment,
            reports: &self.reports,
            folders: &self.folders,
            since: None,
        };
        let on_disk = observe_on_disk(&mut self.table, &snapshot, subjects);
        self.observe(&on_disk);
        on_disk
    }

    /// Looks at the layouts of these records, for `confirm`.
    pub(crate) fn look_at_layouts(&mut self, files: &[Vec<u8>]) {
        self.need_load();
        let ids: Vec<TextId> = files.iter().filter_map(|file| self.table.id(&self.root.shorten(file).0)).collect();
        let layouts: Vec<(TextId, Vec<Dependency>)> =
            ids.into_iter().filter_map(|id| Some((id, self.layouts(self.table.entries.get(&id)?)))).collect();
        let subjects = layouts.iter().flat_map(|(_, layouts)| layouts).map(|one| (one.subject, one.name)).collect();
        let on_disk = self.on_disk(subjects, &Variables::new());
        let now = |one: Dependency| Dependency { fingerprint: on_disk.found(&one).fingerprint(), ..one };
        self.looked = layouts.into_iter().map(|(id, layouts)| (id, layouts.into_iter().map(now).collect())).collect();
    }

    /// Notes that these records hold under the layouts that were looked at, too.
    pub(crate) fn confirm(&mut self, files: &[Vec<u8>]) {
        self.need_load();
        for file in files {
            let Some(id) = self.table.id(&self.root.shorten(file).0) else { continue };
            let (Some(layouts), Some(entry)) = (self.looked.remove(&id), self.table.entries.get_mut(&id)) else {
                continue;
            };
            let ids = layouts.into_iter().map(|one| DependencyId::try_from(self.table.dependencies.insert_full(one).0));
            entry.confirmed = ids.flatten().collect();
        }
    }

    fn layouts(&self, entry: &Entry) -> Vec<Dependency> {
        let dependencies = entry.dependencies.iter().filter_map(|id| self.table.dependency(*id));
        dependencies.filter(|one| one.subject == Subject::Layout).collect()
    }
}
