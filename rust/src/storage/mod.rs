//! The store on the disk: reads, writes and checks the records of all test files.

pub(crate) mod adopt;
pub(crate) mod affected;
pub(crate) mod affected_tests;
pub(crate) mod check;
pub(crate) mod directory;
pub(crate) mod draft;
pub(crate) mod epochs;
pub(crate) mod extend;
pub(crate) mod outlines;
pub mod store;
pub(crate) mod write;
