//! What holds for every record, path and folder tree, not only for the examples in `tests/unit`.

#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "names of records and patterns compare by case")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use _native::filesystem::stat::now;
use _native::freshness::glob;
use _native::freshness::verdict::{Variables, Verdict};
use _native::records::index;
use _native::records::json::Json;
use _native::records::record::Record;
use _native::records::record_path::record_path;
use _native::records::table::Table;
use _native::records::text::Text;
use _native::storage::store::Store;
use proptest::prelude::*;

use common::Folder;

/// Names that are near each other, and near what is special.
fn component() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(vec![
        "con",
        "CON",
        "aux",
        "com1",
        "tmp-1",
        "a.d",
        "a.json",
        "A",
        "a",
        "%61",
        "%-",
        ".a",
        "a.",
        "\u{e9}",
        "test_a.py",
    ]);
    let long = (140_usize..220, prop::sample::select(b"aAb%".to_vec())).prop_map(|(count, byte)| vec![byte; count]);
    let bytes =
        prop::collection::vec(any::<u8>().prop_filter("no name holds these", |byte| !b"/\0".contains(byte)), 1..6);
    let name = prop_oneof![special.prop_map(|name| name.as_bytes().to_vec()), long, bytes];
    name.prop_filter("these are no names", |name| name != b"." && name != b"..")
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(component(), 1..5).prop_map(|parts| parts.join(&b'/'))
}

const FILES: [&str; 6] =
    ["src/a.py", "src/b.py", "src/pkg/__init__.py", "data/x.json", "data/deep/y.json", "data/z.txt"];

/// A project with `FILES`; the first of each pair is imported, the second read.
fn draft(closure: &BTreeSet<usize>, reads: &BTreeSet<usize>, folder: &Folder) -> String {
    let closure: Vec<&str> = closure.iter().map(|at| FILES[*at]).collect();
    let reads: Vec<_> = reads.iter().map(|at| (FILES[*at], touch(folder, FILES[*at]))).collect();
    serde_json::json!({
        "epoch": "e", "outcome": "passed", "tests": [["t", "passed", 0.5]],
        "costs": {"collection": 0, "fixtures": 0, "imports": 0},
        "closure": closure, "dynamic": {}, "roots": ["src"], "reads": reads, "listings": ["data"],
        "environment": ["HOME", "*"], "declared": ["data/**/*.json"], "distributions": {}, "modules": {},
        "coupled_with": [], "started": [], "project": [], "flags": [], "ports": [], "writes": [], "serial": [],
    })
    .to_string()
}

fn touch(folder: &Folder, name: &str) -> (i64, i64, u64, u64) {
    let stat = _native::filesystem::stat::FileStamp::of(&folder.0.join(name)).unwrap();
    (stat.mtime, stat.ctime, stat.size, stat.inode)
}

fn store(folder: &Folder) -> Store {
    Store::new("cache".as_ref(), &folder.0)
}

fn filled(folder: &Folder, closure: &BTreeSet<usize>, reads: &BTreeSet<usize>) -> Store {
    FILES.iter().chain(&["tests/test_a.py"]).for_each(|name| folder.write(name, "text"));
    let mut store = store(folder);
    let later = now() + 3_600_000_000_000;
    let draft = draft(closure, reads, folder);
    let drafts = [(b"tests/test_a.py".to_vec(), draft)];
    assert_eq!(store.put_all(&drafts, later, &environment(), &[]).unwrap(), 1);
    store
}

fn environment() -> Variables {
    Variables::from([(b"HOME".to_vec(), b"/".to_vec())])
}

fn verdict(store: &mut Store) -> Verdict {
    store.check(&[b"tests/test_a.py".to_vec()], &["e".to_owned()], &environment())[0].0
}

fn some_files() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0..FILES.len(), 0..FILES.len())
}

#[derive(Debug, Clone)]
enum Act {
    Rewrite(String),
    Append,
    Delete,
    Rename,
    Folder,
}

fn acts() -> impl Strategy<Value = Act> {
    let other = "[a-z]{4}".prop_filter("an edit changes something", |text| text != "text");
    prop_oneof![
        other.prop_map(Act::Rewrite),
        Just(Act::Append),
        Just(Act::Delete),
        Just(Act::Rename),
        Just(Act::Folder)
    ]
}

fn act(folder: &Folder, name: &str, act: &Act) {
    let path = folder.0.join(name);
    match act {
        Act::Rewrite(text) => fs::write(&path, text).unwrap(),
        Act::Append => fs::write(&path, "text and more").unwrap(),
        Act::Delete => fs::remove_file(&path).unwrap(),
        Act::Rename => fs::rename(&path, path.with_extension("moved")).unwrap(),
        Act::Folder => {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn no_two_files_share_a_place(one in path(), other in path()) {
        let (first, second) = (record_path(&one), record_path(&other));
        prop_assert_eq!(one == other, first.eq_ignore_ascii_case(&second));
        for part in first.split('/') {
            prop_assert!(part.len() < 255);
            prop_assert!(part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-%".contains(&byte)));
        }
        prop_assert!(first.ends_with(".json"));
    }

    #[test]
    fn a_place_is_no_folder_of_another(one in path(), other in path()) {
        let (file, below) = (record_path(&one), format!("{}/", record_path(&other)));
        prop_assert!(!file.starts_with(&below));
    }

    #[test]
    fn text_survives_json(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let text = Text(bytes);
        let mut json = Json::default();
        json.text(&text);
        let read: Text = serde_json::from_slice(&json.done()).unwrap();
        prop_assert_eq!(read, text);
    }

    #[test]
    fn what_is_cut_or_flipped_is_no_record(at in 0_usize..2000, bit in 0_u8..8, cut in any::<bool>()) {
        let folder = Folder::new();
        filled(&folder, &BTreeSet::from([0]), &BTreeSet::from([3]));
        let path = folder.0.join("cache/records-5/tree/tests.d/test_a.py.json");
        let mut bytes = fs::read(path).unwrap();
        let whole = Record::decode(&bytes).unwrap();
        prop_assert_eq!(&whole.encode(), &bytes);
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        // A flip in the header's own names may leave it what it was; never may it give another record.
        prop_assert!(Record::decode(&bytes).map_or(true, |record| record == whole));
    }

    #[test]
    fn an_index_of_any_bytes_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(index::decode(&bytes).is_none());
    }

    #[test]
    fn what_a_pattern_matches_is_what_it_finds(pattern in "(\\*\\*/|d/|\\*/){0,2}(\\*|\\*\\*|[ab]?|\\*\\.j|\\[ab\\])", names in prop::collection::vec("(d/|e/|d/e/)?[abc](\\.j)?", 1..6)) {
        let folder = Folder::new();
        for name in &names {
            folder.write(name, "");
        }
        let found = glob::matches(&folder.0, pattern.as_bytes(), "/none".as_ref());
        let found: BTreeSet<Vec<u8>> = found.files.iter().filter(|path| path.is_file())
            .map(|path| path.strip_prefix(&folder.0).unwrap().as_os_str().as_bytes().to_vec()).collect();
        let expected: BTreeSet<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec())
            .filter(|name| glob::is_match(pattern.as_bytes(), name)).collect();
        prop_assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn fresh_until_a_dependency_changes(closure in some_files(), reads in some_files(), at in 0..FILES.len(), change in acts()) {
        let folder = Folder::new();
        let mut store = filled(&folder, &closure, &reads);
        prop_assert_eq!(verdict(&mut store), Verdict::Fresh);
        store.save().unwrap();
        act(&folder, FILES[at], &change);
        let is_module_gone = FILES[at].starts_with("src/") && !matches!(change, Act::Rewrite(_) | Act::Append);
        let is_listed = FILES[at].starts_with("data/") && !FILES[at].contains("deep") && matches!(change, Act::Rename | Act::Delete);
        let is_declared = FILES[at].ends_with(".json");
        let depends = closure.contains(&at) || reads.contains(&at) || is_declared || is_listed || is_module_gone;
        for store in [&mut store, &mut self::store(&folder)] {
            prop_assert_eq!(verdict(store) != Verdict::Fresh, depends);
            let changed = store.affected(&[FILES[at].as_bytes().to_vec()], &[], &[]);
            prop_assert_eq!(!changed.is_empty(), depends);
        }
    }

    #[test]
    fn many_at_once_are_as_one_by_one(files in prop::collection::btree_map(path(), (some_files(), some_files()), 1..8), started in prop::sample::select(vec![0, i64::MAX])) {
        let folder = Folder::new();
        let mut store = filled(&folder, &BTreeSet::new(), &BTreeSet::new());
        let drafts = drafts(&files, &folder);
        prop_assert_eq!(store.put_all(&drafts, started, &environment(), &[]).unwrap(), files.len());
        prop_assert_eq!(store.put_all(&drafts, started, &environment(), &[]).unwrap(), 0);
        let at_once = bytes(&store, &folder, &files);
        store.clear().unwrap();
        for one in drafts.chunks(1) {
            prop_assert_eq!(store.put_all(one, started, &environment(), &[]).unwrap(), 1);
        }
        prop_assert_eq!(bytes(&store, &folder, &files), at_once);
    }

    #[test]
    fn the_index_says_what_the_records_say(files in prop::collection::btree_map(path(), (some_files(), some_files()), 1..6)) {
        let folder = Folder::new();
        let mut one = filled(&folder, &BTreeSet::new(), &BTreeSet::new());
        one.put_all(&drafts(&files, &folder), i64::MAX, &environment(), &[]).unwrap();
        let read = described(&mut store(&folder));
        one.save().unwrap();
        prop_assert_eq!(described(&mut one), read.clone());
        prop_assert_eq!(described(&mut store(&folder)), read);
        // What a table says of itself survives being written twice.
        let bytes = fs::read(folder.0.join("cache/records-5/index")).unwrap();
        let table: Table = index::decode(&bytes).unwrap();
        prop_assert_eq!(index::encode(&table, |_| false), bytes);
    }
}

type Files = BTreeMap<Vec<u8>, (BTreeSet<usize>, BTreeSet<usize>)>;

fn drafts(files: &Files, folder: &Folder) -> Vec<(Vec<u8>, String)> {
    files.iter().map(|(file, (closure, reads))| (file.clone(), draft(closure, reads, folder))).collect()
}

/// The bytes of the records, or none where it could not be written.
fn bytes(store: &Store, folder: &Folder, files: &Files) -> Vec<Option<Vec<u8>>> {
    assert_eq!(store.verify(), []);
    let path = |file| folder.0.join("cache/records-5").join(record_path(file));
    files.keys().map(|file| fs::read(path(file)).ok()).collect()
}

/// All that a store tells of its records.
fn described(store: &mut Store) -> Vec<(Text, Verdict, Option<String>, usize)> {
    let files = store.files();
    let paths: Vec<Vec<u8>> = files.iter().map(|file| file.0.clone()).collect();
    let verdicts = store.check(&paths, &["e".to_owned()], &environment());
    let each = files.into_iter().zip(verdicts).map(|(file, (verdict, _))| {
        let json = store.get(&file.0);
        (file, verdict, json, store.statistics().2)
    });
    each.collect()
}
