//! Whether records still hold: what is there now, compared with what they say.

pub mod dependents;
pub mod fingerprint;
pub mod glob;
pub mod importable;
pub(crate) mod project_files;
pub mod verdict;
