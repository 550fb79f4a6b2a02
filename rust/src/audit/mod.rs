//! Observes what a test touches: files, variables, processes, ports.

pub mod access;
pub(crate) mod arguments;
pub mod board;
pub mod bytecode;
pub(crate) mod contention;
pub mod endpoints;
pub(crate) mod events;
pub(crate) mod forked;
pub(crate) mod frames;
pub(crate) mod hook;
pub(crate) mod interpose;
pub(crate) mod opened;
pub(crate) mod programs;
pub(crate) mod recording;
pub mod rows;
pub mod scope;
pub mod tracker;
