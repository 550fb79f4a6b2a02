//! Compares records with what is on the disk now.

pub(crate) mod dependents;
pub(crate) mod fingerprint;
pub(crate) mod function_changes;
pub mod glob;
pub(crate) mod importable;
pub(crate) mod project_files;
pub mod verdict;
