//! Compares records with what is on the disk now.

pub mod dependents;
pub mod fingerprint;
pub mod glob;
pub mod importable;
pub(crate) mod project_files;
pub mod verdict;
