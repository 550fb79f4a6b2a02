//! System calls that Python lacks, and threads that end before the process forks.

pub(crate) mod guard;
pub(crate) mod huge_pages;
pub(crate) mod private_pages;
pub(crate) mod system_calls;
pub(crate) mod terminal_modes;
pub mod thread_pool;
