//! The Rust half of pytest-hotreload: the imports of a test suite, the dependencies of its test files, and system
//! calls that Python lacks.
//!
//! Plain data in, plain data out: nothing here calls back into Python or prints, and no thread outlives the call
//! that started it, except the thread of a `Watcher`. Python is known to `python/`, the face of this crate, and to code
//! that the interpreter calls: the audit hooks and the interposers (`audit/`), and `process/gc_freeze.rs`.

pub mod audit;
pub mod error;
pub mod filesystem;
pub mod freshness;
pub mod imports;
pub mod process;
mod python;
pub mod records;
pub mod storage;
pub mod watch;
