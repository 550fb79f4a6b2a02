//! Puts the memory of a process back to a snapshot, bit for bit, so that it can run a further test file as a fresh fork.
//!
//! `snapshot` records the state of the process and forks the *snapshot process*, which keeps the memory. `rewind`
//! restores mappings, pages and what the kernel keeps for the process, and the call of `snapshot` returns once more.
//! `docs/design/rewind.md` has the measurements and the whole table of kernel state.
//!
//! Two rules make this exact. What is not provably clean is dirty. What is not provably as before is refused; a refusal
//! leaves the process usable, at least to end. A failure after memory began to change ends the process by
//! `exit_group(113)`.
//!
//! All code that runs on the engine's stack writes to nothing but the engine's area: it does not allocate, uses no
//! thread-local storage and no libc function but `memcpy`, `memset` and `memcmp`, and has no path to a panic.
//!
//! Not seen: `madvise` flags and memory policies of old mappings, `SEM_UNDO`, keyrings, cgroup, Landlock rules, AIO
//! contexts, protection keys, `MCL_FUTURE` without a locked page, an rseq area that is not libc's. As in plain pytest,
//! rusage, CPU clocks, start time and pid go on.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr,
    reason = "arguments and results of system calls are words of 64 bits, whatever they mean"
)]

pub(crate) mod area;
pub(crate) mod descriptors;
pub(crate) mod engine;
pub(crate) mod jump;
pub(crate) mod kernel_state;
pub(crate) mod mappings;
pub(crate) mod page_store;
pub(crate) mod plan;
pub(crate) mod proc_text;
pub(crate) mod put_back;
pub(crate) mod refusal;
pub(crate) mod restore;
pub(crate) mod scan;
pub(crate) mod self_test;
pub(crate) mod signals;
pub(crate) mod snapshot;
pub(crate) mod snapshot_process;
pub(crate) mod special_mappings;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod syscall;
pub(crate) mod threads;
pub(crate) mod userfaultfd;
pub(crate) mod verify;
