//! Records which functions of first-party code run, through `audit/monitoring.rs` (`docs/design/functions.md`).
//!
//! The interpreter says whenever a function of a registered file starts or is resumed; code of others is
//! never touched. A file is registered when the import system executes it, which an audit event tells.

use std::cell::UnsafeCell;
use std::collections::hash_map::Entry;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexSet;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;

use crate::audit::frames::{bytes_of, is_by_project, own_file};
use crate::audit::monitoring::Monitoring;
use crate::audit::scope::{PathClass, Settings};

/// From this call on a function is no longer counted until the next set begins: a call that is told costs about 70 ns,
/// and to switch a function on again about 2 µs.
const HOT: u32 = 32;
/// The set of everything that belongs to no test.
pub const NO_TEST: i64 = -1;
/// Nested functions deeper than this do not occur; a file with them is not registered.
const DEEPEST_CODE: usize = 100;

const LOST: &str = "calls of functions were lost";
const UNTOLD: &str = "the project set a trace function, a profile function, an audit hook or a callback of events";

static ENABLED: AtomicBool = AtomicBool::new(false);

/// One code object of a registered file.
struct Code {
    file: u32,
    line: u32,
    name: String,
    /// The set in which it ran last, and how often in this set.
    set: u32,
    calls: u32,
}

/// Where a code object comes from: file, first line, qualified name.
pub type CodePlace = (OsString, u32, String);

/// What ran, as places, and for each label the indexes of the places that ran.
#[derive(Default)]
pub struct Ran {
    /// The places.
    pub places: Vec<CodePlace>,
    /// Pairs of a label and its places, in the order of the labels' first use.
    pub sets: Vec<(i64, Vec<u32>)>,
    /// The labels of sets in which a process was started, and of tests in which one that was started before lived on.
    pub starters: Vec<i64>,
    /// The files that were registered since the mark.
    pub files: Vec<OsString>,
    /// The number of files at the mark, and the process that made it; 0 for none.
    pub mark: (usize, u64),
}

#[derive(Default)]
struct Recorder {
    settings: Option<Arc<Settings>>,
    tool: i32,
    files: IndexSet<OsString>,
    /// By address; the objects are never released, so that no other takes the address.
    by_address: FxHashMap<usize, u32>,
    codes: Vec<Code>,
    objects: Vec<Py<PyAny>>,
    /// What ran in the current set, and those of it that are switched off.
    current: Vec<u32>,
    off: Vec<u32>,
    set: u32,
    done: Vec<(i64, Vec<u32>)>,
    /// Whether a process was started in the current set, and whether one of an earlier set lives on.
    starts_process: bool,
    has_process: bool,
    starters: Vec<i64>,
    mark: (usize, u64),
    /// Why what ran is not known as a whole, if something was lost.
    incomplete: Option<&'static str>,
}

/// Touched only by threads that hold the interpreter's lock, and never across a call of Python code.
struct Shared(UnsafeCell<Option<Recorder>>);

// SAFETY: see above; the stable ABI that this module is built for has an interpreter's lock.
unsafe impl Sync for Shared {}

static RECORDER: Shared = Shared(UnsafeCell::new(None));

fn with<T>(_attached: Python<'_>, action: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    // SAFETY: the argument stands for the interpreter's lock, and no action runs Python code or comes back here.
    unsafe { (*RECORDER.0.get()).as_mut() }.map(action)
}

/// Whether files are registered.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Begins with nothing registered. Raises `RuntimeError` with the reason if the interpreter can't tell.
pub fn start(py: Python<'_>, settings: Arc<Settings>) -> PyResult<()> {
    // A pytest within a test: what the outer one has registered is lost with its recorder.
    let was_enabled = is_enabled();
    stop(py)?;
    let monitoring = Monitoring::look_up(py)?;
    let tool = monitoring.claim(py, started)?;
    monitoring.call_back(py, tool)?;
    let recorder = Recorder {
        settings: Some(settings),
        tool,
        set: 1,
        incomplete: was_enabled.then_some(LOST),
        ..Recorder::default()
    };
    // SAFETY: as in `with`.
    unsafe { *RECORDER.0.get() = Some(recorder) };
    ENABLED.store(true, Ordering::SeqCst);
    Ok(())
}

/// Gives the tool back. What ran so far is forgotten.
pub fn stop(py: Python<'_>) -> PyResult<()> {
    ENABLED.store(false, Ordering::SeqCst);
    // SAFETY: as in `with`; the recorder is dropped only after it was taken out.
    let Some(recorder) = (unsafe { (*RECORDER.0.get()).take() }) else { return Ok(()) };
    let monitoring = Monitoring::look_up(py)?;
    if monitoring.owns(py, recorder.tool) {
        for object in &recorder.objects {
            monitoring.watch(py, recorder.tool, object.bind(py), false)?;
        }
        monitoring.release(py, recorder.tool)?;
    }
    Ok(())
}

fn started(py: Python<'_>, address: usize) -> bool {
    with(py, |recorder| recorder.started(address)).unwrap_or_default()
}

impl Recorder {
    /// Notes a call; whether the function is to be switched off.
    fn started(&mut self, address: usize) -> bool {
        let Some(index) = self.by_address.get(&address).copied() else { return false };
        let Some(code) = self.codes.get_mut(index as usize) else { return false };
        if code.set != self.set {
            (code.set, code.calls) = (self.set, 0);
            self.current.push(index);
        }
        code.calls += 1;
        if code.calls == HOT {
            self.off.push(index);
        }
        code.calls >= HOT
    }

    fn lose(&mut self, reason: &'static str) {
        self.incomplete.get_or_insert(reason);
    }

    fn close_set(&mut self, label: i64) {
        self.set += 1;
        if self.starts_process || (self.has_process && label != NO_TEST) {
            self.starters.push(label);
        }
        self.has_process = (self.has_process || self.starts_process) && has_children();
        self.starts_process = false;
        if self.current.is_empty() {
            return;
        }
        let ran = std::mem::take(&mut self.current);
        match self.done.iter_mut().rev().find(|(known, _)| *known == label) {
            Some((_, known)) => known.extend(ran),
            None => self.done.push((label, ran)),
        }
    }
}

/// Notes that a process was started: nobody knows which functions run in it.
pub fn starts_process(py: Python<'_>) {
    with(py, |recorder| recorder.starts_process = true);
}

/// Whether this process has a child, be it one that has ended and was not waited for.
fn has_children() -> bool {
    waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) != Err(Errno::ECHILD)
}

/// Ends the current set: what ran since the last call belongs to this label. Functions that were switched off are
/// switched on again; where that fails, since a test freed the tool, what ran is not known any more.
pub fn mark(py: Python<'_>, label: i64) {
    let Some((tool, off)) = with(py, |recorder| {
        recorder.close_set(label);
        let objects = &recorder.objects;
        let objects = recorder.off.drain(..).filter_map(|index| objects.get(index as usize));
        (recorder.tool, objects.map(|object| object.clone_ref(py)).collect::<Vec<_>>())
    }) else {
        return;
    };
    switch(py, tool, &off, &[false, true]);
}

/// Has each of these functions told, or no longer, by one step after the other.
fn switch(py: Python<'_>, tool: i32, functions: &[Py<PyAny>], steps: &[bool]) {
    let is_done = Monitoring::look_up(py).is_ok_and(|monitoring| {
        let watch = |function: &Py<PyAny>, enabled| monitoring.watch(py, tool, function.bind(py), enabled).is_ok();
        functions.iter().all(|function| steps.iter().all(|enabled| watch(function, *enabled)))
    });
    if !is_done {
        with(py, |recorder| recorder.lose(LOST));
    }
}

/// Switches off what ran in the current set, until the next one. With events on its function, a debugger of Python 3.14
/// that begins there stops at the next line instead.
pub fn pause(py: Python<'_>) {
    let Some((tool, ran)) = with(py, |recorder| {
        recorder.off.extend(&recorder.current);
        let ran = recorder.current.iter().filter_map(|index| recorder.objects.get(*index as usize));
        (recorder.tool, ran.map(|object| object.clone_ref(py)).collect::<Vec<_>>())
    }) else {
        return;
    };
    switch(py, tool, &ran, &[false]);
}

/// Marks the files that are registered by now: processes that are forked from here on name only later ones.
pub fn mark_files(py: Python<'_>, process: u64) {
    with(py, |recorder| recorder.mark = (recorder.files.len(), process));
}

/// All that ran since the last call, which is forgotten, or the reason for which that is not known. What ran since the
/// last mark belongs to no test.
pub fn take(py: Python<'_>) -> PyResult<Result<Ran, &'static str>> {
    if !is_enabled() {
        return Ok(Err("nothing was recorded"));
    }
    mark(py, NO_TEST);
    let monitoring = Monitoring::look_up(py)?;
    let Some(tool) = with(py, |recorder| recorder.tool) else { return Ok(Err("nothing was recorded")) };
    if !monitoring.owns(py, tool) || !monitoring.call_back(py, tool)? {
        return Ok(Err("a test took over sys.monitoring"));
    }
    let found = with(py, |recorder| {
        if let Some(reason) = recorder.incomplete {
            return Err(reason);
        }
        let found = recorder.found();
        recorder.done.clear();
        recorder.starters.clear();
        Ok(found)
    });
    Ok(found.unwrap_or(Err("nothing was recorded")))
}

impl Recorder {
    fn found(&self) -> Ran {
        let mut places: IndexSet<u32> = IndexSet::new();
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let sets = self.done.iter().map(|(label, ran)| {
            let mut ran: Vec<u32> = ran.iter().map(|index| number(places.insert_full(*index).0)).collect();
            ran.sort_unstable();
            ran.dedup();
            (*label, ran)
        });
        let sets = sets.collect();
        let place = |index: u32| {
            let code = self.codes.get(index as usize)?;
            let file = self.files.get_index(code.file as usize)?;
            Some((file.clone(), code.line, code.name.clone()))
        };
        Ran {
            places: places.into_iter().filter_map(place).collect(),
            sets,
            starters: self.starters.clone(),
            files: self.files.iter().skip(self.mark.0).cloned().collect(),
            mark: self.mark,
        }
    }
}

/// Notes that a function is set which the interpreter calls by itself. While it runs, no calls are told.
pub fn sets_callback(py: Python<'_>) {
    let settings = with(py, |recorder| recorder.settings.clone().filter(|_| recorder.incomplete.is_none()));
    if settings.flatten().is_some_and(|settings| is_by_project(py, &settings)) {
        with(py, |recorder| recorder.lose(UNTOLD));
    }
}

/// Registers the functions of a module that is about to be executed, if it is first-party.
pub fn executes(py: Python<'_>, code: &Bound<'_, PyAny>) {
    if !is_enabled() {
        return;
    }
    let known =
        with(py, |recorder| (recorder.by_address.contains_key(&(code.as_ptr() as usize)), recorder.settings.clone()));
    let Some((false, Some(settings))) = known else { return };
    let kind = code.get_type();
    if !is_code(&kind) {
        return;
    }
    let Some(file) = file_of(code, &settings) else { return };
    // Templates name their own files. They are no modules, and may be compiled any number of times.
    if Path::new(&file).extension().is_none_or(|extension| extension != "py") {
        return;
    }
    // Itself, so that it is known when it is executed once more; no call of it is told, as it is called by nobody.
    let mut found = vec![(code.clone(), 0, "<module>".to_owned())];
    let is_whole = collect(code, &kind, &mut found, 0).is_some() && register(py, file, found).is_ok();
    if !is_whole {
        with(py, |recorder| recorder.lose(LOST));
    }
}

unsafe extern "C" {
    // Every CPython exports it, though the stable ABI does not list it.
    static mut PyCode_Type: ffi::PyTypeObject;
}

fn is_code(kind: &Bound<'_, PyType>) -> bool {
    // Only its address is taken.
    kind.as_type_ptr() == &raw mut PyCode_Type
}

/// The file that a code object names, if it is first-party and no test's own.
pub fn file_of(code: &Bound<'_, PyAny>, settings: &Settings) -> Option<OsString> {
    let name = code.getattr(intern!(code.py(), "co_filename")).ok()?;
    first_party(OsStr::from_bytes(&bytes_of(&name)?), settings)
}

/// The canonical form of a file name, if that is first-party and no test's own.
pub fn first_party(name: &OsStr, settings: &Settings) -> Option<OsString> {
    let is_recorded = |path: &Path| settings.classify(path) == PathClass::Recorded;
    own_file(settings, name).filter(|file| is_recorded(Path::new(file)))
}

type Found<'py> = (Bound<'py, PyAny>, u32, String);

/// The code objects below one, which is the module's own and needs no watching: its code is part of the rest.
fn collect<'py>(
    code: &Bound<'py, PyAny>,
    kind: &Bound<'py, PyType>,
    found: &mut Vec<Found<'py>>,
    depth: usize,
) -> Option<()> {
    let py = code.py();
    if depth > DEEPEST_CODE {
        return None;
    }
    let constants = code.getattr(intern!(py, "co_consts")).ok()?.cast_into::<PyTuple>().ok()?;
    for constant in &constants {
        if constant.get_type().is(kind) {
            let line: i64 = constant.getattr(intern!(py, "co_firstlineno")).ok()?.extract().ok()?;
            let name = constant.getattr(intern!(py, "co_qualname")).ok()?;
            let name = name.cast::<PyString>().ok()?.to_string_lossy().into_owned();
            found.push((constant.clone(), u32::try_from(line).ok()?, name));
            collect(&constant, kind, found, depth + 1)?;
        }
    }
    Some(())
}

fn register(py: Python<'_>, file: OsString, found: Vec<Found<'_>>) -> PyResult<()> {
    let monitoring = Monitoring::look_up(py)?;
    let Some(tool) = with(py, |recorder| recorder.tool) else { return Ok(()) };
    for (object, _, _) in found.iter().skip(1) {
        monitoring.watch(py, tool, object, true)?;
    }
    with(py, |recorder| {
        let file = u32::try_from(recorder.files.insert_full(file).0).unwrap_or(u32::MAX);
        for (object, line, name) in found {
            let index = u32::try_from(recorder.codes.len()).unwrap_or(u32::MAX);
            if let Entry::Vacant(vacant) = recorder.by_address.entry(object.as_ptr() as usize) {
                vacant.insert(index);
                recorder.codes.push(Code { file, line, name, set: 0, calls: 0 });
                recorder.objects.push(object.unbind());
            }
        }
    });
    Ok(())
}

/// The file of the code that a function or a generator is asked for, by the name of the attribute.
pub fn file_of_code(py: Python<'_>, owner: &Bound<'_, PyAny>, attribute: &OsStr) -> Option<OsString> {
    if !is_enabled() {
        return None;
    }
    let name = CODE_ATTRIBUTES.iter().find(|name| name.to_bytes() == attribute.as_encoded_bytes())?;
    let settings = with(py, |recorder| recorder.settings.clone())??;
    let code = owner.getattr(PyString::new(py, name.to_str().ok()?)).ok()?;
    if is_code(&code.get_type()) { file_of(&code, &settings) } else { None }
}

const CODE_ATTRIBUTES: [&CStr; 4] = [c"__code__", c"gi_code", c"cr_code", c"ag_code"];

/// The canonical form of a first-party file that code was made for by hand.
pub fn file_named(py: Python<'_>, name: &OsStr) -> Option<OsString> {
    let settings = with(py, |recorder| recorder.settings.clone())??;
    first_party(name, &settings)
}
