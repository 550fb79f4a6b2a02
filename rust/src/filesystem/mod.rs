//! Facts about files and folders that every folder above may ask for.

pub(crate) mod folder;
pub(crate) mod paths;
pub mod stat;
