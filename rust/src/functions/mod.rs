//! The functions of first-party code: what a source file consists of, what an edit of it changed, and which functions
//! ran (`docs/design/functions.md`).

pub(crate) mod division;
pub mod outline;
pub(crate) mod patterns;
pub(crate) mod syntax;
