//! The errors of v2, by etcd's codes.

use crate::{Revision, SpaceId, State};

/// A v2 error: what the JSON body and the HTTP status are made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// etcd's error code, such as 100.
    pub code: u32,
    /// etcd's text for the code.
    pub message: &'static str,
    /// What it is about, usually the path.
    pub cause: String,
    /// The user revision (`X-Etcd-Index`).
    pub index: Revision,
}

/// What an error of the store is, without where and when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    KeyNotFound,
    TestFailed,
    NotFile,
    NotDirectory,
    NodeExists,
    RootReadOnly,
    DirectoryNotEmpty,
    InvalidField,
    EventIndexCleared,
}

impl Code {
    fn parts(self) -> (u32, &'static str) {
        match self {
            Code::KeyNotFound => (100, "Key not found"),
            Code::TestFailed => (101, "Compare failed"),
            Code::NotFile => (102, "Not a file"),
            Code::NotDirectory => (104, "Not a directory"),
            Code::NodeExists => (105, "Key already exists"),
            Code::RootReadOnly => (107, "Root is read only"),
            Code::DirectoryNotEmpty => (108, "Directory not empty"),
            Code::InvalidField => (209, "Invalid field"),
            Code::EventIndexCleared => {
                (401, "The event in requested index is outdated and cleared")
            }
        }
    }

    /// Makes the error, as of `state`.
    pub(super) fn error(self, state: &State, cause: impl Into<String>) -> Error {
        let (code, message) = self.parts();
        Error { code, message, cause: cause.into(), index: state.revision(SpaceId::User) }
    }
}
