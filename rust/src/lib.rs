//! The Rust half of pytest-hotreload: what a test suite imports, and the system calls that Python lacks.
//!
//! Plain data in, plain data out: nothing here calls back into Python or prints, and no thread outlives the call
//! that started it, but for a `Watcher`'s. `python.rs` is the only module that knows Python.

pub mod cache;
pub mod effects;
pub mod error;
pub mod files;
pub mod graph;
pub mod heap;
pub mod imports;
pub mod layout;
pub mod listing;
pub mod parallel;
pub mod process;
pub mod project;
mod python;
pub mod quarantine;
pub mod resolve;
pub mod source;
pub mod walk;
pub mod watcher;
