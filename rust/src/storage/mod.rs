//! The store on the disk: one record for each test file, and everything that reads or writes many.

pub(crate) mod adopt;
pub mod affected;
pub mod directory;
pub mod draft;
pub mod epochs;
pub mod store;
pub mod write;
