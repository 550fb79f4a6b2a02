//! The interpreter's own monitoring of calls, `sys.monitoring`: one tool of it, and the callback.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The tools in the order in which they are tried. 0 to 2 have a use of their own (PEP 669); of the others an optimizer,
/// 5, is the least likely one in a test.
const TOOLS: [i32; 3] = [5, 4, 3];
const TOOL_NAME: &str = "pytest-hotreload";

/// What is needed of `sys.monitoring`, looked up before a test can replace it.
pub struct Monitoring {
    use_tool_id: Py<PyAny>,
    free_tool_id: Py<PyAny>,
    get_tool: Py<PyAny>,
    register_callback: Py<PyAny>,
    set_local_events: Py<PyAny>,
    disable: Py<PyAny>,
    /// The start of a function, and the resumption of a generator or coroutine.
    events: [i64; 2],
}

static MONITORING: PyOnceLock<Monitoring> = PyOnceLock::new();

impl Monitoring {
    /// Raises `RuntimeError` where the interpreter has none.
    pub fn look_up(py: Python<'_>) -> PyResult<&Self> {
        MONITORING.get_or_try_init(py, || {
            let Ok(module) = py.import("sys")?.getattr("monitoring") else {
                return Err(PyRuntimeError::new_err("it needs Python 3.12 or later"));
            };
            let function = |name: &str| Ok::<_, PyErr>(module.getattr(name)?.unbind());
            let events = module.getattr("events")?;
            Ok(Self {
                use_tool_id: function("use_tool_id")?,
                free_tool_id: function("free_tool_id")?,
                get_tool: function("get_tool")?,
                register_callback: function("register_callback")?,
                set_local_events: function("set_local_events")?,
                disable: function("DISABLE")?,
                events: [events.getattr("PY_START")?.extract()?, events.getattr("PY_RESUME")?.extract()?],
            })
        })
    }

    /// Takes a free tool, whose calls are told to this function. Raises `RuntimeError` if none is free.
    pub fn claim(&self, py: Python<'_>, on_start: OnStart) -> PyResult<i32> {
        ON_START.get_or_init(py, || on_start);
        let claimed = TOOLS.into_iter().find(|tool| self.use_tool_id.call1(py, (*tool, TOOL_NAME)).is_ok());
        claimed.ok_or_else(|| PyRuntimeError::new_err("other tools use sys.monitoring"))
    }

    /// Whether the tool is still ours.
    pub fn owns(&self, py: Python<'_>, tool: i32) -> bool {
        let name = self.get_tool.call1(py, (tool,));
        name.is_ok_and(|name| name.extract::<String>(py).is_ok_and(|name| name == TOOL_NAME))
    }

    /// Puts our callback in place for both events; whether it was there.
    pub fn call_back(&self, py: Python<'_>, tool: i32) -> PyResult<bool> {
        let ours = callback(py)?;
        let mut is_ours = true;
        for event in self.events {
            is_ours &= self.register_callback.call1(py, (tool, event, ours))?.is(ours);
        }
        Ok(is_ours)
    }

    /// Gives the tool back.
    pub fn release(&self, py: Python<'_>, tool: i32) -> PyResult<()> {
        for event in self.events {
            self.register_callback.call1(py, (tool, event, py.None()))?;
        }
        self.free_tool_id.call1(py, (tool,)).map(drop)
    }

    /// Has calls of this code object told, or no longer.
    pub fn watch(&self, py: Python<'_>, tool: i32, code: &Bound<'_, PyAny>, enabled: bool) -> PyResult<()> {
        let events: i64 = if enabled { self.events.iter().sum() } else { 0 };
        self.set_local_events.call1(py, (tool, code, events)).map(drop)
    }
}

/// Says whether a code object, by its address, need not be told again.
pub type OnStart = fn(Python<'_>, usize) -> bool;

static ON_START: PyOnceLock<OnStart> = PyOnceLock::new();

static mut METHOD: ffi::PyMethodDef = ffi::PyMethodDef {
    ml_name: c"on_start".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: on_start },
    ml_flags: ffi::METH_FASTCALL,
    ml_doc: std::ptr::null(),
};

static CALLBACK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn callback(py: Python<'_>) -> PyResult<&Py<PyAny>> {
    CALLBACK.get_or_try_init(py, || {
        // SAFETY: the definition is a static that is never written; the result is a new reference or an error.
        let made = unsafe { ffi::PyCFunction_NewEx(&raw mut METHOD, std::ptr::null_mut(), std::ptr::null_mut()) };
        // SAFETY: as above.
        Ok(unsafe { Bound::from_owned_ptr_or_err(py, made) }?.unbind())
    })
}

/// Called by the interpreter with a code object and an offset.
unsafe extern "C" fn on_start(
    _module: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its lock held.
    let py = unsafe { Python::assume_attached() };
    let is_hot = count > 0 && {
        // SAFETY: there is an argument; it is only compared.
        let address = unsafe { *arguments } as usize;
        ON_START.get(py).is_some_and(|on_start| on_start(py, address))
    };
    let disable = MONITORING.get(py).filter(|_| is_hot).map(|monitoring| monitoring.disable.clone_ref(py));
    disable.unwrap_or_else(|| py.None()).into_ptr()
}
