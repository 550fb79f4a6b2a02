//! The store on the disk: reads, writes and checks the records of all test files.

pub(crate) mod adopt;
pub mod affected;
pub mod directory;
pub mod draft;
pub mod epochs;
pub mod store;
pub mod write;
