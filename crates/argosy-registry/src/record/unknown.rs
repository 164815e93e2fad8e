//! Keeps the protobuf fields that this version does not know through read-modify-write.

/// Appends to `written` every field of `previous` whose number is not among the `known` ones
/// (`1..=known`). A `previous` that is not protobuf adds nothing from its bad place on.
pub(super) fn keep_unknown(mut written: Vec<u8>, previous: &[u8], known: u64) -> Vec<u8> {
    let mut rest = previous;
    while let Some((number, length)) = next_field(rest) {
        let (field, tail) = rest.split_at(length);
        if number > known {
            written.extend_from_slice(field);
        }
        rest = tail;
    }
    written
}

/// Returns the number and whole length of the field at the beginning of `bytes`
/// (protobuf encoding: varint, 64 bit, length-delimited, 32 bit; groups are not used here).
fn next_field(bytes: &[u8]) -> Option<(u64, usize)> {
    let (tag, tag_length) = varint(bytes)?;
    let body = &bytes[tag_length..];
    let body_length = match tag & 7 {
        0 => varint(body)?.1,
        1 => 8,
        2 => {
            let (length, prefix) = varint(body)?;
            prefix.checked_add(usize::try_from(length).ok()?)?
        }
        5 => 4,
        _ => return None,
    };
    (body_length <= body.len()).then_some((tag >> 3, tag_length + body_length))
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    // Ten bytes carry 64 bits, seven each.
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
