//! Just enough of HPACK (RFC 7541) to find an authority that is a URL, and to replace it.

use std::ops::Range;

use super::FRAME_HEADER_BYTES;

/// Flags of a HEADERS frame that put something before the header block (RFC 9113, 6.2).
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Bytes that the flag `PRIORITY` adds.
const PRIORITY_BYTES: usize = 5;

/// Index of `:authority` in the static table (RFC 7541, appendix A).
const AUTHORITY: usize = 1;

/// What an authority may not begin with, as plain text and Huffman coded: bits, and how many.
#[expect(clippy::unusual_byte_groupings, reason = "one group for each letter")]
const SCHEMES: [(&[u8], u64, u32); 2] = [
    // h 100111, t 01001, p 101011, s 01000, : 1011100, / 011000
    (b"http://", 0b100111_01001_01001_101011_1011100_011000_011000, 41),
    (b"https://", 0b100111_01001_01001_101011_01000_1011100_011000_011000, 46),
];

/// Number of Huffman codes of each length, from one bit on (RFC 7541, appendix B). The code is
/// canonical, so this is all it takes to count symbols. Longer codes occur in no URL.
const CODES: [u32; 15] = [0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3];

/// Longest string whose length fits the one byte that it is written with here.
const LENGTH_MAX: usize = 126;

/// Returns the HEADERS frame with an authority of plain letters if its own is a URL; `None` if
/// there is nothing to mend or the frame is not understood.
pub(super) fn mend(frame: &[u8]) -> Option<Vec<u8>> {
    let flags = *frame.get(4)?;
    let padding = if flags & PADDED != 0 { 1 } else { 0 };
    let priority = if flags & PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
    let value = find_authority(frame, FRAME_HEADER_BYTES + padding + priority)?;
    let symbols = url_length(&frame[value.clone()])?;
    let mut mended = frame[..value.start].to_vec();
    mended.push(u8::try_from(symbols).ok().filter(|_| symbols <= LENGTH_MAX)?);
    mended.resize(mended.len() + symbols, b'x');
    mended.extend_from_slice(&frame[value.end..]);
    let payload = u32::try_from(mended.len() - FRAME_HEADER_BYTES).ok()?;
    mended[..3].copy_from_slice(&payload.to_be_bytes()[1..]);
    Some(mended)
}

/// Finds the string of a literal `:authority`, with the bytes of its length.
fn find_authority(frame: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        let first = *frame.get(at)?;
        let prefix = match first {
            // Indexed field, and change of the table's size: a number and nothing else.
            0x80.. => 7,
            0x20..0x40 => 5,
            // Literals: with indexing, and without.
            0x40..0x80 => 6,
            0..0x20 => 4,
        };
        let (name, next) = integer(frame, at, prefix)?;
        at = next;
        if matches!(first, 0x80.. | 0x20..0x40) {
            continue;
        }
        if name == 0 {
            at = string(frame, at)?.end;
        }
        let value = string(frame, at)?;
        if name == AUTHORITY {
            return Some(value);
        }
        at = value.end;
    }
}

/// Reads an integer with a prefix of `bits` bits (RFC 7541, 5.1), and where it ends.
fn integer(frame: &[u8], mut at: usize, bits: u32) -> Option<(usize, usize)> {
    let mask = (1usize << bits) - 1;
    let mut value = usize::from(*frame.get(at)?) & mask;
    at += 1;
    if value < mask {
        return Some((value, at));
    }
    // Three bytes are more than any string in one frame needs.
    for shift in [0, 7, 14] {
        let byte = *frame.get(at)?;
        at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

/// Returns where a string lies, its length included (RFC 7541, 5.2).
fn string(frame: &[u8], at: usize) -> Option<Range<usize>> {
    let (length, start) = integer(frame, at, 7)?;
    let end = start.checked_add(length)?;
    (end <= frame.len()).then_some(at..end)
}

/// Returns the number of characters of a string that is a URL; `None` for any other.
fn url_length(string: &[u8]) -> Option<usize> {
    let huffman = *string.first()? & 0x80 != 0;
    let (_, start) = integer(string, 0, 7)?;
    let text = &string[start..];
    if !huffman {
        return SCHEMES.iter().any(|(plain, ..)| text.starts_with(plain)).then_some(text.len());
    }
    let mut head = [0; 8];
    let known = text.len().min(8);
    head[..known].copy_from_slice(&text[..known]);
    let head = u64::from_be_bytes(head);
    let url = SCHEMES.iter().any(|(_, bits, count)| head >> (u64::BITS - count) == *bits);
    if url { symbols(text) } else { None }
}

/// Counts the symbols of a Huffman coded string. What is left at its end must be padding: fewer
/// than eight ones.
fn symbols(text: &[u8]) -> Option<usize> {
    let bits = text.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1)));
    let (mut count, mut length, mut code, mut first) = (0, 0, 0, 0);
    for bit in bits {
        code = code << 1 | bit;
        first <<= 1;
        let codes = *CODES.get(length)?;
        length += 1;
        if code - first < codes {
            count += 1;
            (length, code, first) = (0, 0, 0);
        } else {
            first += codes;
        }
    }
    (length < 8 && code == (1 << length) - 1).then_some(count)
}

#[cfg(test)]
mod tests;
