//! The imports of a test suite: scanned once, then queried.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::error::{Error, Result};
use crate::filesystem::paths::{absolute_path, canonical_path};
use crate::imports::files::{Counts, Files};
use crate::imports::graph::{Edge, Edges, Graph, NodeId};
use crate::imports::parse::{Context, Import, Parsed};
use crate::imports::parse_cache::ParseCache;
use crate::imports::pytest_layout::{self, ImportMode};
use crate::imports::resolve::{Resolver, Target, View};
use crate::process::thread_pool::Pool;

/// The run, as the caller knows it.
pub struct Settings {
    /// pytest's `rootdir`: relative paths start from it.
    pub rootdir: PathBuf,
    /// `sys.path` of the run, pytest's `pythonpath` in front.
    pub sys_path: Vec<PathBuf>,
    /// Top-level names of the standard library.
    pub stdlib: HashSet<String>,
    /// Folders whose contents are third-party.
    pub site_dirs: Vec<PathBuf>,
    /// pytest's `--import-mode`.
    pub import_mode: ImportMode,
    /// Top-level module to folder or file, of editable installs that work by a finder.
    pub editable: IndexMap<String, PathBuf>,
    /// pytest's `consider_namespace_packages`.
    pub namespace_packages: bool,
    /// The file of the parse cache; None: nothing is kept.
    pub cache_file: Option<PathBuf>,
}

/// A path, a line counted from 1 where one is known, and what is wrong.
pub(crate) type Diagnostic = (PathBuf, Option<u32>, String);

pub(super) type ViewId = usize;

/// The number of the view that adds nothing to `sys.path`.
const PLAIN: ViewId = 0;

/// The import graph of some test files, and what is needed to scan again.
pub struct Project {
    pub(super) rootdir: PathBuf,
    import_mode: ImportMode,
    namespace_packages: bool,
    cache_file: Option<PathBuf>,
    cache_note: Option<String>,
    pub(super) resolver: Resolver,
    pub(super) files: Files,
    /// The last scan returned files to be supplied: the next one goes on with it.
    waiting: bool,
    pub(super) found: Structure,
}

/// The result of one scan.
#[derive(Default)]
pub(super) struct Structure {
    pub(super) graph: Graph,
    /// The view and the file of each node.
    pub(super) places: Vec<(ViewId, PathBuf)>,
    pub(super) nodes: HashMap<(ViewId, PathBuf), NodeId>,
    /// Each view with the plain nodes that it touches: from which something is reached that imports a
    /// top-level name which the view adds. All others look the same as under `sys.path` alone, and are shared.
    pub(super) views: IndexMap<View, HashSet<NodeId>>,
    /// Test file -> the nodes that are imported for it: conftests, packages, itself.
    pub(super) tests: IndexMap<PathBuf, Vec<NodeId>>,
    /// Imports outside of any `try` that lead nowhere.
    pub(super) missing: IndexSet<(PathBuf, u32, String)>,
}

/// A test file, what is imported for it, and the view under which.
struct Placed {
    file: PathBuf,
    entries: Vec<PathBuf>,
    view: ViewId,
}

#[derive(Default)]
struct Loads {
    load: Vec<Target>,
    later: Vec<Target>,
}

impl Project {
    /// Loads the parse cache; nothing is scanned yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let rootdir = absolute_path(Path::new("/"), &settings.rootdir);
        let below = |path: &PathBuf| canonical_path(&rootdir, path);
        let sys_path = settings.sys_path.iter().map(below).collect();
        let site_dirs: Vec<PathBuf> = settings.site_dirs.iter().map(below).collect();
        let editable = settings.editable.iter().map(|(name, path)| (name.clone(), below(path))).collect();
        let (cache, cache_note) = match &settings.cache_file {
            Some(path) => ParseCache::load(path),
            None => (ParseCache::default(), None),
        };
        Self {
            resolver: Resolver::new(&rootdir, sys_path, settings.stdlib, &site_dirs, editable),
            rootdir,
            import_mode: settings.import_mode,
            namespace_packages: settings.namespace_packages,
            cache_file: settings.cache_file,
            cache_note,
            files: Files::with(cache),
            waiting: false,
            found: Structure::default(),
        }
    }

    /// Reads the test files and all that they import of the project. Returns the files whose import list
    /// has to be supplied, in order; then to be called again.
    pub fn scan(&mut self, test_files: &[PathBuf]) -> Vec<PathBuf> {
        if !self.waiting {
            self.files.begin();
            self.resolver.refresh();
        }
        self.found = Structure::default();
        self.found.views.insert(View::default(), HashSet::new());
        let mut pool = None;
        let placed = self.place(test_files);
        let entries: IndexSet<PathBuf> = placed.iter().flat_map(|test| test.entries.iter().cloned()).collect();
        let mut frontier = Vec::new();
        for entry in &entries {
            self.node(PLAIN, entry, &mut frontier);
        }
        self.advance_all(frontier, &mut pool);
        self.touch();
        for test in placed {
            let mut frontier = Vec::new();
            let nodes = test.entries.iter().map(|entry| self.node(test.view, entry, &mut frontier)).collect();
            self.found.tests.insert(test.file, nodes);
            self.advance_all(frontier, &mut pool);
        }
        drop(pool);
        let rejected: Vec<PathBuf> = self.files.rejected().map(|(path, _)| path.clone()).collect();
        self.waiting = !rejected.is_empty();
        rejected
    }

    /// Finds out what pytest imports by itself for each test file, and under which search path.
    fn place(&mut self, test_files: &[PathBuf]) -> Vec<Placed> {
        let mut last: IndexSet<PathBuf> = IndexSet::new();
        let mut placed = Vec::with_capacity(test_files.len());
        for test_file in test_files {
            let file = absolute_path(&self.rootdir, test_file);
            let entries = pytest_layout::entries(self.import_mode, &self.rootdir, &file);
            let roots = self.roots(&entries);
            last.extend(roots.iter().cloned());
            let view = self.view(pytest_layout::view(self.import_mode, roots));
            placed.push(Placed { file, entries, view });
        }
        if !matches!(self.import_mode, ImportMode::Importlib | ImportMode::Package) {
            self.resolver.set_last(last.into_iter().collect());
        }
        placed
    }

    /// The folders that pytest puts on `sys.path` for these files: the test file's first.
    fn roots(&mut self, entries: &[PathBuf]) -> Vec<PathBuf> {
        let mut roots = IndexSet::new();
        for entry in entries.iter().rev().filter(|entry| !entry.ends_with("__init__.py")) {
            let namespace = self.namespace_packages.then(|| self.namespace_root(entry)).flatten();
            roots.insert(namespace.unwrap_or_else(|| pytest_layout::package_root(entry)));
        }
        roots.into_iter().collect()
    }

    /// With `consider_namespace_packages`: the nearest folder from which the file can be imported already.
    fn namespace_root(&mut self, file: &Path) -> Option<PathBuf> {
        let start = pytest_layout::package_root(file);
        let folders = start.ancestors().map(Path::to_owned).collect::<Vec<_>>();
        folders.into_iter().find(|folder| {
            let Ok(inside) = file.strip_prefix(folder) else { return false };
            let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
            let Some(name) = parts.map(|parts| parts.join(".")) else { return false };
            let module = name.strip_suffix(".py").unwrap_or(&name).to_owned();
            let import = Import { level: 0, module, name: None, context: Context::Module, line: 0 };
            let found = self.resolver.resolve(&import, file, &View::default());
            found.targets.iter().any(|target| matches!(target, Target::First(found) if found == file))
        })
    }

    fn view(&mut self, view: View) -> ViewId {
        // A folder that is first on `sys.path` already adds nothing when it is put there.
        if view.after.is_empty() && self.resolver.sys_path().starts_with(&view.before) {
            return PLAIN;
        }
        let entry = self.found.views.entry(view);
        let id = entry.index();
        entry.or_default();
        id
    }

    /// Finds the plain nodes that each view touches.
    fn touch(&mut self) {
        let mut importers: HashMap<&str, Vec<NodeId>> = HashMap::new();
        for (node, (_, path)) in self.found.places.iter().enumerate() {
            let imports = self.files.get(path).map(|seen| seen.parsed.imports.as_slice()).unwrap_or_default();
            for import in imports.iter().filter(|import| import.level == 0) {
                let top = import.module.split('.').next().unwrap_or_default();
                importers.entry(top).or_default().push(node);
            }
        }
        let dependents = self.found.graph.dependents();
        for (view, touched) in self.found.views.iter_mut().skip(1) {
            let names = self.resolver.names_of(view);
            let mut rest: Vec<NodeId> =
                names.iter().filter_map(|name| importers.get(name.as_str())).flatten().copied().collect();
            while let Some(node) = rest.pop() {
                if touched.insert(node) {
                    rest.extend(&dependents[node]);
                }
            }
        }
    }

    /// The node of a file in a view: the plain one where the view makes no difference.
    fn node(&mut self, view: ViewId, file: &Path, frontier: &mut Vec<NodeId>) -> NodeId {
        let mut place = (PLAIN, file.to_owned());
        if let Some(plain) = self.found.nodes.get(&place)
            && (view == PLAIN || !self.found.views[view].contains(plain))
        {
            return *plain;
        }
        place.0 = view;
        if let Some(known) = self.found.nodes.get(&place) {
            return *known;
        }
        let node = self.found.graph.add_node();
        self.found.places.push(place.clone());
        self.found.nodes.insert(place, node);
        frontier.push(node);
        node
    }

    fn advance_all(&mut self, mut frontier: Vec<NodeId>, pool: &mut Option<Pool>) {
        while !frontier.is_empty() {
            frontier = self.advance(frontier, pool);
        }
    }

    /// Reads the files of new nodes and gives the nodes their edges; returns the nodes that this made.
    fn advance(&mut self, frontier: Vec<NodeId>, pool: &mut Option<Pool>) -> Vec<NodeId> {
        let paths: IndexSet<PathBuf> = frontier.iter().map(|node| self.found.places[*node].1.clone()).collect();
        self.files.look_at(&paths, pool);
        let mut next = Vec::new();
        for node in frontier {
            let (view, path) = self.found.places[node].clone();
            let loads = self.loads(view, &path);
            let edges = Edges {
                load: self.edges(view, &loads.load, &mut next),
                later: self.edges(view, &loads.later, &mut next),
            };
            self.found.graph.set_edges(node, edges);
        }
        next
    }

    fn edges(&mut self, view: ViewId, targets: &[Target], frontier: &mut Vec<NodeId>) -> Vec<Edge> {
        let mut edges = Vec::with_capacity(targets.len());
        for target in targets {
            edges.push(match target {
                Target::First(file) => Edge::Node(self.node(view, file, frontier)),
                Target::Foreign(name, origin) => Edge::Foreign(self.found.graph.foreign(name, *origin)),
            });
        }
        edges
    }

    fn loads(&mut self, view: ViewId, path: &Path) -> Loads {
        let Some(seen) = self.files.get(path) else { return Loads::default() };
        let parsed = Arc::clone(&seen.parsed);
        let view = self.found.views.get_index(view).map(|(view, _)| view.clone()).unwrap_or_default();
        self.resolve_all(&parsed, path, &view)
    }

    fn resolve_all(&mut self, parsed: &Parsed, path: &Path, view: &View) -> Loads {
        let mut loads = Loads::default();
        let mut failed = false;
        let mut previous = Context::Module;
        for import in &parsed.imports {
            if import.context == Context::TypeChecking {
                continue;
            }
            if import.context == Context::Try && previous != Context::Try {
                failed = false;
            }
            previous = import.context;
            let resolution = self.resolver.resolve(import, path, view);
            failed |= import.context == Context::Try && resolution.missing;
            if resolution.missing && matches!(import.context, Context::Module | Context::Class) {
                self.found.missing.insert((path.to_owned(), import.line, spelled(import)));
            }
            let runs = match import.context {
                Context::Module | Context::Class | Context::Try | Context::Plugin => true,
                Context::Handler => failed,
                Context::Conditional => self.import_mode == ImportMode::Package,
                Context::Function | Context::TypeChecking => false,
            };
            if runs { &mut loads.load } else { &mut loads.later }.extend(resolution.targets);
        }
        loads
    }

    /// Takes what the interpreter's own parser read of a rejected file.
    pub(crate) fn supply(&mut self, path: &Path, parsed: Parsed, note: Option<(Option<u32>, String)>) -> Result<()> {
        let path = absolute_path(&self.rootdir, path);
        if self.files.supply(&path, parsed, note) { Ok(()) } else { Err(Error::NotScanned(path)) }
    }

    #[must_use]
    pub(crate) fn diagnostics(&self) -> Vec<Diagnostic> {
        let cache =
            self.cache_note.iter().map(|note| (self.cache_file.clone().unwrap_or_default(), None, note.clone()));
        let rejected = self.files.rejected().map(|(path, reason)| (path.clone(), reason.line(), reason.to_string()));
        let notes = self.files.notes().map(|(path, (line, text))| (path.clone(), *line, text.clone()));
        cache.chain(rejected).chain(notes).collect()
    }

    pub(crate) fn save(&mut self) -> Result<()> {
        match &self.cache_file {
            Some(path) => self.files.cache_mut().save(path),
            None => Ok(()),
        }
    }

    #[must_use]
    pub(crate) fn statistics(&self) -> Counts {
        self.files.counts()
    }
}

/// As the source names it: `a.b`, `..a`, `. import b`.
fn spelled(import: &Import) -> String {
    let dots = ".".repeat(usize::try_from(import.level).unwrap_or_default());
    match &import.name {
        Some(name) if import.module.is_empty() => format!("{dots} import {name}"),
        _of_module => format!("{dots}{}", import.module),
    }
}
