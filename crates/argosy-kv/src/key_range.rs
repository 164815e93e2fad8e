//! Key ranges, in etcd's way of writing them.

use std::ops::Bound;

use bytes::Bytes;

/// A key, or a range of keys: `key` and `range_end` exactly as in etcd's `RangeRequest`.
///
/// An empty `range_end` means the one key; a `range_end` of one zero byte means every key from
/// `key` on; an end at or below `key` is an empty range.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// The first key that is not in the range; see above for its two special values.
    pub range_end: Bytes,
}

const FROM_KEY: &[u8] = b"\0";

impl KeyRange {
    /// Returns the range of one key.
    pub fn key(key: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), range_end: Bytes::new() }
    }

    /// Returns the range `key <= k < end`.
    pub fn between(key: impl Into<Bytes>, end: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), range_end: end.into() }
    }

    /// Returns every key at or above `key`.
    pub fn from_key(key: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), range_end: Bytes::from_static(FROM_KEY) }
    }

    /// Returns every key.
    pub fn all() -> KeyRange {
        KeyRange::from_key(FROM_KEY)
    }

    /// Returns every key that begins with `prefix`; an empty prefix means every key.
    pub fn prefix(prefix: impl Into<Bytes>) -> KeyRange {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return KeyRange::all();
        }
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => return KeyRange::from_key(prefix),
        }
        KeyRange { key: prefix, range_end: end.into() }
    }

    /// Tells whether this is one key.
    pub fn is_single(&self) -> bool {
        self.range_end.is_empty()
    }

    /// Tells whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        !self.is_single() && self.range_end != FROM_KEY && self.range_end <= self.key
    }

    /// Tells whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return self.key == key;
        }
        key >= &self.key[..] && (self.range_end == FROM_KEY || key < &self.range_end[..])
    }

    /// Returns the bounds that a sorted map understands. An empty range gives equal bounds.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(&self.key[..]);
        if self.is_single() {
            (start, Bound::Included(&self.key[..]))
        } else if self.range_end == FROM_KEY {
            (start, Bound::Unbounded)
        } else if self.is_empty() {
            (start, Bound::Excluded(&self.key[..]))
        } else {
            (start, Bound::Excluded(&self.range_end[..]))
        }
    }
}

#[cfg(test)]
mod tests;
