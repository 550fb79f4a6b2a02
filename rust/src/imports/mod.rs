//! Reads and resolves what test files import.

pub mod ast_walk;
pub mod effects;
pub mod files;
pub mod graph;
pub mod module_listing;
pub mod parse;
pub mod parse_cache;
pub mod project;
pub mod pytest_layout;
pub mod quarantine;
pub mod resolve;
pub mod source;
