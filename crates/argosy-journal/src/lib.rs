//! The machine's journal on disk: append, recover, query, follow.
//!
//! One writer (the supervisor), any number of readers. Entries live in segment files of
//! checksummed frames; a frame cut off by a crash at the very end is dropped when the journal is
//! opened again, a damaged frame elsewhere ends the reading of its segment and is reported.
//!
//! An entry that came from a unit's output carries the [`SpoolPosition`] behind its last byte.
//! After a crash of the writer the highest position per stream tells where copying resumes, so
//! that every byte of output reaches the journal exactly once.

mod cursor;
mod entry;
mod index;
mod kept;
mod limits;
mod place;
mod reader;
mod segment;
mod walk;
mod whole;
mod writer;

pub use cursor::{Cursor, InvalidCursor};
pub use entry::{Container, Entry, SpoolPosition, Stream, Transport};
pub use limits::JournalLimits;
pub use reader::{JournalReader, Query, ReadError, Stored, Usage};
pub use walk::Walk;
pub use writer::{Journal, JournalError, Recovery};

#[cfg(test)]
mod tests;
