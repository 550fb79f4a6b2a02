//! System calls that Python lacks, and threads that end before the process forks.

#[cfg(target_os = "linux")]
pub(crate) mod descriptor;
#[cfg(target_os = "linux")]
pub(crate) mod epoll_sets;
pub(crate) mod guard;
#[cfg(target_os = "linux")]
pub(crate) mod holders;
pub(crate) mod huge_pages;
#[cfg(target_os = "linux")]
pub(crate) mod open_descriptions;
#[cfg(not(target_os = "linux"))]
#[path = "open_descriptions_elsewhere.rs"]
pub(crate) mod open_descriptions;
pub(crate) mod private_pages;
#[cfg(target_os = "linux")]
pub(crate) mod renewed_pairs;
pub(crate) mod system_calls;
pub(crate) mod terminal_modes;
pub mod thread_pool;
#[cfg(target_os = "linux")]
pub(crate) mod unix_peers;
