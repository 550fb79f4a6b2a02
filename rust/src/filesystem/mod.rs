//! Facts about files and folders that every other folder of this crate may ask for.

pub mod folder;
pub mod paths;
pub mod stat;
