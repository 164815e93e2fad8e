//! Writes of v2, as the log carries them.

use bytes::Bytes;

use crate::Revision;

/// What a v2 write does. etcd chooses it by the method and `prevExist`, `prevValue`, `prevIndex`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verb {
    /// Make or replace a key, or make a directory.
    #[default]
    Set,
    /// Make what must not be there.
    Create,
    /// Make a key in a directory, named by the revision of this write.
    CreateInOrder,
    /// Change what must be there.
    Update,
    /// Change a key that is as expected.
    CompareAndSwap,
    /// Delete.
    Delete,
    /// Delete a key that is as expected.
    CompareAndDelete,
}

/// A write of v2: one entry of the log, one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    /// What to do.
    pub verb: Verb,
    /// Where. Cleaned when it is applied.
    pub path: String,
    /// The value; nothing for a directory.
    pub value: Bytes,
    /// Make a directory; or: delete one, if it is empty.
    pub dir: bool,
    /// Delete a directory with all that is in it.
    pub recursive: bool,
    /// How long it lives, in seconds (at least 1); `None` for ever.
    pub ttl_seconds: Option<i64>,
    /// Change only the time to live, and wake no watcher.
    pub refresh: bool,
    /// The value to expect; empty for any.
    pub prev_value: Bytes,
    /// The index to expect; 0 for any.
    pub prev_index: Revision,
}
