//! The Python face of this crate.
//!
//! Only this folder uses pyo3, and these files of `audit/`, which run inside the interpreter's own calls
//! (`tests/unit/test_rust_layers.py` holds the list):
//!
//! - `hook.rs` and `opened.rs` are audit hooks: C functions that get the interpreter's objects.
//! - `events.rs`, `arguments.rs`, `globs.rs` and `started.rs` read these objects, most of which only one event in many
//!   needs: to convert all of them first would cost every `open()` of a process.
//! - `monitoring.rs` and `function_calls.rs` are called by the interpreter at each call of a function that is watched.
//! - `frames.rs` walks the interpreter's frames to find whose access it is.
//! - `interpose.rs`, `environment_reads.rs` replaces functions of the interpreter by native callables.
//! - `recording.rs` keeps the pending exception across a hook, and takes the proof that its thread is attached.

mod bindings;
mod convert;
mod gc_freeze;
mod module;
mod observe;
mod process;
mod project;
mod records;
mod rewind;
mod watcher;
mod world;
