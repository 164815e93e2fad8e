//! A place in the journal that stays valid while its segment exists.

use std::fmt;
use std::str::FromStr;

/// The place of one entry: its segment and the offset of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The segment's number.
    pub segment: u64,
    /// The offset of the entry's frame in bytes.
    pub offset: u64,
}

/// A text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a journal cursor such as 1-40")]
pub struct InvalidCursor {
    /// What was given.
    pub text: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.segment, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = |part: &str| u64::from_str_radix(part, 16).ok();
        text.split_once('-')
            .and_then(|(segment, offset)| {
                Some(Cursor { segment: parse(segment)?, offset: parse(offset)? })
            })
            .ok_or_else(|| InvalidCursor { text: text.to_owned() })
    }
}
