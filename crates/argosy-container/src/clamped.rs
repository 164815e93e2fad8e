//! What was asked for and cannot be had here: done as far as it goes, and said.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A setting that the machine does not grant in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamped {
    /// Which setting, as docker names it.
    pub setting: String,
    pub wanted: String,
    /// What the container has instead.
    pub given: String,
    pub reason: String,
}

impl Clamped {
    pub(crate) fn new(
        setting: impl Into<String>,
        wanted: impl ToString,
        given: impl ToString,
        reason: impl ToString,
    ) -> Clamped {
        Clamped {
            setting: setting.into(),
            wanted: wanted.to_string(),
            given: given.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Clamped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clamped { setting, wanted, given, reason } = self;
        write!(out, "{setting}: {wanted} was asked for, the container has {given}: {reason}")
    }
}
