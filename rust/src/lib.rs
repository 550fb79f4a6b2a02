//! The Rust half of pytest-hotreload: the imports of a test suite, the dependencies of its test files, and system
//! calls that Python lacks.
//!
//! Plain data in, plain data out: nothing here calls back into Python or prints, and no thread outlives the call
//! that started it, except the thread of a `Watcher`. Python is known to `python/`, the face of this crate, and to
//! those files of `audit/` that the interpreter calls (`python/mod.rs` names them).

pub(crate) mod audit;
pub(crate) mod error;
pub mod filesystem;
pub mod freshness;
pub mod functions;
pub mod imports;
pub mod process;
mod python;
pub mod records;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod rewind;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "rewind/elsewhere.rs"]
pub(crate) mod rewind;
pub mod storage;
pub(crate) mod watch;
