//! Resolves a name to what the interpreter would import for it under a search path.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::imports::module_listing::{Listing, tag_of};
use crate::imports::parse::Import;

/// Where a module comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The project.
    First,
    /// An installed distribution.
    Third,
    /// The standard library.
    Stdlib,
}

/// One component of a dotted name, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    /// None for namespace packages and for modules that are part of the interpreter.
    pub(crate) file: Option<PathBuf>,
    /// Where submodules are looked for; empty for a plain module.
    pub(crate) package: Vec<PathBuf>,
}

/// One module that an import loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file of the project.
    First(PathBuf),
    /// The dotted name of a third-party or standard-library module.
    Foreign(String, Origin),
}

/// What one import loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// In the order in which they are loaded.
    pub targets: Vec<Target>,
    /// A part of the name was not found where it had to be.
    pub missing: bool,
}

/// The folders that one test file puts before, or after, the run's `sys.path`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct View {
    pub(crate) before: Vec<PathBuf>,
    pub(crate) after: Vec<PathBuf>,
}

/// Resolves names under one `sys.path`, and remembers what it saw on the disk.
pub struct Resolver {
    rootdir: PathBuf,
    sys_path: Vec<PathBuf>,
    stdlib: HashSet<String>,
    site_dirs: Vec<PathBuf>,
    stdlib_dirs: Vec<PathBuf>,
    editable: IndexMap<String, PathBuf>,
    /// "cpython-312", to leave out extension modules of other interpreters.
    tag: Option<String>,
    listings: HashMap<PathBuf, Option<Arc<Listing>>>,
    origins: HashMap<PathBuf, Origin>,
    /// Results of `sys.path` for top-level names.
    tops: HashMap<String, Option<Arc<Found>>>,
    /// Folders that other test files add, and what they give: asked when all else failed.
    last: Vec<PathBuf>,
    lasts: HashMap<String, Option<Arc<Found>>>,
}

impl Resolver {
    /// Paths are absolute. `stdlib`: top-level names; `editable`: top-level names of editable installs, each with its
    /// path.
    #[must_use]
    pub fn new(
        rootdir: &Path,
        sys_path: Vec<PathBuf>,
        stdlib: HashSet<String>,
        site_dirs: &[PathBuf],
        editable: IndexMap<String, PathBuf>,
    ) -> Self {
        let is_stdlib = |folder: &&PathBuf| folder.join("os.py").is_file() && folder.join("abc.py").is_file();
        let mut stdlib_dirs: Vec<PathBuf> = sys_path.iter().filter(is_stdlib).cloned().collect();
        let tag = stdlib_dirs.iter().find_map(|folder| tag_of(folder));
        stdlib_dirs.extend(sys_path.iter().filter(|folder| folder.ends_with("lib-dynload")).cloned());
        Self {
            rootdir: real(rootdir),
            stdlib_dirs: stdlib_dirs.iter().map(|folder| real(folder)).collect(),
            site_dirs: site_dirs.iter().map(|folder| real(folder)).collect(),
            sys_path,
            stdlib,
            editable,
            tag,
            listings: HashMap::new(),
            origins: HashMap::new(),
            tops: HashMap::new(),
            last: Vec::new(),
            lasts: HashMap::new(),
        }
    }

    /// Forgets what was seen on disk: a new scan looks again.
    pub(crate) fn refresh(&mut self) {
        self.listings.clear();
        self.origins.clear();
        self.tops.clear();
        self.set_last(Vec::new());
    }

    /// The folders that are searched after everything else.
    pub(crate) fn set_last(&mut self, last: Vec<PathBuf>) {
        self.last = last;
        self.lasts.clear();
    }

    pub(crate) fn sys_path(&self) -> &[PathBuf] {
        &self.sys_path
    }

    /// The top-level names that a view adds.
    pub(crate) fn names_of(&mut self, view: &View) -> HashSet<String> {
        let mut names = HashSet::new();
        for root in view.before.iter().chain(&view.after) {
            if let Some(listing) = self.listing(root) {
                names.extend(listing.names().cloned());
            }
        }
        names
    }

    /// The modules that an import in `file` loads, in order.
    pub fn resolve(&mut self, import: &Import, file: &Path, view: &View) -> Resolution {
        if import.level == 0 {
            return self.absolute(&import.module, import.name.as_deref(), view);
        }
        let levels = usize::try_from(import.level).unwrap_or(usize::MAX);
        // The folder of the file is level 1, for a package's `__init__` too.
        let Some(base) = file.ancestors().nth(levels) else {
            return Resolution { targets: Vec::new(), missing: true };
        };
        let start = Found { origin: Origin::First, file: None, package: vec![base.to_owned()] };
        let direct = self.below(String::new(), Arc::new(start), &import.module, import.name.as_deref());
        if !direct.missing && (!direct.targets.is_empty() || import.name.is_none()) {
            return direct;
        }
        // Another portion of a namespace package may hold it.
        match self.dotted_name(base, view) {
            Some(package) if !base.join("__init__.py").is_file() => {
                let name = [package.as_str(), import.module.as_str()].join(".");
                self.absolute(name.trim_end_matches('.'), import.name.as_deref(), view)
            }
            _regular => direct,
        }
    }

    fn dotted_name(&self, folder: &Path, view: &View) -> Option<String> {
        let roots = view.before.iter().chain(&self.sys_path).chain(&view.after);
        let inside =
            roots.filter_map(|root| folder.strip_prefix(root).ok()).find(|rest| rest.components().count() > 0)?;
        let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("."))
    }

    fn absolute(&mut self, module: &str, name: Option<&str>, view: &View) -> Resolution {
        let (top, rest) = module.split_once('.').unwrap_or((module, ""));
        let Some(found) = self.top(top, view) else {
            return Resolution { targets: Vec::new(), missing: true };
        };
        self.below(top.to_owned(), found, rest, name)
    }

    /// Follows the components of `rest`, then `name` if it is a submodule, from a module already found.
    fn below(&mut self, dotted: String, start: Arc<Found>, rest: &str, name: Option<&str>) -> Resolution {
        let mut loaded = Loaded::default();
        loaded.push(&dotted, &start);
        let (mut dotted, mut found) = (dotted, start);
        for part in rest.split('.').filter(|part| !part.is_empty()) {
            let Some(next) = self.inside(&found, part) else {
                // `os.path`, `six.moves`: modules that foreign code makes up are no error.
                let missing = found.origin == Origin::First;
                return Resolution { missing, ..loaded.done() };
            };
            dotted = join(&dotted, part);
            found = Arc::new(next);
            loaded.push(&dotted, &found);
        }
        if let Some(name) = name.filter(|name| *name != "*")
            && let Some(next) = self.inside(&found, name)
        {
            loaded.settle();
            loaded.push(&join(&dotted, name), &next);
        }
        loaded.done()
    }

    fn inside(&mut self, package: &Found, name: &str) -> Option<Found> {
        let mut found = self.search(&package.package, name)?;
        if package.origin == Origin::Stdlib {
            found.origin = Origin::Stdlib;
        }
        Some(found)
    }

    pub(crate) fn top(&mut self, name: &str, view: &View) -> Option<Arc<Found>> {
        if !view.before.is_empty()
            && let Some(found) = self.in_front(name, view)
        {
            return Some(found);
        }
        if let Some(found) = self.middle(name) {
            return Some(found);
        }
        self.search(&view.after, name).map(Arc::new).or_else(|| self.at_last(name))
    }

    fn middle(&mut self, name: &str) -> Option<Arc<Found>> {
        if let Some(known) = self.tops.get(name) {
            return known.clone();
        }
        let found = self.on_sys_path(name).map(Arc::new);
        self.tops.insert(name.to_owned(), found.clone());
        found
    }

    fn at_last(&mut self, name: &str) -> Option<Arc<Found>> {
        if let Some(known) = self.lasts.get(name) {
            return known.clone();
        }
        let last = std::mem::take(&mut self.last);
        let found = self.search(&last, name).map(Arc::new);
        self.last = last;
        self.lasts.insert(name.to_owned(), found.clone());
        found
    }

    fn in_front(&mut self, name: &str, view: &View) -> Option<Arc<Found>> {
        let found = self.search(&view.before, name)?;
        // A folder without `__init__` only wins if no later entry has more than a folder.
        let is_namespace = found.file.is_none() && !found.package.is_empty();
        if self.is_builtin(name) {
            return None;
        }
        if !is_namespace {
            return Some(Arc::new(found));
        }
        let mut all = view.before.clone();
        all.extend(self.sys_path.iter().cloned());
        self.search(&all, name).map(Arc::new)
    }

    fn on_sys_path(&mut self, name: &str) -> Option<Found> {
        let builtin = Found { origin: Origin::Stdlib, file: None, package: Vec::new() };
        if self.is_builtin(name) {
            return Some(builtin);
        }
        let path = std::mem::take(&mut self.sys_path);
        let found = self.search(&path, name);
        self.sys_path = path;
        found.or_else(|| self.editable(name)).or_else(|| self.stdlib.contains(name).then_some(builtin))
    }

    /// Compiled into the interpreter: of the standard library, and without a file in its folders. Such a
    /// module comes before everything on `sys.path`.
    fn is_builtin(&mut self, name: &str) -> bool {
        if !self.stdlib.contains(name) {
            return false;
        }
        let folders = self.stdlib_dirs.clone();
        !folders.is_empty() && self.search(&folders, name).is_none()
    }

    /// The module that a finder-kind editable install maps; asked after `sys.path`, as its finder is.
    fn editable(&mut self, name: &str) -> Option<Found> {
        let target = self.editable.get(name)?.clone();
        if target.is_file() {
            let package = match target.file_stem() {
                Some(stem) if stem == "__init__" => target.parent().map(Path::to_owned).into_iter().collect(),
                _module => Vec::new(),
            };
            let origin = self.origin(target.parent().unwrap_or(&target));
            return Some(Found { origin, file: Some(target), package });
        }
        let origin = self.origin(&target);
        let init = target.join("__init__.py");
        target.is_dir().then(|| Found { origin, file: init.is_file().then_some(init), package: vec![target] })
    }

    /// As `PathFinder`: the first regular package or module wins, else the folders together are a
    /// namespace package.
    fn search(&mut self, folders: &[PathBuf], name: &str) -> Option<Found> {
        let mut portions = Vec::new();
        for folder in folders {
            let Some(listing) = self.listing(folder) else { continue };
            if listing.has_folder(name) {
                let inner = folder.join(name);
                if let Some(init) = self.module_in(&inner, "__init__") {
                    let origin = self.origin(&inner);
                    return Some(Found { origin, file: Some(init), package: vec![inner] });
                }
                portions.push(inner);
            }
            if let Some(file) = listing.module(folder, name) {
                return Some(Found { origin: self.origin(folder), file: Some(file), package: Vec::new() });
            }
        }
        let first = portions.first()?;
        let origin = self.origin(first);
        Some(Found { origin, file: None, package: portions })
    }

    fn module_in(&mut self, folder: &Path, name: &str) -> Option<PathBuf> {
        let listing = self.listing(folder)?;
        listing.module(folder, name)
    }

    fn listing(&mut self, folder: &Path) -> Option<Arc<Listing>> {
        if let Some(known) = self.listings.get(folder) {
            return known.clone();
        }
        let listing = Listing::read(folder, self.tag.as_deref()).map(Arc::new);
        self.listings.insert(folder.to_owned(), listing.clone());
        listing
    }

    /// Third-party inside a site folder or a virtual environment, else first-party: also in roots beside the project's,
    /// as an observer of a run sees it.
    pub(crate) fn origin(&mut self, folder: &Path) -> Origin {
        if let Some(known) = self.origins.get(folder) {
            return *known;
        }
        let origin = self.classify(&real(folder));
        self.origins.insert(folder.to_owned(), origin);
        origin
    }

    fn classify(&self, folder: &Path) -> Origin {
        let inside = |roots: &[PathBuf]| roots.iter().any(|root| folder.starts_with(root));
        if inside(&self.site_dirs) || folder.iter().any(|part| part == "site-packages" || part == "dist-packages") {
            Origin::Third
        } else if inside(&self.stdlib_dirs) {
            Origin::Stdlib
        } else if self.is_in_virtual_environment(folder) {
            Origin::Third
        } else {
            Origin::First
        }
    }

    fn is_in_virtual_environment(&self, folder: &Path) -> bool {
        let below_root = folder.ancestors().take_while(|one| *one != self.rootdir);
        below_root.into_iter().any(|one| one.join("pyvenv.cfg").is_file())
    }
}

/// Collects what is loaded: every first-party file, and of foreign modules the deepest.
#[derive(Default)]
struct Loaded {
    targets: Vec<Target>,
    foreign: Option<Target>,
}

impl Loaded {
    fn push(&mut self, dotted: &str, found: &Found) {
        match (found.origin, &found.file) {
            (Origin::First, Some(file)) => {
                self.settle();
                self.targets.push(Target::First(file.clone()));
            }
            // A namespace package runs nothing.
            (_, None) if !found.package.is_empty() => {}
            (Origin::First, None) => {}
            (origin, _) => self.foreign = Some(Target::Foreign(dotted.to_owned(), origin)),
        }
    }

    fn settle(&mut self) {
        self.targets.extend(self.foreign.take());
    }

    fn done(mut self) -> Resolution {
        self.settle();
        Resolution { targets: self.targets, missing: false }
    }
}

fn join(package: &str, name: &str) -> String {
    if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_missing| path.to_owned())
}
