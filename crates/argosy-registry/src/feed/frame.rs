//! The messages of a feed. Field numbers are for ever.

use std::collections::BTreeSet;

use argosy_model::{EndpointProtocol, Publish, Term};
use bytes::Bytes;
use prost::Message;

use super::{AnnouncedKeys, FeedFacts, Published};
use crate::view::RecordChange;

/// Longest encoded frame: the longest record (a text of 64 KiB, an assignment of 2,000 entries of
/// about 200 bytes) several times over.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// The bytes are not a frame.
#[derive(Debug, thiserror::Error)]
#[error("not a frame of a feed")]
pub struct FrameError(#[source] prost::DecodeError);

/// A part of what a machine is told. What belongs to one revision may take several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeedFrame {
    /// Nothing that was said before counts.
    pub begins: bool,
    /// The frame ends what is said of its revision: only now it counts.
    pub ends: bool,
    /// The registry revision that the machine is brought to.
    pub revision: i64,
    /// The revision at which routes last changed.
    pub routes: i64,
    /// Records that were changed or removed.
    pub changes: Vec<RecordChange>,
    /// The published ports, all of them, if they are not as before.
    pub published: Option<Published>,
    /// The machine's announced keys, all of them, if they are not as before.
    pub keys: Option<AnnouncedKeys>,
    /// The store.
    pub facts: FeedFacts,
}

#[derive(Clone, PartialEq, Message)]
struct FrameMessage {
    #[prost(bool, tag = "1")]
    begins: bool,
    #[prost(bool, tag = "2")]
    ends: bool,
    #[prost(int64, tag = "3")]
    revision: i64,
    #[prost(message, repeated, tag = "4")]
    changes: Vec<ChangeMessage>,
    #[prost(message, optional, tag = "5")]
    keys: Option<KeysMessage>,
    #[prost(uint64, tag = "6")]
    term: u64,
    /// 0 for none.
    #[prost(uint64, tag = "7")]
    leader: u64,
    #[prost(uint64, repeated, tag = "8")]
    voters: Vec<u64>,
    #[prost(bool, tag = "9")]
    current: bool,
    #[prost(int64, tag = "10")]
    routes: i64,
    #[prost(message, optional, tag = "11")]
    published: Option<PublishedMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PublishedMessage {
    #[prost(message, repeated, tag = "1")]
    ports: Vec<PublishMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PublishMessage {
    #[prost(uint32, tag = "1")]
    port: u32,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(string, tag = "3")]
    protocol: String,
}

#[derive(Clone, PartialEq, Message)]
struct ChangeMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
    #[prost(int64, tag = "3")]
    mod_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct KeysMessage {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<KeyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

impl FeedFrame {
    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        let change = |change: &RecordChange| ChangeMessage {
            key: change.key.clone(),
            value: change.value.clone(),
            mod_revision: change.mod_revision,
        };
        let keys = self.keys.as_ref().map(|keys| KeysMessage {
            keys: keys
                .iter()
                .map(|(key, value)| KeyMessage { key: key.clone(), value: value.clone() })
                .collect(),
        });
        FrameMessage {
            begins: self.begins,
            ends: self.ends,
            revision: self.revision,
            routes: self.routes,
            changes: self.changes.iter().map(change).collect(),
            keys,
            published: self.published.as_ref().map(published_message),
            term: self.facts.term.0,
            leader: self.facts.leader.unwrap_or_default(),
            voters: self.facts.voters.iter().copied().collect(),
            current: self.facts.current,
        }
        .encode_to_vec()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: Bytes) -> Result<FeedFrame, FrameError> {
        let message = FrameMessage::decode(bytes).map_err(FrameError)?;
        let change = |change: ChangeMessage| RecordChange {
            key: change.key,
            value: change.value,
            mod_revision: change.mod_revision,
        };
        let facts = FeedFacts {
            term: Term(message.term),
            leader: (message.leader != 0).then_some(message.leader),
            voters: message.voters.into_iter().collect::<BTreeSet<u64>>(),
            current: message.current,
        };
        Ok(FeedFrame {
            begins: message.begins,
            ends: message.ends,
            revision: message.revision,
            routes: message.routes,
            changes: message.changes.into_iter().map(change).collect(),
            keys: message
                .keys
                .map(|keys| keys.keys.into_iter().map(|one| (one.key, one.value)).collect()),
            published: message.published.map(read_published),
            facts,
        })
    }
}

fn published_message(published: &Published) -> PublishedMessage {
    let ports = published.values().map(|one| PublishMessage {
        port: one.port.into(),
        service: one.service.clone(),
        protocol: one.protocol.as_str().to_owned(),
    });
    PublishedMessage { ports: ports.collect() }
}

/// Reads published ports. One with a protocol of a later version is left out: nobody here speaks it.
fn read_published(message: PublishedMessage) -> Published {
    let ports = message.ports.into_iter().filter_map(|one| {
        let port = u16::try_from(one.port).ok()?;
        let protocol = EndpointProtocol::parse(&one.protocol)?;
        Some((port, Publish { port, service: one.service, protocol }))
    });
    ports.collect()
}
