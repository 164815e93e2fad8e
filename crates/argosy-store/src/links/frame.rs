//! What a connection between members consists of: frames of a length, a kind and a body.

use std::io;

use argosy_model::ClusterId;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Purpose;
use crate::MemberId;

/// The format number of connections. Raised only for what an older member must not read; new
/// kinds of frames and new fields alone do not raise it.
pub(crate) const LINK_FORMAT: u32 = 1;

/// Length and kind.
const HEAD_BYTES: usize = 5;

/// The longest body. The largest is an append with one entry, whose command has at most
/// [`crate::COMMAND_BYTES_MAX`]; twice that leaves room for the fields around it.
pub(crate) const FRAME_BYTES_MAX: usize = 2 * crate::COMMAND_BYTES_MAX;

/// What a body is. Numbers are frozen: they are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// The first frame of a connection: a [`Hello`].
    Hello,
    /// Its answer: a [`Welcome`].
    Welcome,
    /// A message of consensus.
    Message,
    /// A question to the leader.
    Question,
    /// Its answer.
    Answer,
    /// Nothing: the other end is alive.
    Pulse,
    /// What a snapshot is and how long.
    SnapshotHead,
    /// A part of it.
    SnapshotPart,
    /// It arrived and is durable, or the log had all of it.
    SnapshotTaken,
    /// Of a newer version: to be passed over.
    Unknown,
}

/// The numbers of the kinds.
const KINDS: [(FrameKind, u8); 9] = [
    (FrameKind::Hello, 1),
    (FrameKind::Welcome, 2),
    (FrameKind::Message, 3),
    (FrameKind::Question, 4),
    (FrameKind::Answer, 5),
    (FrameKind::Pulse, 6),
    (FrameKind::SnapshotHead, 7),
    (FrameKind::SnapshotPart, 8),
    (FrameKind::SnapshotTaken, 9),
];

impl FrameKind {
    fn number(self) -> u8 {
        // `Unknown` is never sent.
        KINDS.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, number)| *number)
    }

    fn of(number: u8) -> Self {
        let known = KINDS.iter().find(|(_, theirs)| *theirs == number);
        known.map_or(FrameKind::Unknown, |(kind, _)| *kind)
    }
}

/// The first frame of a connection, from the member that made it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(crate) from: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) to: u64,
    #[prost(bool, tag = "5")]
    pub(crate) snapshot: bool,
}

impl Hello {
    pub(crate) fn new(cluster: ClusterId, from: MemberId, to: MemberId, purpose: Purpose) -> Self {
        Self {
            format: LINK_FORMAT,
            cluster: cluster.0.to_be_bytes().to_vec(),
            from: from.0,
            to: to.0,
            snapshot: purpose == Purpose::Snapshot,
        }
    }
}

/// Why a member does not take a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration, thiserror::Error)]
#[repr(i32)]
#[non_exhaustive]
pub enum LinkRefusal {
    /// It is taken.
    #[error("not refused")]
    None = 0,
    /// The caller speaks a format that this member does not know.
    #[error("the other end speaks another format of this protocol")]
    Format = 1,
    /// The two belong to different clusters.
    #[error("the other end belongs to another cluster")]
    Cluster = 2,
    /// The caller wanted another member.
    #[error("another member answers at that address")]
    Receiver = 3,
    /// The caller says to be another member than its credentials name.
    #[error("the member is not the one that its credentials name")]
    Sender = 4,
    /// The caller was removed from the cluster, for ever.
    #[error("the member was removed from the cluster")]
    Removed = 5,
    /// The connection was made for another purpose.
    #[error("the connection was made for another purpose")]
    Purpose = 6,
    /// A snapshot is being received already.
    #[error("a snapshot is being received already")]
    Busy = 7,
}

/// The answer to a [`Hello`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Welcome {
    #[prost(enumeration = "LinkRefusal", tag = "1")]
    pub(crate) refusal: i32,
}

/// Says what a snapshot is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotHead {
    /// The encoded message of kind `Snapshot`.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) message: Bytes,
    /// Bytes of the state that follow in parts.
    #[prost(uint64, tag = "2")]
    pub(crate) length: u64,
}

/// Appends a frame with this message as its body.
pub(crate) fn append<M: prost::Message>(buffer: &mut BytesMut, kind: FrameKind, body: &M) {
    let length = body.encoded_len();
    append_head(buffer, kind, length);
    body.encode(buffer).expect("a growing buffer always has room");
}

/// Appends the head of a frame whose body of `length` bytes follows.
pub(crate) fn append_head(buffer: &mut BytesMut, kind: FrameKind, length: usize) {
    buffer.reserve(HEAD_BYTES + length);
    buffer.put_u32_le(u32::try_from(length).expect("callers keep to FRAME_BYTES_MAX"));
    buffer.put_u8(kind.number());
}

/// Writes one frame at once.
pub(crate) async fn write<M: prost::Message>(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: FrameKind,
    body: &M,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    append(&mut buffer, kind, body);
    stream.write_all(&buffer).await?;
    stream.flush().await
}

/// Reads the head of the next frame; `None` when the other end is done.
pub(crate) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(FrameKind, usize)>> {
    let mut head = [0; HEAD_BYTES];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    let [a, b, c, d, kind] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > FRAME_BYTES_MAX {
        let what = format!("a frame of {length} bytes, more than {FRAME_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some((FrameKind::of(kind), length)))
}

/// Reads the body that follows a head.
pub(crate) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> io::Result<Bytes> {
    let mut body = BytesMut::zeroed(length);
    stream.read_exact(&mut body).await?;
    Ok(body.freeze())
}

/// Reads a frame that must be of this kind.
pub(crate) async fn expect<M: prost::Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
    kind: FrameKind,
) -> io::Result<M> {
    let Some((found, length)) = read_head(stream).await? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    if found != kind {
        let what = format!("a frame of kind {found:?} in place of {kind:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    decode(read_body(stream, length).await?)
}

/// Decodes a body.
pub(crate) fn decode<M: prost::Message + Default>(body: Bytes) -> io::Result<M> {
    M::decode(body).map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))
}

#[cfg(test)]
mod tests;
