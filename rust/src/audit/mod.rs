//! Observes what a test touches: files, variables, processes, ports.

pub(crate) mod access;
pub(crate) mod arguments;
pub(crate) mod board;
pub(crate) mod bytecode;
pub(crate) mod contention;
pub(crate) mod endpoints;
pub(crate) mod environment_reads;
pub(crate) mod events;
pub(crate) mod forked;
pub(crate) mod frames;
pub(crate) mod function_calls;
pub(crate) mod globs;
pub(crate) mod hook;
pub(crate) mod interpose;
pub(crate) mod monitoring;
pub(crate) mod opened;
pub(crate) mod programs;
pub(crate) mod recording;
pub(crate) mod rows;
pub(crate) mod scope;
pub(crate) mod started;
pub(crate) mod tracker;
