//! The rows of a recording: what was touched, in which way, and for whom.

use std::ffi::OsString;

use crate::filesystem::stat::FileStamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Update,
    Write,
    List,
    Import,
    /// A module that was looked for, and not imported.
    Find,
    Environ,
    Subprocess,
    /// A process that may read anything of the project.
    Start,
    Connect,
    Bind,
    /// The source of a module that was read, or its code that was asked for, other than to run it.
    Source,
}

impl Kind {
    /// In the order of the declaration: rows of forked processes name a kind by its place.
    pub const ALL: [Self; Self::Source as usize + 1] = [
        Self::Read,
        Self::Update,
        Self::Write,
        Self::List,
        Self::Import,
        Self::Find,
        Self::Environ,
        Self::Subprocess,
        Self::Start,
        Self::Connect,
        Self::Bind,
        Self::Source,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Write => "write",
            Self::List => "list",
            Self::Import => "import",
            Self::Find => "find",
            Self::Environ => "environ",
            Self::Subprocess => "subprocess",
            Self::Start => "start",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Source => "source",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub owner: OsString,
    pub kind: Kind,
    pub subject: OsString,
    pub state: Option<FileStamp>,
}
