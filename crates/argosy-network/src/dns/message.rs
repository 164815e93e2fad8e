//! The little of DNS (RFC 1035) that a server of few names and a forwarder must read and write.
//!
//! Nothing here follows a compression pointer: the one name that is read is the question's, in
//! which a pointer could lead to nothing but the header.

use std::net::Ipv4Addr;

/// Identifier, flags, and the numbers of entries in the four sections.
const HEADER_BYTES: usize = 12;
/// A name with its lengths (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// What every client takes (RFC 1035, 4.2.1), and what we send at most to one that takes more: it
/// passes most links whole (the size of the DNS flag day of 2020).
const UDP_BYTES_MIN: usize = 512;
const UDP_BYTES_MAX: usize = 1232;

const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION_DESIRED: u8 = 0x01;
const FLAG_RECURSION_AVAILABLE: u8 = 0x80;
const OPCODE_MASK: u8 = 0x78;

const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

pub(crate) const TYPE_A: u16 = 1;
pub(crate) const TYPE_PTR: u16 = 12;
pub(crate) const TYPE_ANY: u16 = 255;
/// The pseudo record by which a client says what it takes (RFC 6891).
const TYPE_OPT: u16 = 41;
pub(crate) const CLASS_IN: u16 = 1;
/// Where the question's name stands, as a pointer.
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER_BYTES as u8];

/// For how long an answer may be remembered. A burst of look-ups asks once, and a container that
/// was made anew under its name is found soon; addresses go round, so that an old one is nobody's
/// for much longer than this.
const TTL_S: u32 = 5;

/// A well-formed question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: u16,
    flags: u8,
    /// In small letters; `None` if it has anything that no name of ours can have.
    pub(crate) name: Option<String>,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// Name, type and class as they came.
    question: Vec<u8>,
    /// What the client takes in one datagram.
    udp_bytes: usize,
}

/// Why something is no query of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It is no query at all, and gets no answer.
    Silently,
    /// With the answer that it gets.
    With(Vec<u8>),
}

/// What is told of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Address(Ipv4Addr),
    Name(String),
}

impl Query {
    pub(crate) fn read(bytes: &[u8]) -> Result<Query, Rejected> {
        let header = bytes.get(..HEADER_BYTES).ok_or(Rejected::Silently)?;
        if header[2] & FLAG_RESPONSE != 0 {
            return Err(Rejected::Silently);
        }
        let id = identifier(bytes);
        let reject = |code| Rejected::With(bare(id, header[2], code));
        if header[2] & OPCODE_MASK != 0 {
            return Err(reject(NOT_IMPLEMENTED));
        }
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if count(4) != 1 || count(6) != 0 {
            return Err(reject(FORMAT_ERROR));
        }
        let (name, end) = read_name(bytes).ok_or_else(|| reject(FORMAT_ERROR))?;
        let fixed = bytes.get(end..end + 4).ok_or_else(|| reject(FORMAT_ERROR))?;
        let udp_bytes = if count(8) == 0 && count(10) > 0 { bytes.get(end + 4..) } else { None };
        let udp_bytes = udp_bytes.and_then(read_size).unwrap_or(UDP_BYTES_MIN);
        Ok(Query {
            id,
            flags: header[2],
            name,
            kind: u16::from_be_bytes([fixed[0], fixed[1]]),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            question: bytes[HEADER_BYTES..end + 4].to_vec(),
            udp_bytes: udp_bytes.clamp(UDP_BYTES_MIN, UDP_BYTES_MAX),
        })
    }

    /// Whether an answer from elsewhere is one to this question.
    pub(crate) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let end = HEADER_BYTES + self.question.len();
        bytes.len() >= end
            && bytes[2] & FLAG_RESPONSE != 0
            // Servers may change the case of letters in the name.
            && bytes[HEADER_BYTES..end].eq_ignore_ascii_case(&self.question)
    }

    fn header(&self, code: u8, count: u16) -> Vec<u8> {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.push(FLAG_RESPONSE | FLAG_AUTHORITATIVE | self.flags & FLAG_RECURSION_DESIRED);
        bytes.push(FLAG_RECURSION_AVAILABLE | code);
        bytes.extend(1_u16.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.question);
        bytes
    }
}

/// The answer with these records, which may be none; `None` says that there is no such name. A
/// client that asked by datagram gets what fits.
pub(crate) fn answers(query: &Query, records: Option<&[Record]>, by_datagram: bool) -> Vec<u8> {
    let Some(records) = records else { return query.header(NAME_ERROR, 0) };
    let mut bytes = query.header(0, 0);
    let mut count = 0_u16;
    for record in records {
        let (kind, data) = match record {
            Record::Address(address) => (TYPE_A, address.octets().to_vec()),
            Record::Name(name) => (TYPE_PTR, write_name(name)),
        };
        let mut entry = POINTER_TO_QUESTION.to_vec();
        entry.extend(kind.to_be_bytes());
        entry.extend(CLASS_IN.to_be_bytes());
        entry.extend(TTL_S.to_be_bytes());
        entry.extend((data.len() as u16).to_be_bytes());
        entry.extend(data);
        let limit = if by_datagram { query.udp_bytes } else { usize::from(u16::MAX) };
        if bytes.len() + entry.len() > limit {
            bytes[2] |= FLAG_TRUNCATED;
            break;
        }
        bytes.extend(entry);
        count += 1;
    }
    bytes[6..8].copy_from_slice(&count.to_be_bytes());
    bytes
}

/// The answer when nobody could be asked.
pub(crate) fn failure(query: &Query) -> Vec<u8> {
    let mut bytes = query.header(SERVER_FAILURE, 0);
    bytes[2] &= !FLAG_AUTHORITATIVE;
    bytes
}

/// An answer that cannot repeat the question.
fn bare(id: u16, flags: u8, code: u8) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.push(FLAG_RESPONSE | flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED));
    bytes.push(FLAG_RECURSION_AVAILABLE | code);
    bytes.extend([0; 8]);
    bytes
}

/// The number by which an answer is known. Zero if there is none.
pub(crate) fn identifier(bytes: &[u8]) -> u16 {
    bytes.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]))
}

pub(crate) fn set_identifier(bytes: &mut [u8], id: u16) {
    if let Some(place) = bytes.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// Reads the question's name and returns where it ends.
fn read_name(bytes: &[u8]) -> Option<(Option<String>, usize)> {
    let mut at = HEADER_BYTES;
    let mut name = Some(String::new());
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        // More than 63 is a pointer, or nothing at all.
        if length > 63 || at + length - HEADER_BYTES > NAME_BYTES_MAX {
            return None;
        }
        let label = bytes.get(at..at + length)?;
        at += length;
        let plain = label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        name = name.filter(|_| plain).map(|mut name| {
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            name
        });
    }
}

/// What the client takes, if the first record after the question says so.
fn read_size(record: &[u8]) -> Option<usize> {
    // The root's name, the type, and in the place of a class the size.
    let head = record.get(..5)?;
    let is_opt = head[0] == 0 && u16::from_be_bytes([head[1], head[2]]) == TYPE_OPT;
    is_opt.then(|| usize::from(u16::from_be_bytes([head[3], head[4]])))
}

/// Writes a name. Labels are of containers' names; what is too long for one is cut.
fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        if bytes.len() + label.len() + 2 > NAME_BYTES_MAX {
            break;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label);
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests;
