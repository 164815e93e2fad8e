//! The whole state in one piece of bytes, for a follower that is too far behind.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{RecordChange, RecordError};
use crate::State;

/// What a snapshot begins with.
const MAGIC: &[u8] = b"argosy-kv-snapshot-1\n";

impl State {
    /// Encodes all of it: a mark, then each record as two lengths (32 bits, big-endian), key
    /// and value. Its integrity is the carrier's business.
    pub fn encode_snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        self.changes_since(None, &mut |change| {
            let RecordChange::Put { key, value } = change else { return };
            for part in [&key, &value] {
                // A key or value above 4 GiB cannot have come through a log entry.
                out.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
            }
            out.put_slice(&key);
            out.put_slice(&value);
        });
        out.freeze()
    }

    /// Decodes what [`State::encode_snapshot`] made.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<State, RecordError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(RecordError::Snapshot { what: "none, or of a newer format" });
        };
        let mut records = Records { rest, cut: false };
        let state = State::from_records(&mut records);
        if records.cut {
            return Err(RecordError::Snapshot { what: "cut short" });
        }
        state
    }
}

struct Records<'a> {
    rest: &'a [u8],
    cut: bool,
}

impl Records<'_> {
    fn take(&mut self) -> Option<(Bytes, Bytes)> {
        let key_length = usize::try_from(self.rest.try_get_u32().ok()?).ok()?;
        let value_length = usize::try_from(self.rest.try_get_u32().ok()?).ok()?;
        let (key, rest) = self.rest.split_at_checked(key_length)?;
        let (value, rest) = rest.split_at_checked(value_length)?;
        self.rest = rest;
        Some((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
    }
}

impl Iterator for Records<'_> {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        if self.rest.is_empty() || self.cut {
            return None;
        }
        let record = self.take();
        self.cut = record.is_none();
        record
    }
}
