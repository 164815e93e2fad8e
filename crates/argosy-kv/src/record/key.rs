//! The keys of records, and the numbers of stored kinds. All of this is frozen.
//!
//! `0` header; `1`, lease id; `2`, space, key, revision; `3`, the same for a directory. Numbers are big-endian with the sign
//! bit flipped and a key's zero bytes are escaped, so that records sort as what they name.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Action, KeyKind, LeaseId, Revision, SpaceId};

const HEADER: u8 = 0;
const LEASE: u8 = 1;
const VERSION: u8 = 2;
const DIRECTORY: u8 = 3;

/// Stands for a zero byte within a key.
const ZERO: [u8; 2] = [0, 1];
/// Stands behind a key.
const END: [u8; 2] = [0, 0];

/// Stored kinds, by number.
pub(super) const KINDS: [KeyKind; 4] =
    [KeyKind::Value, KeyKind::Tombstone, KeyKind::Directory, KeyKind::DirectoryEnd];

/// Stored actions, by number.
pub(super) const ACTIONS: [Action; 7] = [
    Action::Set,
    Action::Create,
    Action::Update,
    Action::CompareAndSwap,
    Action::Delete,
    Action::CompareAndDelete,
    Action::Expire,
];

/// What a record's key says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RecordKey {
    Header,
    Lease(LeaseId),
    Version { directory: bool, space: SpaceId, key: Bytes, revision: Revision },
}

pub(super) fn header() -> Bytes {
    Bytes::from_static(&[HEADER])
}

pub(super) fn lease(id: LeaseId) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(LEASE);
    put_number(&mut out, id);
    out.freeze()
}

pub(super) fn version(directory: bool, space: SpaceId, key: &[u8], revision: Revision) -> Bytes {
    let mut out = BytesMut::with_capacity(key.len() + 16);
    out.put_u8(if directory { DIRECTORY } else { VERSION });
    out.put_u8(if space == SpaceId::User { 0 } else { 1 });
    for byte in key {
        match byte {
            0 => out.put_slice(&ZERO),
            _ => out.put_u8(*byte),
        }
    }
    out.put_slice(&END);
    put_number(&mut out, revision);
    out.freeze()
}

/// Reads a record's key; `None` if it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<RecordKey> {
    match bytes.split_first()? {
        (&HEADER, []) => Some(RecordKey::Header),
        (&LEASE, rest) => Some(RecordKey::Lease(number(rest)?)),
        (&kind @ (VERSION | DIRECTORY), rest) => {
            let directory = kind == DIRECTORY;
            let (space, rest) = rest.split_first()?;
            let space = *SpaceId::ALL.get(usize::from(*space))?;
            let (escaped, revision) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
            let key = unescape(escaped)?.into();
            Some(RecordKey::Version { directory, space, key, revision: number(revision)? })
        }
        _ => None,
    }
}

fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = escaped.strip_suffix(&END)?.iter();
    let mut key = Vec::with_capacity(escaped.len());
    while let Some(byte) = bytes.next() {
        if *byte == 0 && *bytes.next()? != ZERO[1] {
            return None;
        }
        key.push(*byte);
    }
    Some(key)
}

fn put_number(out: &mut BytesMut, number: i64) {
    out.put_u64(number.cast_unsigned() ^ (1 << 63));
}

fn number(bytes: &[u8]) -> Option<i64> {
    let bytes = bytes.try_into().ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}
