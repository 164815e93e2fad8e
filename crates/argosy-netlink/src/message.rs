//! Requests being written, and attributes being read.

/// struct nlmsghdr: length, type, flags, sequence number, port.
pub(crate) const HEADER_BYTES: usize = 16;
/// `NLA_F_NESTED`: marks an attribute that holds others.
pub(crate) const NESTED: u16 = 0x8000;
/// The kind of an attribute is what is left beside its two flags.
const KIND_MASK: u16 = 0x3fff;

/// A request being written. An attribute holds at most 64 KiB; none of ours comes near.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Begins a request.
    pub(crate) fn new(kind: u16, flags: i32) -> Message {
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message { bytes }
    }

    /// Asks for an answer when it is done.
    pub(crate) fn acknowledged(mut self) -> Message {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | libc::NLM_F_ACK as u16;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |message| message.push(value));
    }

    /// A text with the zero byte that the kernel expects.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.nest(kind, |message| {
            message.push(text.as_bytes());
            message.push(b"\0");
        });
    }

    /// An attribute with others, or plain bytes, in it: its length counts without the padding.
    pub(crate) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.push(&[0; 2]);
        self.push(&kind.to_ne_bytes());
        write(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends a request, with the number by which its answers are known.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// One message that came in: its kind, the request it answers, and what follows its header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// Takes the messages of a datagram apart; ends at the first that is not whole.
pub(crate) fn incoming(mut bytes: &[u8]) -> impl Iterator<Item = Incoming<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let (kind, sequence) = (half(bytes, 4)?, word(bytes, 8)?);
        let payload = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Incoming { kind, sequence, payload })
    })
}

/// Takes attributes apart; ends at the first that is not whole.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & KIND_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A text up to its zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
