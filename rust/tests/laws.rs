//! What holds for every graph, cache and folder tree, not only for the examples in `tests/unit`.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use _native::imports::effects::{Effect, Kind};
use _native::imports::graph::{Edge, Edges, Graph, NodeId};
use _native::imports::parse::{self, Context, Import, Parsed};
use _native::imports::parse_cache::ParseCache;
use _native::imports::project::{Project, Settings};
use _native::imports::pytest_layout::ImportMode;
use _native::imports::resolve::{Origin, Resolver, Target, View};
use _native::process::thread_pool::{Pool, stack_for};
use indexmap::IndexMap;
use proptest::prelude::*;

use common::Folder;

/// For each of some nodes, what it loads and loads later: below 100 a node, else a foreign module.
type Shape = Vec<(Vec<usize>, Vec<usize>)>;

fn shapes() -> impl Strategy<Value = Shape> {
    let edges = || prop::collection::vec(prop_oneof![0_usize..12, 100_usize..140], 0..6);
    prop::collection::vec((edges(), edges()), 12)
}

fn graph_of(shape: &Shape) -> Graph {
    let mut graph = Graph::default();
    for _ in shape {
        graph.add_node();
    }
    for (node, (load, later)) in shape.iter().enumerate() {
        let mut edges = |targets: &[usize]| {
            let edge = |target: &usize| match target {
                0..100 => Edge::Node(*target),
                _foreign => Edge::Foreign(graph.foreign(&format!("m{target}"), Origin::Third)),
            };
            targets.iter().map(edge).collect()
        };
        let edges = Edges { load: edges(load), later: edges(later) };
        graph.set_edges(node, edges);
    }
    graph
}

fn names(graph: &Graph, ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(|id| graph.foreign_name(id).0.to_owned()).collect()
}

/// What is reached, by the shortest definition.
fn model(shape: &Shape, entry: NodeId, later_too: bool) -> (BTreeSet<usize>, BTreeSet<String>) {
    let (mut nodes, mut foreign, mut rest) = (BTreeSet::new(), BTreeSet::new(), vec![entry]);
    while let Some(node) = rest.pop() {
        if nodes.insert(node) {
            let (load, later) = &shape[node];
            for target in load.iter().chain(later.iter().filter(|_| later_too)) {
                match target {
                    0..100 => rest.push(*target),
                    _foreign => drop(foreign.insert(format!("m{target}"))),
                }
            }
        }
    }
    (nodes, foreign)
}

proptest! {
    #[test]
    fn what_is_reached_is_the_transitive_closure(shape in shapes(), entry in 0_usize..12) {
        let graph = graph_of(&shape);
        for later in [false, true] {
            let reached = if later { graph.ever(&[entry]) } else { graph.at_import(&[entry]) };
            let (nodes, foreign) = model(&shape, entry, later);
            prop_assert_eq!(reached.nodes.first(), Some(&entry));
            prop_assert_eq!(reached.nodes.iter().copied().collect::<BTreeSet<_>>(), nodes.clone());
            let found: BTreeSet<String> = names(&graph, reached.foreign.iter().copied()).into_iter().collect();
            prop_assert_eq!(found, foreign);
            for node in nodes {
                let inner = if later { graph.ever(&[node]) } else { graph.at_import(&[node]) };
                prop_assert!(inner.nodes.is_subset(&reached.nodes));
            }
        }
        prop_assert_eq!(&graph.ever(&[entry]).foreign[..graph.ever(&[entry]).at_import], &graph.at_import(&[entry]).foreign[..]);
    }

    #[test]
    fn counting_is_what_following_each_would_give(shape in shapes(), groups in prop::collection::vec(prop::collection::vec(0_usize..12, 1..4), 0..8)) {
        let graph = graph_of(&shape);
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for group in &groups {
            let reached = graph.at_import(group);
            for name in names(&graph, reached.foreign) {
                *expected.entry(name).or_default() += 1;
            }
        }
        let counts = graph.count(&groups);
        let found: BTreeMap<String, usize> = counts.into_iter().enumerate().filter(|(_, count)| *count > 0)
            .map(|(id, count)| (graph.foreign_name(id).0.to_owned(), count)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_cache_gives_back_what_it_was_given(files in prop::collection::vec((any::<[u8; 8]>(), parsed()), 0..6)) {
        let folder = Folder::new();
        let path = folder.0.join("deep/cache.json");
        let (mut cache, note) = ParseCache::load(&path);
        prop_assert_eq!(note, None);
        let files: BTreeMap<[u8; 8], Parsed> = files.into_iter().collect();
        for (content, parsed) in &files {
            cache.insert(blake3::hash(content), Arc::new(parsed.clone()));
        }
        cache.save(&path).unwrap();
        let (mut again, note) = ParseCache::load(&path);
        prop_assert_eq!(note, None);
        for (content, parsed) in &files {
            prop_assert_eq!(again.get(&blake3::hash(content)).map(AsRef::as_ref), Some(parsed));
        }
        // What is not used is not kept.
        if let Some(content) = files.keys().next() {
            again.touch(blake3::hash(content));
            again.save(&path).unwrap();
            let (last, _) = ParseCache::load(&path);
            let kept = files.keys().filter(|content| last.get(&blake3::hash(*content)).is_some()).count();
            prop_assert_eq!(kept, 1);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z(){}\\[\\]:=.,'\"\n\t @*\\\\#]{0,200}") {
        let _either = parse::parse(&text);
    }

    #[test]
    fn names_are_found_as_the_interpreter_s_path_finder_would(
        tree in prop::collection::btree_set(entry(), 0..14), name in "[abc](\\.[abc]){0,2}",
    ) {
        let folder = Folder::new();
        for path in &tree {
            folder.write(path, "");
        }
        let roots: Vec<PathBuf> = ["x", "y"].iter().map(|root| folder.0.join(root)).collect();
        let mut resolver = Resolver::new(&folder.0, roots.clone(), HashSet::new(), &[], IndexMap::new());
        let import = Import { level: 0, module: name.clone(), name: None, context: Context::Module, line: 1 };
        let found = resolver.resolve(&import, &folder.0.join("test.py"), &View::default());
        let (files, missing) = path_finder(&roots, &name);
        prop_assert_eq!(found.missing, missing);
        prop_assert_eq!(found.targets, files.into_iter().map(Target::First).collect::<Vec<_>>());
    }

    #[test]
    fn a_project_s_answers_are_ordered_and_monotonous(
        imports in prop::collection::vec(prop::collection::vec(0_usize..9, 0..5), 9), seed in any::<u64>(),
    ) {
        let folder = Folder::new();
        for (number, targets) in imports.iter().enumerate() {
            let lines: Vec<String> = targets.iter().map(|target| format!("import m{target}, s{target}\n")).collect();
            let text = lines.concat();
            folder.write(&format!("m{number}.py"), &text);
            folder.write(&format!("test_{number}.py"), &format!("import m{number}\n"));
        }
        let stdlib: HashSet<String> = (0..9).map(|number| format!("s{number}")).collect();
        let mut tests: Vec<PathBuf> = (0..9).map(|number| folder.0.join(format!("test_{number}.py"))).collect();
        let answer = |tests: &[PathBuf], minimum| {
            let mut project = project(&folder.0, stdlib.clone());
            assert_eq!(project.scan(tests), Vec::<PathBuf>::new());
            (project.shared(tests, minimum).unwrap(), project.closure(&tests[0]).unwrap())
        };
        let (one, closure) = answer(&tests, 1);
        prop_assert_eq!(&answer(&tests, 1), &(one.clone(), closure.clone()));
        let (two, _) = answer(&tests, 2);
        // In the same order, fewer.
        prop_assert_eq!(one.iter().filter(|name| two.contains(name)).cloned().collect::<Vec<_>>(), two);
        prop_assert!(closure.contains(&tests[0]));
        // Another order of the files: the same modules, and the same closure of each file.
        let first = tests[0].clone();
        let shift = usize::try_from(seed % 9).unwrap();
        tests.rotate_left(shift);
        let mut project = project(&folder.0, stdlib.clone());
        project.scan(&tests);
        let shared: BTreeSet<String> = project.shared(&tests, 1).unwrap().into_iter().collect();
        prop_assert_eq!(shared, one.into_iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(project.closure(&first).unwrap(), closure);
    }
}

fn project(root: &Path, stdlib: HashSet<String>) -> Project {
    Project::new(Settings {
        rootdir: root.to_owned(),
        sys_path: Vec::new(),
        stdlib,
        site_dirs: Vec::new(),
        import_mode: ImportMode::Prepend,
        editable: IndexMap::new(),
        namespace_packages: false,
        cache_file: None,
    })
}

/// `x/a.py`, `y/a/__init__.py`, `x/a/b/c.so` and the like.
fn entry() -> impl Strategy<Value = String> {
    "[xy](/[abc]){0,2}/([abc]\\.(py|pyc|so|abi3\\.so|txt)|__init__\\.(py|so|pyc))"
}

/// The specification, without any cache: packages before modules before namespace portions.
fn path_finder(roots: &[PathBuf], name: &str) -> (Vec<PathBuf>, bool) {
    let (mut folders, mut files) = (roots.to_vec(), Vec::new());
    for part in name.split('.') {
        let Some((file, package)) = find(&folders, part) else { return (files, true) };
        files.extend(file);
        folders = package;
    }
    (files, false)
}

fn find(folders: &[PathBuf], name: &str) -> Option<(Option<PathBuf>, Vec<PathBuf>)> {
    let mut portions = Vec::new();
    for folder in folders {
        let inner = folder.join(name);
        if let Some(init) = with_suffix(&inner, "__init__") {
            return Some((Some(init), vec![inner]));
        }
        if let Some(module) = with_suffix(folder, name) {
            return Some((Some(module), Vec::new()));
        }
        if inner.is_dir() {
            portions.push(inner);
        }
    }
    (!portions.is_empty()).then_some((None, portions))
}

fn with_suffix(folder: &Path, name: &str) -> Option<PathBuf> {
    let candidates = ["abi3.so", "so", "py", "pyc"].map(|suffix| folder.join(format!("{name}.{suffix}")));
    candidates.into_iter().find(|path| path.is_file())
}

fn parsed() -> impl Strategy<Value = Parsed> {
    let contexts = [Context::Module, Context::Try, Context::Handler, Context::TypeChecking, Context::Plugin];
    let import =
        (0_u32..3, ".{0,8}", prop::option::of(".{0,8}"), prop::sample::select(contexts.to_vec()), any::<u32>())
            .prop_map(|(level, module, name, context, line)| Import { level, module, name, context, line });
    let kinds = [Kind::Environment, Kind::Patch, Kind::Path, Kind::Rewrite];
    let effect = (any::<u32>(), prop::sample::select(kinds.to_vec()), ".{0,8}")
        .prop_map(|(line, kind, detail)| Effect { line, kind, detail });
    (prop::collection::vec(import, 0..5), prop::collection::vec(effect, 0..5))
        .prop_map(|(imports, effects)| Parsed { imports, effects })
}

#[test]
fn deep_source_fits_the_stack_of_the_pool() {
    let count = 100_000;
    let sources = [
        "[".repeat(count) + &"]".repeat(count),
        format!("x = {}1", "~".repeat(count)),
        format!("x = {}a", "a+".repeat(count)),
        format!("x = a{}", ".b".repeat(count)),
        format!("x = f{}", "()".repeat(count)),
        "if x: pass\n".to_owned() + &"elif x: pass\n".repeat(count / 2),
    ];
    let pool = Pool::start(2, stack_for(1 << 20)).unwrap();
    let outcomes = pool.map(&sources, |source| parse::parse(source).map(|parsed| parsed.imports.len()).is_ok());
    assert_eq!(outcomes, [true, true, true, true, true, false]);
}

#[test]
fn a_dropped_pool_leaves_no_thread() {
    // Other tests' threads come and go: only those of the pool are looked for.
    for _ in 0..50 {
        let pool = Pool::start(4, stack_for(0)).unwrap();
        let ids = pool.map(&[0; 64], |_| nix::unistd::gettid());
        drop(pool);
        let alive = ids.iter().filter(|id| Path::new(&format!("/proc/self/task/{id}")).exists()).count();
        assert_eq!(alive, 0);
    }
}
