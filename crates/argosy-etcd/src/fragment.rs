//! Splits watch answers that are too large for one message.

use prost::Message;

use crate::proto::etcdserverpb::WatchResponse;

/// Splits `answer` into messages of less than `bytes_max` encoded bytes each, as etcd does for
/// watchers that asked for it: every part but the last is marked `fragment`. A part always
/// holds one event, so one event larger than the limit is sent whole.
pub(crate) fn split(mut answer: WatchResponse, bytes_max: usize) -> Vec<WatchResponse> {
    if answer.events.len() < 2 || answer.encoded_len() < bytes_max {
        return vec![answer];
    }
    let events = std::mem::take(&mut answer.events);
    answer.fragment = true;
    let envelope = answer.encoded_len();
    let mut parts = Vec::new();
    let mut part = answer.clone();
    let mut size = envelope;
    for event in events {
        let length = event.encoded_len();
        // The field's tag is one byte, then comes the length as a varint.
        let framed = 1 + prost::length_delimiter_len(length) + length;
        if !part.events.is_empty() && size + framed >= bytes_max {
            parts.push(std::mem::replace(&mut part, answer.clone()));
            size = envelope;
        }
        size += framed;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests;
