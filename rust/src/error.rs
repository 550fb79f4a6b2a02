//! Errors of the analysis and of the store. `python/convert.rs` turns them into exceptions.

use std::path::PathBuf;

/// The reason for which the parser rejected a file, which the running interpreter's `ast` then parses instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("{message}")]
    Syntax { message: String, line: Option<u32> },
    #[error("the source encoding {0:?} is not supported")]
    Encoding(String),
    #[error("the source is not valid {0}")]
    Undecodable(&'static str),
    #[error("{size} bytes, more than the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("nested more than {0} levels deep")]
    TooDeep(usize),
    #[error("the parser failed")]
    Panicked,
    #[error("a thread with a stack of {0} bytes could not be started")]
    NoThread(usize),
}

impl Rejected {
    /// The line at which the parser stopped, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::Syntax { line, .. } => *line,
            Self::Encoding(_)
            | Self::Undecodable(_)
            | Self::TooLarge { .. }
            | Self::TooDeep(_)
            | Self::Panicked
            | Self::NoThread(_) => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} was not scanned; hint: pass it to scan() first")]
    NotScanned(PathBuf),
    #[error("{value:?} is not one of {expected}")]
    Value { value: String, expected: &'static str },
    #[error("invalid draft of a record: {0}")]
    Draft(String),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, Error>;
