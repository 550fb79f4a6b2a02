//! The Python face of the analysis of imports.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;

use indexmap::IndexMap;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::error::Error;
use crate::imports::effects::{Effect, Kind};
use crate::imports::parse::{Context, Import, Parsed};
use crate::imports::project;
use crate::imports::pytest_layout::ImportMode;
use crate::python::convert::{items, lock, paths, shown};

fn strings<C: FromIterator<String>>(iterable: &Bound<'_, PyAny>) -> PyResult<C> {
    items(iterable)?.map(|item| item?.extract()).collect()
}

fn editables(mapping: Option<&Bound<'_, PyMapping>>) -> PyResult<IndexMap<String, PathBuf>> {
    let Some(mapping) = mapping else { return Ok(IndexMap::new()) };
    mapping.items()?.iter().map(|item| item.extract::<(String, PathBuf)>()).collect()
}

type ImportRow = (u32, Option<String>, Option<String>, String, u32);
type EffectRow = (u32, String, String);

fn parsed(imports: Vec<ImportRow>, effects: Vec<EffectRow>) -> Result<Parsed, Error> {
    let import = |(level, module, name, context, line): ImportRow| {
        let known = Context::from_name(&context).ok_or(Error::Value { value: context, expected: Context::NAMES })?;
        Ok(Import { level, module: module.unwrap_or_default(), name, context: known, line })
    };
    let effect = |(line, kind, detail): EffectRow| {
        let known = Kind::from_name(&kind).ok_or(Error::Value { value: kind, expected: Kind::NAMES })?;
        Ok(Effect { line, kind: known, detail })
    };
    Ok(Parsed {
        imports: imports.into_iter().map(import).collect::<Result<_, Error>>()?,
        effects: effects.into_iter().map(effect).collect::<Result<_, Error>>()?,
    })
}

#[pyclass(frozen, module = "pytest_hotreload._native")]
pub struct Project(Mutex<project::Project>);

#[pymethods]
impl Project {
    #[new]
    #[pyo3(signature = (rootdir, *, sys_path, stdlib, site_dirs, import_mode = "prepend", editable = None,
                        namespace_packages = false, cache_file = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        rootdir: PathBuf,
        sys_path: &Bound<'_, PyAny>,
        stdlib: &Bound<'_, PyAny>,
        site_dirs: &Bound<'_, PyAny>,
        import_mode: &str,
        editable: Option<&Bound<'_, PyMapping>>,
        namespace_packages: bool,
        cache_file: Option<PathBuf>,
    ) -> PyResult<Self> {
        let settings = project::Settings {
            rootdir,
            sys_path: paths(sys_path)?,
            stdlib: strings::<HashSet<String>>(stdlib)?,
            site_dirs: paths(site_dirs)?,
            import_mode: ImportMode::from_name(import_mode)?,
            editable: editables(editable)?,
            namespace_packages,
            cache_file,
        };
        Ok(Self(Mutex::new(py.detach(|| project::Project::new(settings)))))
    }

    fn scan(&self, py: Python<'_>, test_files: &Bound<'_, PyAny>) -> PyResult<Vec<OsString>> {
        let files = paths(test_files)?;
        Ok(shown(py.detach(|| lock(&self.0).scan(&files))))
    }

    #[pyo3(signature = (path, imports, effects = None, diagnostic = None, line = None))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn supply(
        &self,
        path: PathBuf,
        imports: Vec<ImportRow>,
        effects: Option<Vec<EffectRow>>,
        diagnostic: Option<String>,
        line: Option<u32>,
    ) -> PyResult<()> {
        let parsed = parsed(imports, effects.unwrap_or_default())?;
        Ok(lock(&self.0).supply(&path, parsed, diagnostic.map(|text| (line, text)))?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn closure(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<Vec<OsString>> {
        Ok(shown(py.detach(|| lock(&self.0).closure(&test_file))?))
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn chain(&self, py: Python<'_>, test_file: PathBuf, file: PathBuf) -> PyResult<Vec<OsString>> {
        Ok(shown(py.detach(|| lock(&self.0).chain(&test_file, &file))?))
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn links(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<Vec<(OsString, OsString)>> {
        let links = py.detach(|| lock(&self.0).links(&test_file))?;
        Ok(links.into_iter().map(|(from, to)| (from.into_os_string(), to.into_os_string())).collect())
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn locate(&self, py: Python<'_>, test_file: PathBuf, name: &str) -> PyResult<Option<OsString>> {
        let found = py.detach(|| lock(&self.0).locate(&test_file, name))?;
        Ok(found.map(PathBuf::into_os_string))
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn third_party(&self, py: Python<'_>, test_file: PathBuf) -> PyResult<(Vec<String>, Vec<String>)> {
        Ok(py.detach(|| lock(&self.0).third_party(&test_file))?)
    }

    #[pyo3(signature = (test_files, minimum = 2))]
    fn shared(&self, py: Python<'_>, test_files: &Bound<'_, PyAny>, minimum: usize) -> PyResult<Vec<String>> {
        let files = paths(test_files)?;
        Ok(py.detach(|| lock(&self.0).shared(&files, minimum))?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn effects(&self, path: PathBuf) -> PyResult<Vec<(u32, &'static str, String)>> {
        let effects = lock(&self.0).effects(&path)?;
        Ok(effects.into_iter().map(|effect| (effect.line, effect.kind.name(), effect.detail)).collect())
    }

    fn quarantine<'py>(&self, py: Python<'py>, test_files: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let files = paths(test_files)?;
        let reasons = py.detach(|| lock(&self.0).quarantine(&files))?;
        let result = PyDict::new(py);
        for (module, reason) in reasons {
            result.set_item(module, reason)?;
        }
        Ok(result)
    }

    fn diagnostics(&self) -> Vec<(OsString, Option<u32>, String)> {
        let found = lock(&self.0).diagnostics();
        found.into_iter().map(|(path, line, text)| (path.into_os_string(), line, text)).collect()
    }

    fn missing(&self) -> Vec<(OsString, u32, String)> {
        let found = lock(&self.0).missing();
        found.into_iter().map(|(path, line, name)| (path.into_os_string(), line, name)).collect()
    }

    fn save(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.0).save())?)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = lock(&self.0).statistics();
        let result = PyDict::new(py);
        result.set_item("files", counts.files)?;
        result.set_item("parsed", counts.parsed)?;
        result.set_item("cached", counts.cached)?;
        result.set_item("rejected", counts.rejected)?;
        Ok(result)
    }
}
