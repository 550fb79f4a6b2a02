//! Queries of a scanned project: closures, chains, links, modules of others.

use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};

use crate::error::{Error, Result};
use crate::filesystem::paths::absolute_path;
use crate::imports::effects::Effect;
use crate::imports::graph::{NodeId, Reached};
use crate::imports::parse::{Context, Import};
use crate::imports::project::Project;
use crate::imports::quarantine;
use crate::imports::resolve::{Origin, Target};

impl Project {
    /// The first-party files that a test file imports, itself and its conftests among them.
    pub fn closure(&self, test_file: &Path) -> Result<Vec<PathBuf>> {
        let reached = self.found.graph.ever(self.entries(test_file)?);
        let files: IndexSet<&PathBuf> = reached.nodes.iter().map(|node| &self.found.places[*node].1).collect();
        Ok(files.into_iter().cloned().collect())
    }

    /// The shortest chain of imports from a test file to a first-party file, both included; empty if there is none.
    pub(crate) fn chain(&self, test_file: &Path, file: &Path) -> Result<Vec<PathBuf>> {
        let wanted = absolute_path(&self.rootdir, file);
        let mut entries = self.entries(test_file)?.to_vec();
        entries.reverse(); // the test file itself before its conftests
        let chain = self.found.graph.chain(&entries, |node| self.found.places[node].1 == wanted);
        Ok(chain.into_iter().map(|node| self.found.places[node].1.clone()).collect())
    }

    /// Which of the files of its closure imports which, each pair once. What a file asks of its own name is no link.
    pub(crate) fn links(&self, test_file: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let graph = &self.found.graph;
        let reached = graph.ever(self.entries(test_file)?);
        let mut links: IndexSet<(&PathBuf, &PathBuf)> = IndexSet::new();
        for node in &reached.nodes {
            let importer = &self.found.places[*node].1;
            let imported = graph.successors(*node).map(|next| &self.found.places[next].1);
            links.extend(imported.filter(|file| *file != importer).map(|file| (importer, file)));
        }
        Ok(links.into_iter().map(|(importer, imported)| (importer.clone(), imported.clone())).collect())
    }

    /// The first-party file that importing a dotted name in a test file would load, if there is one.
    pub(crate) fn locate(&mut self, test_file: &Path, name: &str) -> Result<Option<PathBuf>> {
        let first = *self.entries(test_file)?.last().ok_or_else(|| Error::NotScanned(test_file.to_owned()))?;
        let (view, path) = self.found.places[first].clone();
        let view = self.found.views.get_index(view).map(|(view, _)| view.clone()).unwrap_or_default();
        let import = Import { level: 0, module: name.to_owned(), name: None, context: Context::Module, line: 0 };
        let found = self.resolver.resolve(&import, &path, &view);
        Ok(match found.targets.into_iter().next_back() {
            Some(Target::First(file)) if !found.missing => Some(file),
            _elsewhere => None,
        })
    }

    /// Third-party and standard-library modules: at import, and only later.
    pub(crate) fn third_party(&self, test_file: &Path) -> Result<(Vec<String>, Vec<String>)> {
        let reached = self.found.graph.ever(self.entries(test_file)?);
        let mut names = self.names(&reached);
        let later = names.split_off(reached.at_import);
        Ok((names, later))
    }

    fn names(&self, reached: &Reached) -> Vec<String> {
        reached.foreign.iter().map(|id| self.found.graph.foreign_name(*id).0.to_owned()).collect()
    }

    /// The foreign modules that at least `minimum` of the files reach at import, in the order in which
    /// importing the files one after another would load them.
    pub fn shared(&self, test_files: &[PathBuf], minimum: usize) -> Result<Vec<String>> {
        let groups = test_files.iter().map(|file| self.entries(file).map(<[_]>::to_vec)).collect::<Result<Vec<_>>>()?;
        let counts = self.found.graph.count(&groups);
        let reached = self.found.graph.at_import(&groups.concat());
        let kept = reached.foreign.iter().filter(|id| counts[**id] >= minimum.max(1));
        Ok(kept.map(|id| self.found.graph.foreign_name(*id).0.to_owned()).collect())
    }

    /// Imports of the files that lead nowhere, by file in the order of reading, each with its line and as it is spelled.
    /// Not those in a `try` that catches it, in functions and under conditions.
    pub(crate) fn missing(&self) -> Vec<(PathBuf, u32, String)> {
        self.found.missing.iter().cloned().collect()
    }

    pub(crate) fn effects(&self, path: &Path) -> Result<Vec<Effect>> {
        let path = absolute_path(&self.rootdir, path);
        let seen = self.files.get(&path).ok_or(Error::NotScanned(path))?;
        Ok(seen.parsed.effects.clone())
    }

    /// The foreign modules of these files that must not be imported ahead, each with the reason.
    pub(crate) fn quarantine(&self, test_files: &[PathBuf]) -> Result<IndexMap<String, String>> {
        let groups = test_files.iter().map(|file| self.entries(file).map(<[_]>::to_vec)).collect::<Result<Vec<_>>>()?;
        let reached = self.found.graph.ever(&groups.concat());
        let modules: Vec<(&str, Origin)> =
            reached.foreign.iter().map(|id| self.found.graph.foreign_name(*id)).collect();
        let paths: IndexSet<&PathBuf> = reached.nodes.iter().map(|node| &self.found.places[*node].1).collect();
        let files = paths.iter().filter_map(|path| {
            let is_anywhere = self.rootdir.parent().is_none();
            let shown = if is_anywhere { path } else { path.strip_prefix(&self.rootdir).unwrap_or(path) };
            self.files.get(path).map(|seen| (shown, seen.parsed.as_ref()))
        });
        Ok(quarantine::of(&modules, files))
    }

    fn entries(&self, test_file: &Path) -> Result<&[NodeId]> {
        let path = absolute_path(&self.rootdir, test_file);
        self.found.tests.get(&path).map(Vec::as_slice).ok_or(Error::NotScanned(path))
    }
}
