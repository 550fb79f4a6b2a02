//! System calls that Python lacks, and threads that end before the process forks.

pub(crate) mod gc_freeze;
pub mod guard;
pub mod huge_pages;
pub mod private_pages;
pub mod system_calls;
pub(crate) mod terminal_modes;
pub mod thread_pool;
