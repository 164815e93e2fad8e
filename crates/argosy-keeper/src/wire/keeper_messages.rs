//! The messages that the keeper sends, as prost encodes them. Field numbers are never reused.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct FromKeeper {
    #[prost(oneof = "FromKeeperKind", tags = "1, 2, 3, 4, 5, 6")]
    pub(super) kind: Option<FromKeeperKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum FromKeeperKind {
    #[prost(message, tag = "1")]
    Hello(HelloPart),
    #[prost(message, tag = "2")]
    Event(Event),
    #[prost(message, tag = "3")]
    SpoolAdvanced(SpoolAdvanced),
    /// Microseconds on CLOCK_BOOTTIME.
    #[prost(uint64, tag = "4")]
    Shutdown(u64),
    /// A descriptor travels with this frame.
    #[prost(message, tag = "5")]
    Pipe(Pipe),
    #[prost(message, tag = "6")]
    PipeClosed(Pipe),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpoolAdvanced {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(uint64, tag = "2")]
    pub(super) begin: u64,
    #[prost(uint64, tag = "3")]
    pub(super) end: u64,
}

/// A hello may be larger than a frame, so it travels in parts.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HelloPart {
    #[prost(uint32, tag = "1")]
    pub(super) protocol: u32,
    #[prost(string, tag = "2")]
    pub(super) boot_id: String,
    #[prost(uint32, tag = "3")]
    pub(super) keeper_pid: u32,
    #[prost(uint32, tag = "4")]
    pub(super) group_mode: u32,
    #[prost(uint64, tag = "5")]
    pub(super) acknowledged: u64,
    #[prost(uint64, tag = "6")]
    pub(super) last_spawn_id: u64,
    #[prost(message, repeated, tag = "7")]
    pub(super) units: Vec<UnitRecord>,
    #[prost(message, repeated, tag = "8")]
    pub(super) processes: Vec<ProcessRecord>,
    #[prost(message, repeated, tag = "9")]
    pub(super) leftover: Vec<Leftover>,
    /// No part follows.
    #[prost(bool, tag = "10")]
    pub(super) last: bool,
    #[prost(bool, tag = "11")]
    pub(super) fences: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UnitRecord {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) state: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) spool_begin: Option<u64>,
    #[prost(uint64, tag = "4")]
    pub(super) spool_end: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProcessRecord {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(string, tag = "2")]
    pub(super) unit: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(uint64, tag = "4")]
    pub(super) start_ticks: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) exit: Option<Exit>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Leftover {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(string, tag = "2")]
    pub(super) group: String,
}

/// Neither: unknown.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exit {
    #[prost(uint32, optional, tag = "1")]
    pub(super) code: Option<u32>,
    #[prost(int32, optional, tag = "2")]
    pub(super) signal: Option<i32>,
    #[prost(bool, tag = "3")]
    pub(super) core: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    /// Microseconds on CLOCK_BOOTTIME.
    #[prost(uint64, tag = "2")]
    pub(super) at: u64,
    #[prost(oneof = "EventKind", tags = "3, 4, 5, 6, 7, 8, 9, 10")]
    pub(super) kind: Option<EventKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum EventKind {
    #[prost(message, tag = "3")]
    Spawned(Spawned),
    #[prost(message, tag = "4")]
    SpawnFailed(SpawnFailed),
    #[prost(uint64, tag = "5")]
    Executed(u64),
    #[prost(message, tag = "6")]
    Exited(Exited),
    #[prost(message, tag = "7")]
    Notify(Notify),
    #[prost(string, tag = "8")]
    GroupEmpty(String),
    #[prost(string, tag = "9")]
    LeftoverGone(String),
    #[prost(string, tag = "10")]
    Fenced(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Spawned {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(uint32, tag = "2")]
    pub(super) pid: u32,
    #[prost(uint64, tag = "3")]
    pub(super) start_ticks: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpawnFailed {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(uint32, tag = "2")]
    pub(super) step: u32,
    #[prost(int32, tag = "3")]
    pub(super) errno: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exited {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) exit: Option<Exit>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Notify {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(uint32, tag = "2")]
    pub(super) pid: u32,
    #[prost(string, tag = "3")]
    pub(super) text: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pipe {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(uint64, tag = "2")]
    pub(super) spawn_id: u64,
    #[prost(bool, tag = "3")]
    pub(super) stderr: bool,
}
