//! The bytes between keeper and supervisor: length-prefixed prost messages.

mod frame;
mod from_keeper;
mod keeper_messages;
mod supervisor_messages;
mod to_keeper;

#[cfg(test)]
mod tests;

pub(crate) use frame::{FrameReader, MAX_FRAME, frame};
pub(crate) use from_keeper::{HelloAssembly, Incoming, hello_frames, outgoing};
pub(crate) use from_keeper::{pipe_closed_frame, pipe_frame};
pub(crate) use to_keeper::{MAX_STATE, decode_commit, encode_commit};

use argosy_model::UnitName;

/// A message is not one of ours. With a keeper and a supervisor of the same program it never is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct WireError {
    pub(crate) what: String,
}

impl WireError {
    fn new(what: impl Into<String>) -> WireError {
        WireError { what: what.into() }
    }
}

fn unit_name(text: &str) -> Result<UnitName, WireError> {
    UnitName::new(text).map_err(|error| WireError::new(error.to_string()))
}
