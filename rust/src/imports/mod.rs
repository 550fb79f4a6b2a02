//! Reads and resolves what test files import.

pub(crate) mod ast_walk;
pub mod effects;
pub(crate) mod files;
pub mod graph;
pub(crate) mod module_listing;
pub mod parse;
pub mod parse_cache;
pub mod project;
pub mod pytest_layout;
pub(crate) mod quarantine;
pub(crate) mod queries;
pub mod resolve;
pub(crate) mod source;
