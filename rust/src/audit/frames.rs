//! Attributes an event to code, by the Python frames of this thread.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::audit::rows::Kind;
use crate::audit::scope::Settings;
use crate::filesystem::paths::canonical_path;

/// As many frames as may lie between a patched dict's copying and the environment's methods.
const NEAR: usize = 8;
/// Functions that read of a code object only its name, file, first line, arguments and kind, or run the code that
/// evaluates annotations, by their modules.
const ABOUT_SIGNATURES: [(&str, &str); 10] = [
    ("annotationlib.py", "_build_closure"),
    ("annotationlib.py", "call_annotate_function"),
    ("inspect.py", "_has_code_flag"),
    ("inspect.py", "_signature_from_function"),
    ("inspect.py", "_signature_is_functionlike"),
    ("inspect.py", "getfile"),
    ("inspect.py", "getsourcefile"),
    ("inspect.py", "isgeneratorfunction"),
    ("typing.py", "overload"),
    ("typing_extensions.py", "overload"),
];
/// Where `threading` keeps what new threads set.
const THREAD_HOOKS: [&str; 2] = ["_trace_hook", "_profile_hook"];
/// Functions that copy a whole dict to restore it later, and so read no variable.
const PATCHERS: [&str; 3] = ["_patch_dict", "_unpatch_dict", "_clear_dict"];

/// The text of a str, as `os.fsencode`, or the bytes.
pub fn bytes_of<'a>(object: &'a Bound<'_, PyAny>) -> Option<Cow<'a, [u8]>> {
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Some(Cow::Borrowed(text.as_bytes())),
            Err(_surrogates) => encoded(text).map(Cow::Owned),
        };
    }
    object.cast::<PyBytes>().ok().map(|bytes| Cow::Borrowed(bytes.as_bytes()))
}

fn encoded(text: &Bound<'_, PyString>) -> Option<Vec<u8>> {
    // SAFETY: the argument is a str that the caller holds; the result is new, or null with an exception set, which
    // from_owned_ptr_or_err takes away.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(text.py(), ffi::PyUnicode_EncodeFSDefault(text.as_ptr())) };
    bytes.ok()?.cast::<PyBytes>().ok().map(|bytes| bytes.as_bytes().to_owned())
}

/// Files of first-party code, folders of installed packages; "" stands for everybody.
pub type Owners = Vec<OsString>;

struct Frame<'py> {
    frame: Bound<'py, PyAny>,
    code: Bound<'py, PyAny>,
}

impl<'py> Frame<'py> {
    fn innermost(py: Python<'py>) -> Option<Self> {
        // SAFETY: this thread is attached; the frame is borrowed, null where no Python code runs.
        let frame = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }?;
        Some(Self::of(frame))
    }

    fn of(frame: Bound<'py, PyAny>) -> Self {
        // SAFETY: the object is a frame that we hold; every frame has a code object, which is returned as a new
        // reference. Unlike the attribute, this call raises no audit event.
        let code = unsafe { Bound::from_owned_ptr(frame.py(), ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast()) };
        Self { frame, code }
    }

    fn back(&self) -> Option<Self> {
        let back = self.frame.getattr(intern!(self.frame.py(), "f_back")).ok()?;
        (!back.is_none()).then(|| Self::of(back))
    }

    fn file(&self) -> OsString {
        self.text(intern!(self.frame.py(), "co_filename"))
    }

    fn name(&self) -> OsString {
        self.text(intern!(self.frame.py(), "co_name"))
    }

    fn text(&self, attribute: &Bound<'py, PyString>) -> OsString {
        let value = self.code.getattr(attribute).ok();
        let bytes = value.as_ref().and_then(bytes_of);
        bytes.map(|bytes| OsStr::from_bytes(&bytes).to_owned()).unwrap_or_default()
    }
}

/// The file of the code that asks for a module. An error where that is the import system, for the fromlist of a
/// statement that was noted before.
pub fn asks_for_modules(py: Python<'_>) -> Option<Result<OsString, ()>> {
    let frame = Frame::innermost(py)?;
    let file = frame.file();
    let carries = is_frozen(&file, "importlib._bootstrap") && frame.name() == "_call_with_frames_removed";
    let is_fromlist = carries && frame.back().is_some_and(|frame| frame.name() == "_handle_fromlist");
    Some(if is_fromlist { Err(()) } else { Ok(file) })
}

/// Whether the code that acts now is the import system's.
pub fn is_import_system(py: Python<'_>) -> bool {
    Frame::innermost(py).is_some_and(|frame| is_frozen(&frame.file(), "importlib._bootstrap"))
}

/// Whether the code that acts now is pytest's or ours.
pub fn is_by_caller(py: Python<'_>, settings: &Settings) -> bool {
    Frame::innermost(py).is_some_and(|frame| settings.is_caller(Path::new(&frame.file())))
}

fn is_frozen(file: &OsStr, name: &str) -> bool {
    file.as_bytes().strip_prefix(b"<frozen ").is_some_and(|rest| rest.starts_with(name.as_bytes()))
}

/// Whether the import system itself does what happens now.
pub fn is_of_the_path_finder(py: Python<'_>) -> bool {
    Frame::innermost(py).is_some_and(|frame| is_frozen(&frame.file(), "importlib"))
}

/// Whether the import system reads a source now to execute it.
pub fn is_importing(py: Python<'_>) -> bool {
    let mut frame = Frame::innermost(py);
    for name in ["get_data", "get_code", "exec_module"] {
        let Some(this) = frame.filter(|frame| is_frozen(&frame.file(), "importlib") && frame.name() == name) else {
            return false;
        };
        frame = this.back();
    }
    true
}

/// Whether the project's own code acts now, by the innermost code that is not the standard library's. In doubt it does:
/// a thread begins in the standard library, and sets what `threading.settrace` was given for it.
pub fn is_by_project(py: Python<'_>, settings: &Settings) -> bool {
    let mut next = Frame::innermost(py);
    let mut first = None;
    while let Some(frame) = next {
        if let Some(is_project) = is_project(settings, &frame.file()) {
            return is_project;
        }
        next = frame.back();
        first = Some(frame);
    }
    !first.is_some_and(|first| begins_for_others(settings, &first))
}

/// None for code of the standard library, and for code without a file, which somebody runs.
fn is_project(settings: &Settings, file: &OsStr) -> Option<bool> {
    let path = Path::new(file);
    if settings.is_caller(path) || settings.package_of(path).is_some() {
        return Some(false);
    }
    own_file(settings, file).map(|_own| true)
}

/// Whether a thread begins under a trace function of an installed package, as coverage sets one for all threads.
fn begins_for_others(settings: &Settings, first: &Frame<'_>) -> bool {
    let file_of = |hook: Bound<'_, PyAny>| {
        let name = hook.getattr("__code__").ok()?.getattr("co_filename").ok()?;
        Some(OsStr::from_bytes(&bytes_of(&name)?).to_owned())
    };
    let Ok(globals) = first.frame.getattr("f_globals") else { return false };
    let hooks = THREAD_HOOKS.iter().filter_map(|name| globals.get_item(*name).ok().filter(|hook| !hook.is_none()));
    let mut judged = hooks.map(|hook| file_of(hook).and_then(|file| is_project(settings, &file))).peekable();
    judged.peek().is_some() && judged.all(|is_project| is_project == Some(false))
}

/// Whether the code that acts now asks only what the `def` line of a function says, or what kind of function it is.
pub fn is_about_signatures(py: Python<'_>) -> bool {
    let Some(frame) = Frame::innermost(py) else { return false };
    let (file, name) = (frame.file(), frame.name());
    ABOUT_SIGNATURES.iter().any(|(module, known)| name == *known && Path::new(&file).ends_with(module))
}

/// The owners of an event that happens now; `None` if it does not count because of the code that causes it.
pub fn owners(py: Python<'_>, settings: &Settings, kind: Kind, default: &OsStr) -> Option<Owners> {
    let Some(frame) = Frame::innermost(py) else { return Some(vec![default.to_owned()]) };
    let file = frame.file();
    // The path finder's listings are those of a search: what was found, or not, is known by its name.
    if kind == Kind::List && is_frozen(&file, "importlib") {
        return None;
    }
    // importlib.metadata lists the whole search path for each question; the set of distributions is part of the epoch.
    if kind == Kind::List && settings.is_metadata(Path::new(&file)) {
        return None;
    }
    let frame = responsible_frame(frame, |file| settings.is_intermediary(Path::new(file)));
    owners_from(settings, frame, default)
}

/// As `owners`, for processes and the network. What installed code does for itself counts by its version: while it is
/// imported, and, as long as nothing runs that is the project's, for its hooks.
pub fn starter(py: Python<'_>, settings: &Settings, kind: Kind, default: &OsStr) -> Option<Owners> {
    let mut next = Frame::innermost(py);
    let mut is_for_itself = settings.collecting && next.is_some();
    while let Some(frame) = next {
        if own_file(settings, &frame.file()).is_some() {
            is_for_itself = false;
            break;
        }
        let importer = if frame.name() == "<module>" { frame.back() } else { None };
        if importer.is_some_and(|importer| is_frozen(&importer.file(), "importlib")) {
            is_for_itself = true;
            break;
        }
        next = frame.back();
    }
    if is_for_itself {
        return None;
    }
    owners(py, settings, kind, default)
}

/// As `owners`, for the environment: it is read through methods of the standard library.
pub fn reader(py: Python<'_>, settings: &Settings, default: &OsStr) -> Option<Owners> {
    let Some(innermost) = Frame::innermost(py) else { return Some(vec![default.to_owned()]) };
    if is_patching(&innermost) {
        return None;
    }
    let frame = responsible_frame(innermost, |file| is_frozen(file, "") || settings.is_intermediary(Path::new(file)));
    owners_from(settings, frame, default)
}

/// The innermost frame that does not act on behalf of its caller.
fn responsible_frame(innermost: Frame<'_>, is_intermediary: impl Fn(&OsStr) -> bool) -> Frame<'_> {
    let mut frame = innermost;
    while is_intermediary(&frame.file()) {
        let Some(back) = frame.back() else { break };
        frame = back;
    }
    frame
}

fn is_patching(innermost: &Frame<'_>) -> bool {
    let is_patcher = |frame: &Frame<'_>| {
        let name = frame.name();
        PATCHERS.iter().any(|patcher| name == *patcher) && Path::new(&frame.file()).ends_with("mock.py")
    };
    if is_patcher(innermost) {
        return true;
    }
    let outer = std::iter::successors(innermost.back(), Frame::back);
    outer.take(NEAR - 1).any(|frame| is_patcher(&frame))
}

/// The owners of what the responsible frame does, on behalf of all its callers. A value that was read may be kept at
/// any level (a cache, an attribute, a global), and later code gets it from there without an event: so it
/// belongs to every first-party file whose code is on the stack, and with that to all that import it, up to the body
/// of a module that is being imported. What installed code did on the way belongs to its package in the same way.
fn owners_from(settings: &Settings, responsible: Frame<'_>, default: &OsStr) -> Option<Owners> {
    if settings.is_caller(Path::new(&responsible.file())) {
        return None;
    }
    if !settings.collecting {
        return Some(vec![OsString::new()]);
    }
    let (mut found, mut is_called, mut last) = (Owners::new(), true, OsString::new());
    let mut next = Some(responsible);
    while let Some(frame) = next {
        let file = frame.file();
        let own = own_file(settings, &file);
        let back = frame.back();
        let is_body = frame.name() == "<module>" && back.as_ref().is_some_and(|back| imports(settings, back));
        let is_own = own.is_some();
        is_called &= is_own || !settings.is_caller(Path::new(&file));
        let package = || settings.package_of(Path::new(&file)).map(PathBuf::into_os_string);
        let owner = own.or_else(|| if is_called { package() } else { None });
        found.extend(owner.filter(|owner| !found.contains(owner)).into_iter().collect::<Owners>());
        if is_body && is_own {
            return Some(found);
        }
        last = file;
        next = back;
        // The body of an installed module, at its first import: it runs once for all who import it later.
        if is_body && next.as_ref().is_some_and(|importer| is_frozen(&importer.file(), "importlib")) {
            return Some(vec![OsString::new()]);
        }
    }
    // The stack of a thread of the standard library does not show for whom it works.
    let is_nobodys = found.is_empty() && Path::new(&last).ends_with("threading.py");
    let rest = if is_nobodys { OsString::new() } else { default.to_owned() };
    found.extend((!found.contains(&rest)).then_some(rest));
    Some(found)
}

/// Whether code that runs a module's body does that for an import. A program (who calls `pytest.main`) is not imported,
/// nor is what `runpy` or `exec` runs for code of the project: the code that runs it keeps what it read.
fn imports(settings: &Settings, runs_body: &Frame<'_>) -> bool {
    let file = runs_body.file();
    let is_runpy = is_frozen(&file, "runpy") || Path::new(&file).ends_with("runpy.py");
    !is_runpy && own_file(settings, &file).is_none()
}

/// The file, absolute, if what its module's body does belongs to it.
pub fn own_file(settings: &Settings, file: &OsStr) -> Option<OsString> {
    let bytes = file.as_bytes();
    if bytes.is_empty() || bytes.starts_with(b"<") {
        return None;
    }
    let is_canonical = bytes.starts_with(b"/") && bytes[1..].split(|byte| *byte == b'/').all(is_name);
    if is_canonical {
        return settings.is_owner(Path::new(file)).then(|| file.to_owned());
    }
    let absolute = canonical_path(&std::env::current_dir().ok()?, Path::new(file));
    settings.is_owner(&absolute).then(|| absolute.into_os_string())
}

fn is_name(part: &[u8]) -> bool {
    !matches!(part, b"" | b"." | b"..")
}
