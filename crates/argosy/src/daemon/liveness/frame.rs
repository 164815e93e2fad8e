//! What beats and grants are on the wire: 32 bytes each. The service's ALPN name is the format.

use argosy_model::{Generation, Term};
use argosy_reconcile::{Beat, Grant};

/// Bytes of a message.
pub(super) const FRAME_BYTES: usize = 32;

/// The bit of the last word with which a beat asks for a long grant, and a grant is one.
const LONG: u64 = 1;

/// One message, as sent.
pub(super) type Frame = [u8; FRAME_BYTES];

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// Machine to leader: I am here.
    Beat(Beat),
    /// Leader to machine: you may run fenced units, counted from that beat.
    Grant(Grant),
    /// Leader to voter: which term are you in?
    Ask { round: u64, term: Term },
    /// Voter to leader: this one.
    Answer { round: u64, term: Term },
}

impl Message {
    pub(super) fn encode(self) -> Frame {
        let (kind, number, value, flags) = match self {
            Message::Beat(Beat { number, generation, long }) => {
                (1u64, number, generation.0, if long { LONG } else { 0 })
            }
            Message::Grant(Grant { number, term, long }) => {
                (2, number, term.0, if long { LONG } else { 0 })
            }
            Message::Ask { round, term } => (3, round, term.0, 0),
            Message::Answer { round, term } => (4, round, term.0, 0),
        };
        let mut frame = [0; FRAME_BYTES];
        for (place, word) in frame.chunks_exact_mut(8).zip([kind, number, value, flags]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        frame
    }

    /// Reads a message; `None` for a kind that this version does not know, which is passed over.
    pub(super) fn decode(frame: &Frame) -> Option<Message> {
        let mut words = frame.chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            u64::from_le_bytes(bytes)
        });
        let (kind, number, value) = (words.next()?, words.next()?, words.next()?);
        let long = words.next()? & LONG != 0;
        match kind {
            1 => Some(Message::Beat(Beat { number, generation: Generation(value), long })),
            2 => Some(Message::Grant(Grant { number, term: Term(value), long })),
            3 => Some(Message::Ask { round: number, term: Term(value) }),
            4 => Some(Message::Answer { round: number, term: Term(value) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for message in [
            Message::Beat(Beat { number: 1, generation: Generation(u64::MAX), long: false }),
            Message::Beat(Beat { number: 1, generation: Generation(0), long: true }),
            Message::Grant(Grant { number: 2, term: Term(9), long: false }),
            Message::Grant(Grant { number: 2, term: Term(9), long: true }),
            Message::Ask { round: 3, term: Term(8) },
            Message::Answer { round: u64::MAX, term: Term(7) },
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        assert_eq!(Message::decode(&[9; FRAME_BYTES]), None);
    }
}
