//! The reasons for which a snapshot or a rewind is refused.
//!
//! The engine can't allocate, so a refusal is a reason and a number; the sentence is made by the caller.

/// Each reason says what `Refusal::detail` is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Reason {
    /// The process has a snapshot already.
    Taken,
    /// No snapshot was taken.
    NoSnapshot,
    /// The process that took the snapshot (detail) forked this one.
    Forked,
    /// The calling thread (detail) is not the main thread.
    NotMainThread,
    /// Number of threads at the snapshot.
    ThreadsAtSnapshot,
    /// Number of threads that could not be ended.
    ThreadsRemain,
    /// Pid of a child.
    ChildRuns,
    /// Pid of the snapshot process.
    SnapshotProcessGone,
    /// Descriptor of the engine.
    EngineDescriptor,
    /// Descriptor that was closed or replaced, and can't be fetched.
    Descriptor,
    /// Descriptor whose identity can't be checked.
    UnknownDescriptor,
    /// Too many descriptors; detail: the limit.
    TooManyDescriptors,
    /// Ids, groups or capabilities.
    Credentials,
    NoNewPrivileges,
    Seccomp,
    /// Another line of `/proc/self/status`.
    Status,
    Session,
    ProcessGroup,
    /// Number of a prctl option.
    Prctl,
    Personality,
    /// Index of a namespace.
    Namespace,
    Root,
    WorkingFolder,
    /// Number of a limit.
    Limit,
    Scheduling,
    OomScore,
    CoreDumpFilter,
    MemoryLock,
    SegmentBase,
    SignalStack,
    /// Number of a signal.
    PendingSignal,
    /// Address of a mapping that can't be restored or made again.
    Mapping,
    /// Address of a mapping of a device.
    DeviceMapping,
    /// Address of a mapping of a kind that the engine can't handle (huge pages, shadow stack, …).
    SpecialMapping,
    /// Too many mappings, ranges or pages; detail: the limit.
    TooMany,
    /// Reading of the list of mappings failed; detail: errno.
    ReadMappings,
    /// A file in `/proc` can't be read; detail: errno.
    ReadProc,
    /// detail: errno.
    Pagemap,
    Userfaultfd,
    Clone,
    ReadMemory,
    /// Bytes of the page store.
    StoreLimit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Refusal {
    pub reason: Reason,
    pub detail: i64,
}

impl Refusal {
    pub const fn new(reason: Reason, detail: i64) -> Self {
        Self { reason, detail }
    }

    /// For addresses and sizes, which fit into 63 bits.
    pub const fn at(reason: Reason, detail: usize) -> Self {
        Self { reason, detail: detail as i64 }
    }

    /// One plain sentence without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        let detail = self.detail;
        match self.reason {
            Reason::Taken => "this process has taken a snapshot already".to_owned(),
            Reason::NoSnapshot => "no snapshot was taken".to_owned(),
            Reason::Forked => format!("this process is a fork of the process that took the snapshot (pid {detail})"),
            Reason::NotMainThread => "only the main thread can take a snapshot and rewind".to_owned(),
            Reason::ThreadsAtSnapshot => format!("the process has {detail} threads, and a snapshot needs one"),
            Reason::ThreadsRemain => format!("threads that the test started can't be ended ({} left)", detail - 1),
            Reason::ChildRuns => format!("a process that the test started still runs (pid {detail})"),
            Reason::SnapshotProcessGone => format!("the snapshot process has ended (pid {detail})"),
            Reason::EngineDescriptor => format!("the test closed or replaced a descriptor of the engine ({detail})"),
            Reason::Descriptor => {
                format!("the test closed or replaced descriptor {detail}, which can't be fetched back")
            }
            Reason::UnknownDescriptor => {
                format!("descriptor {detail} is of a kind whose identity can't be checked without kcmp")
            }
            Reason::TooManyDescriptors => format!("the process has more than {detail} descriptors"),
            Reason::Credentials => "the test changed the process's ids, groups or capabilities".to_owned(),
            Reason::NoNewPrivileges => "the test set no_new_privs".to_owned(),
            Reason::Seccomp => "the test installed a seccomp filter".to_owned(),
            Reason::Status => "the test changed a property of the process that can't be changed back".to_owned(),
            Reason::Session => "the test made the process the leader of a session (setsid)".to_owned(),
            Reason::ProcessGroup => "the process group can't be changed back".to_owned(),
            Reason::Prctl => format!("the test changed a property of the process (prctl {detail})"),
            Reason::Personality => "the test changed the process's personality".to_owned(),
            Reason::Namespace => "the test moved the process to another namespace".to_owned(),
            Reason::Root => "the test changed the process's root folder".to_owned(),
            Reason::WorkingFolder => "the working folder can't be changed back".to_owned(),
            Reason::Limit => format!("the test lowered a hard resource limit (number {detail})"),
            Reason::Scheduling => "scheduling (priority, policy or affinity) can't be changed back".to_owned(),
            Reason::OomScore => "oom_score_adj can't be changed back".to_owned(),
            Reason::CoreDumpFilter => "coredump_filter can't be changed back".to_owned(),
            Reason::MemoryLock => "memory locks can't be changed back".to_owned(),
            Reason::SegmentBase => "the test changed the GS base register".to_owned(),
            Reason::SignalStack => "the alternate signal stack can't be changed back".to_owned(),
            Reason::PendingSignal => format!("signal {detail} is blocked and pending"),
            Reason::Mapping => format!("the mapping at {detail:#x} was lost or replaced and can't be made again"),
            Reason::DeviceMapping => format!("a device is mapped at {detail:#x}"),
            Reason::SpecialMapping => format!("the mapping at {detail:#x} is of a kind that can't be restored"),
            Reason::TooMany => format!("the process has more mappings, pages or changes than the limit of {detail}"),
            Reason::ReadMappings => format!("the list of mappings can't be read ({})", error_text(detail)),
            Reason::ReadProc => format!("a file in /proc/self can't be read ({})", error_text(detail)),
            Reason::Pagemap => format!("/proc/self/pagemap can't be used ({})", error_text(detail)),
            Reason::Userfaultfd => format!("userfaultfd can't be used ({})", error_text(detail)),
            Reason::Clone => format!("the snapshot process can't be started ({})", error_text(detail)),
            Reason::ReadMemory => {
                format!("the memory of the snapshot process can't be read ({})", error_text(detail))
            }
            Reason::StoreLimit => format!("the page store is full (limit {detail} bytes)"),
        }
    }
}

fn error_text(errno: i64) -> String {
    i32::try_from(errno)
        .map_or_else(|_large| errno.to_string(), |errno| std::io::Error::from_raw_os_error(errno).to_string())
}
