//! The Rust half of pytest-hotreload: what a test suite imports, what its test files depend on, and the system
//! calls that Python lacks.
//!
//! Plain data in, plain data out: nothing here calls back into Python or prints, and no thread outlives the call
//! that started it, but for a `Watcher`'s. Python is known to `python.rs`, `python_audit.rs`,
//! `python_records.rs` and `python_watcher.rs`, the face of this crate, and to what Python calls: the audit hook (`audit/hook.rs`,
//! `audit/arguments.rs`, `audit/frames.rs`) and what stands before imports and the environment (`audit/interpose.rs`).

pub mod audit;
pub mod error;
pub mod freshness;
pub mod imports;
pub mod process;
mod python;
mod python_audit;
mod python_records;
mod python_watcher;
mod python_world;
pub mod records;
pub mod storage;
pub mod watch;
