//! Reports changes of files.

mod burst;
mod contents;
mod coverage;
mod events;
pub(crate) mod folder_events;
mod git;
mod notices;
mod polling;
mod remote;
mod source;
mod state;
mod system;
pub(crate) mod tree;
pub(crate) mod watcher;
