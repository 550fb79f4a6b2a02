//! The form of a record, and all records in one table.

pub(crate) mod extension;
pub mod functions;
pub mod index;
pub mod json;
pub mod record;
pub mod record_path;
pub(crate) mod root;
pub(crate) mod rounding;
pub mod table;
pub mod text;
