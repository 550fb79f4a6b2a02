//! The Python face of this crate.

mod convert;
mod module;
mod observe;
mod process;
mod project;
mod records;
mod watcher;
mod world;
