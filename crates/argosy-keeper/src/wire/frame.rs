//! Frames: a length of four bytes, little endian, then that many bytes.

use super::WireError;

/// Longest frame in bytes: a spawn record holds at most what execve(2) takes (a few MiB by
/// default), and one commit holds a few of them.
pub(crate) const MAX_FRAME: usize = 16 << 20;

/// Bytes of the length.
const PREFIX: usize = 4;

/// Returns a payload with its length before it.
pub(crate) fn frame(message: &impl prost::Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(PREFIX + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    message.encode_raw(&mut bytes);
    bytes
}

/// Puts frames together again from whatever a socket gives.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Takes bytes in.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole frame's payload.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, WireError> {
        let rest = &self.buffer[self.start..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_FRAME {
            return Err(WireError::new(format!(
                "a frame of {length} bytes, at most {MAX_FRAME} are allowed"
            )));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let begin = self.start + PREFIX;
        self.start = begin + length;
        Ok(Some(&self.buffer[begin..begin + length]))
    }
}
