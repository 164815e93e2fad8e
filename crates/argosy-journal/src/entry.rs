//! One journal entry and its stored form.

use argosy_model::{InvocationId, UnixMicros};
use prost::Message;

/// Which of a unit's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The unit wrote it.
    Output(Stream),
    /// Argosy says it about the unit.
    Supervisor,
}

impl Transport {
    /// Returns the word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Output(Stream::Stdout) => "stdout",
            Transport::Output(Stream::Stderr) => "stderr",
            Transport::Supervisor => "supervisor",
        }
    }
}

/// How far a unit's output has been copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolPosition {
    /// Which spool: a unit whose spool is made anew counts from zero again.
    pub spool: u64,
    /// Bytes of the spool copied, up to and with this entry.
    pub end: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, for display.
    pub realtime: UnixMicros,
    /// Microseconds since boot.
    pub monotonic: u64,
    /// The unit.
    pub unit: String,
    /// The run of the unit.
    pub invocation: Option<InvocationId>,
    /// Where it came from.
    pub transport: Transport,
    /// Which process wrote it, if known.
    pub pid: Option<u32>,
    /// The program's name or `SyslogIdentifier=`.
    pub identifier: String,
    /// 0 to 7, syslog(3).
    pub priority: u8,
    /// The text without its line end; any bytes.
    pub message: Vec<u8>,
    /// Set on every entry that came from a spool.
    pub position: Option<SpoolPosition>,
    /// The container that wrote it.
    pub container: Option<Container>,
}

/// Which container wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
}

/// Payload of a frame, format 1.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EntryRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) realtime: u64,
    #[prost(uint64, tag = "2")]
    monotonic: u64,
    #[prost(string, tag = "3")]
    pub(crate) unit: String,
    #[prost(bytes = "vec", tag = "4")]
    invocation: Vec<u8>,
    /// 0 supervisor, 1 stdout, 2 stderr.
    #[prost(uint32, tag = "5")]
    transport: u32,
    #[prost(uint32, optional, tag = "6")]
    pid: Option<u32>,
    #[prost(string, tag = "7")]
    identifier: String,
    #[prost(uint32, tag = "8")]
    priority: u32,
    #[prost(bytes = "vec", tag = "9")]
    message: Vec<u8>,
    #[prost(message, optional, tag = "10")]
    position: Option<PositionRecord>,
    #[prost(message, optional, tag = "11")]
    container: Option<ContainerRecord>,
}

/// Stored form of [`Container`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    image: String,
}

/// Stored form of [`SpoolPosition`].
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct PositionRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) spool: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) end: u64,
}

impl From<&Entry> for EntryRecord {
    fn from(entry: &Entry) -> Self {
        EntryRecord {
            realtime: entry.realtime.0,
            monotonic: entry.monotonic,
            unit: entry.unit.clone(),
            invocation: entry.invocation.map_or_else(Vec::new, |id| id.0.to_be_bytes().to_vec()),
            transport: match entry.transport {
                Transport::Supervisor => 0,
                Transport::Output(Stream::Stdout) => 1,
                Transport::Output(Stream::Stderr) => 2,
            },
            pid: entry.pid,
            identifier: entry.identifier.clone(),
            priority: u32::from(entry.priority),
            message: entry.message.clone(),
            position: entry
                .position
                .map(|position| PositionRecord { spool: position.spool, end: position.end }),
            container: entry.container.clone().map(|it| ContainerRecord {
                id: it.id,
                name: it.name,
                image: it.image,
            }),
        }
    }
}

impl From<EntryRecord> for Entry {
    fn from(record: EntryRecord) -> Self {
        Entry {
            realtime: UnixMicros(record.realtime),
            monotonic: record.monotonic,
            unit: record.unit,
            invocation: <[u8; 16]>::try_from(record.invocation.as_slice())
                .ok()
                .map(|bytes| InvocationId(u128::from_be_bytes(bytes))),
            transport: match record.transport {
                1 => Transport::Output(Stream::Stdout),
                2 => Transport::Output(Stream::Stderr),
                _ => Transport::Supervisor,
            },
            pid: record.pid,
            identifier: record.identifier,
            priority: u8::try_from(record.priority).unwrap_or(7).min(7),
            message: record.message,
            position: record
                .position
                .map(|position| SpoolPosition { spool: position.spool, end: position.end }),
            container: record.container.map(|it| Container {
                id: it.id,
                name: it.name,
                image: it.image,
            }),
        }
    }
}
