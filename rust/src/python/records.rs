//! The Python face of the store.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::freshness::glob;
use crate::functions::outline::Function;
use crate::python::convert::{items, lock, paths};
use crate::records::functions::CodePlaces;
use crate::records::text::Text;
use crate::storage::affected_tests::AffectedPart;
use crate::storage::epochs::Inputs;
use crate::storage::outlines;
use crate::storage::store::{Results, Store};

/// Bytes go back as `str`, as `os.fsdecode` shows them.
fn shown(text: Text) -> OsString {
    OsString::from_vec(text.0)
}

fn bytes(list: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    Ok(paths(list)?.into_iter().map(|path| path.into_os_string().into_vec()).collect())
}

/// Names and values, odd bytes as in `os.environ`.
fn mapping<K: From<Key> + Ord>(given: &Bound<'_, PyMapping>) -> PyResult<std::collections::BTreeMap<K, K>> {
    let pairs = given.items()?;
    items(pairs.as_any())?
        .map(|pair| {
            let (name, value): (OsString, OsString) = pair?.extract()?;
            Ok((K::from(Key(name.into_vec())), K::from(Key(value.into_vec()))))
        })
        .collect()
}

struct Key(Vec<u8>);

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl From<Key> for Text {
    fn from(key: Key) -> Self {
        Self(key.0)
    }
}

/// Matches a path against a declared pattern, as a search of the disk would.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
pub fn glob_matches(pattern: PathBuf, path: PathBuf) -> bool {
    glob::is_match(pattern.as_os_str().as_bytes(), path.as_os_str().as_bytes())
}

type ShownFunction = (String, u32, u32, String);

/// The fingerprint of the rest, and the functions of a source; None if it can't be read.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
pub fn outline(py: Python<'_>, source: Vec<u8>) -> Option<(String, Vec<ShownFunction>)> {
    let outline = py.detach(|| outlines::of_source(&source))?;
    let row = |one: Function| (one.name, one.first, one.last, one.body.to_string());
    Some((outline.rest.to_string(), outline.functions.into_iter().map(row).collect()))
}

type ShownRunner = (OsString, Option<Vec<(OsString, usize)>>);
type Row = (OsString, &'static str, OsString);
type ShownChanges = Vec<(OsString, Option<Vec<String>>)>;
type ShownPart = (Option<Vec<OsString>>, f64, usize, f64, ShownChanges);
type ShownResults = (Vec<OsString>, Vec<OsString>, Vec<(OsString, OsString)>);

#[pyclass(frozen, module = "pytest_hotreload._native")]
pub struct RecordStore(Mutex<Store>);

impl RecordStore {
    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Store) -> R + Send) -> R {
        py.detach(|| work(&mut lock(&self.0)))
    }
}

fn shown_changes(changes: Vec<(Text, Option<Vec<String>>)>) -> ShownChanges {
    changes.into_iter().map(|(file, functions)| (shown(file), functions)).collect()
}

fn one(path: PathBuf) -> Vec<u8> {
    path.into_os_string().into_vec()
}

/// Functions that ran before all tests, by file.
fn by_file(given: Option<Vec<(PathBuf, CodePlaces)>>) -> Vec<(Vec<u8>, CodePlaces)> {
    given.unwrap_or_default().into_iter().map(|(file, places)| (one(file), places)).collect()
}

/// Files, each with a text.
fn texts(given: &Bound<'_, PyMapping>) -> PyResult<Vec<(Vec<u8>, String)>> {
    let pairs = given.items()?;
    items(pairs.as_any())?
        .map(|pair| {
            let (file, text): (PathBuf, String) = pair?.extract()?;
            Ok((one(file), text))
        })
        .collect()
}

#[pymethods]
impl RecordStore {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn new(folder: PathBuf, rootdir: PathBuf) -> Self {
        Self(Mutex::new(Store::new(&folder, &rootdir)))
    }

    fn load(&self, py: Python<'_>) -> usize {
        self.with(py, Store::load)
    }

    fn is_outdated(&self, py: Python<'_>) -> bool {
        self.with(py, |store| store.is_outdated())
    }

    fn leave_out(&self, py: Python<'_>, reports: &Bound<'_, PyAny>) -> PyResult<()> {
        let reports = bytes(reports)?.into_iter().map(|path| PathBuf::from(OsString::from_vec(path)));
        let reports: Vec<PathBuf> = reports.collect();
        self.with(py, |store| store.leave_out(reports));
        Ok(())
    }

    fn notes(&self, py: Python<'_>) -> Vec<String> {
        self.with(py, |store| store.notes().to_vec())
    }

    fn files(&self, py: Python<'_>) -> Vec<OsString> {
        self.with(py, Store::files).into_iter().map(shown).collect()
    }

    fn files_by_epoch(&self, py: Python<'_>) -> HashMap<OsString, Vec<OsString>> {
        let found = self.with(py, Store::files_by_epoch);
        found.into_iter().map(|(epoch, files)| (shown(epoch), files.into_iter().map(shown).collect())).collect()
    }

    fn get(&self, py: Python<'_>, file: PathBuf) -> Option<String> {
        let file = one(file);
        self.with(py, |store| store.get(&file))
    }

    fn results(&self, py: Python<'_>, files: &Bound<'_, PyAny>) -> PyResult<Vec<Option<ShownResults>>> {
        let files = bytes(files)?;
        let found = self.with(py, |store| store.results(&files));
        let all = |texts: Vec<Text>| texts.into_iter().map(shown).collect();
        let row = |(flags, writes, tests): Results| {
            let pairs = tests.into_iter().map(|(node_id, outcome)| (shown(node_id), shown(outcome)));
            (all(flags), all(writes), pairs.collect())
        };
        Ok(found.into_iter().map(|one| one.map(row)).collect())
    }

    #[pyo3(signature = (drafts, *, started_ns, environment, before = None))]
    fn put_all(
        &self,
        py: Python<'_>,
        drafts: &Bound<'_, PyMapping>,
        started_ns: i64,
        environment: &Bound<'_, PyMapping>,
        before: Option<Vec<(PathBuf, CodePlaces)>>,
    ) -> PyResult<usize> {
        let (drafts, environment, before) = (texts(drafts)?, mapping(environment)?, by_file(before));
        Ok(self.with(py, |store| store.put_all(&drafts, started_ns, &environment, &before))?)
    }

    #[pyo3(signature = (drafts, *, epochs, started_ns, environment, before = None))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn extend_all(
        &self,
        py: Python<'_>,
        drafts: &Bound<'_, PyMapping>,
        epochs: Vec<String>,
        started_ns: i64,
        environment: &Bound<'_, PyMapping>,
        before: Option<Vec<(PathBuf, CodePlaces)>>,
    ) -> PyResult<usize> {
        let (drafts, environment, before) = (texts(drafts)?, mapping(environment)?, by_file(before));
        Ok(self.with(py, |store| store.extend_all(&drafts, &epochs, started_ns, &environment, &before))?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn adopt(&self, py: Python<'_>, folder: PathBuf, files: &Bound<'_, PyAny>) -> PyResult<usize> {
        let files = bytes(files)?;
        Ok(self.with(py, |store| store.adopt(&folder, &files))?)
    }

    fn conflicts(&self, py: Python<'_>) -> Vec<(OsString, Vec<OsString>, Vec<OsString>)> {
        let all = |texts: Vec<Text>| texts.into_iter().map(shown).collect();
        let found = self.with(py, Store::conflicts);
        found.into_iter().map(|(file, ports, writes)| (shown(file), all(ports), all(writes))).collect()
    }

    fn outside(&self, py: Python<'_>) -> Vec<OsString> {
        self.with(py, Store::outside).into_iter().map(shown).collect()
    }

    fn remove(&self, py: Python<'_>, files: &Bound<'_, PyAny>) -> PyResult<()> {
        let files = bytes(files)?;
        Ok(self.with(py, |store| store.remove(&files))?)
    }

    fn prune(&self, py: Python<'_>) -> PyResult<Vec<OsString>> {
        Ok(self.with(py, Store::prune)?.into_iter().map(shown).collect())
    }

    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        Ok(self.with(py, Store::clear)?)
    }

    fn verify(&self, py: Python<'_>) -> Vec<(OsString, String)> {
        let found = self.with(py, |store| store.verify());
        found.into_iter().map(|(path, reason)| (path.into_os_string(), reason)).collect()
    }

    fn save(&self, py: Python<'_>) -> PyResult<()> {
        Ok(self.with(py, Store::save)?)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (records, bytes, paths) = self.with(py, Store::statistics);
        let result = PyDict::new(py);
        result.set_item("records", records)?;
        result.set_item("bytes", bytes)?;
        result.set_item("paths", paths)?;
        Ok(result)
    }

    fn epoch(&self, py: Python<'_>, inputs: &Bound<'_, PyMapping>) -> PyResult<String> {
        let inputs: Inputs = mapping(inputs)?;
        Ok(self.with(py, |store| store.epoch(&inputs)))
    }

    #[expect(clippy::type_complexity, reason = "a row of three")]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn epoch_changes(
        &self,
        py: Python<'_>,
        epoch: String,
        inputs: &Bound<'_, PyMapping>,
    ) -> PyResult<Option<Vec<(OsString, Option<OsString>, Option<OsString>)>>> {
        let inputs: Inputs = mapping(inputs)?;
        let changes = self.with(py, |store| store.epoch_changes(&epoch, &inputs));
        let row =
            |(name, then, now): (Text, Option<Text>, Option<Text>)| (shown(name), then.map(shown), now.map(shown));
        Ok(changes.map(|changes| changes.into_iter().map(row).collect()))
    }

    #[pyo3(signature = (files, *, epochs, environment))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn check(
        &self,
        py: Python<'_>,
        files: &Bound<'_, PyAny>,
        epochs: Vec<String>,
        environment: &Bound<'_, PyMapping>,
    ) -> PyResult<Vec<Row>> {
        let (files, environment) = (bytes(files)?, mapping(environment)?);
        let verdicts = self.with(py, |store| store.check(&files, &epochs, &environment));
        let row = |(file, (verdict, about)): (Vec<u8>, (crate::freshness::verdict::Verdict, Text))| {
            (OsString::from_vec(file), verdict.name(), shown(about))
        };
        Ok(files.into_iter().zip(verdicts).map(row).collect())
    }

    #[pyo3(signature = (changes, *, names = None, added = None))]
    fn affected(
        &self,
        py: Python<'_>,
        changes: &Bound<'_, PyAny>,
        names: Option<&Bound<'_, PyAny>>,
        added: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Row>> {
        let optional =
            |paths: Option<&Bound<'_, PyAny>>| Ok::<_, PyErr>(paths.map(bytes).transpose()?.unwrap_or_default());
        let (changes, names, added) = (bytes(changes)?, optional(names)?, optional(added)?);
        let found = self.with(py, |store| store.affected(&changes, &names, &added));
        Ok(found.into_iter().map(|(file, verdict, about)| (shown(file), verdict.name(), shown(about))).collect())
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn runners(&self, py: Python<'_>, file: PathBuf, function: String) -> Vec<ShownRunner> {
        let file = one(file);
        let found = self.with(py, |store| store.runners(&file, &function));
        let tests = |tests: Vec<(Text, usize)>| tests.into_iter().map(|(test, count)| (shown(test), count)).collect();
        found.into_iter().map(|(file, ran)| (shown(file), ran.map(tests))).collect()
    }

    #[pyo3(signature = (test_file, node_id = None))]
    fn functions_of(
        &self,
        py: Python<'_>,
        test_file: PathBuf,
        node_id: Option<OsString>,
    ) -> Option<Vec<(OsString, Vec<String>)>> {
        let (test_file, node_id) = (one(test_file), node_id.map(OsString::into_vec));
        let found = self.with(py, |store| store.functions_of(&test_file, node_id.as_deref()))?;
        Some(found.into_iter().map(|(file, names)| (shown(file), names)).collect())
    }

    fn content_changes(&self, py: Python<'_>) -> ShownChanges {
        shown_changes(self.with(py, |store| store.content_changes()))
    }

    fn affected_tests(&self, py: Python<'_>, test_file: PathBuf) -> Option<Vec<OsString>> {
        let test_file = one(test_file);
        let found = self.with(py, |store| store.affected_tests(&test_file))?;
        Some(found.into_iter().map(shown).collect())
    }

    fn affected_parts(&self, py: Python<'_>, test_files: &Bound<'_, PyAny>) -> PyResult<Vec<ShownPart>> {
        let files = bytes(test_files)?;
        let found = self.with(py, |store| store.affected_parts(&files));
        let row = |part: AffectedPart| {
            let tests = part.tests.map(|tests| tests.into_iter().map(shown).collect());
            (tests, part.seconds, part.all, part.all_seconds, shown_changes(part.changes))
        };
        Ok(found.into_iter().map(row).collect())
    }

    fn concerning_changes(&self, py: Python<'_>, test_file: PathBuf) -> ShownChanges {
        let test_file = one(test_file);
        shown_changes(self.with(py, |store| store.concerning_changes(&test_file)))
    }

    fn changed_functions(&self, py: Python<'_>, test_file: PathBuf, file: PathBuf) -> Option<Vec<String>> {
        let (test_file, file) = (one(test_file), one(file));
        self.with(py, |store| store.changed_functions(&test_file, &file))
    }

    fn look_at_layouts(&self, py: Python<'_>, files: &Bound<'_, PyAny>) -> PyResult<()> {
        let files = bytes(files)?;
        self.with(py, |store| store.look_at_layouts(&files));
        Ok(())
    }

    fn confirm(&self, py: Python<'_>, files: &Bound<'_, PyAny>) -> PyResult<()> {
        let files = bytes(files)?;
        self.with(py, |store| store.confirm(&files));
        Ok(())
    }
}
