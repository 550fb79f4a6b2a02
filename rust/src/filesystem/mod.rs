//! Facts about files and folders that every folder above may ask for.

pub mod folder;
pub mod paths;
pub mod stat;
