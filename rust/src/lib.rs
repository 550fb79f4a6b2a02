//! The Rust half of pytest-hotreload: what a test suite imports, what its test files depend on, and the system
//! calls that Python lacks.
//!
//! Plain data in, plain data out: nothing here calls back into Python or prints, and no thread outlives the call
//! that started it, but for a `Watcher`'s. Python is known to `python.rs`, `python_audit.rs`,
//! `python_records.rs` and `python_watcher.rs`, the face of this crate, and to what Python calls: the audit hook (`audit.rs`,
//! `arguments.rs`, `frames.rs`) and what stands before imports and the environment (`doors.rs`).

pub mod access;
mod arguments;
mod audit;
pub mod board;
pub mod bytecode;
mod contention;
mod doors;
pub mod endpoints;
pub mod error;
mod forked;
mod frames;
pub mod freshness;
pub mod imports;
mod opened;
pub mod places;
pub mod process;
mod programs;
mod python;
mod python_audit;
mod python_records;
mod python_watcher;
mod python_world;
pub mod records;
pub mod storage;
pub mod tracker;
pub mod watch;
