//! Reports changes of files.

mod burst;
mod contents;
pub(crate) mod folder_events;
mod git;
#[cfg_attr(not(target_os = "linux"), path = "inotify_stub.rs")]
mod inotify;
mod notices;
mod polling;
mod state;
pub(crate) mod tree;
pub(crate) mod watcher;
