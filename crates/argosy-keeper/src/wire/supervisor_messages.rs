//! The messages that the supervisor sends, as prost encodes them. Field numbers are never reused.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Commit {
    #[prost(uint64, tag = "1")]
    pub(super) acknowledged: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) states: Vec<StateChange>,
    #[prost(message, repeated, tag = "3")]
    pub(super) actions: Vec<Action>,
    #[prost(bool, tag = "4")]
    pub(super) done: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StateChange {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) state: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Action {
    #[prost(oneof = "ActionKind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub(super) kind: Option<ActionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ActionKind {
    #[prost(message, boxed, tag = "1")]
    Spawn(Box<SpawnRecord>),
    #[prost(message, tag = "2")]
    SignalProcess(SignalProcess),
    #[prost(message, tag = "3")]
    SignalGroup(SignalGroup),
    #[prost(string, tag = "4")]
    KillGroup(String),
    #[prost(string, tag = "5")]
    RemoveGroup(String),
    #[prost(string, tag = "6")]
    KillLeftover(String),
    #[prost(message, tag = "7")]
    ReleaseSpool(SpoolPosition),
    #[prost(string, tag = "8")]
    ForgetUnit(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalProcess {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(int32, tag = "2")]
    pub(super) signal: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalGroup {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(int32, tag = "2")]
    pub(super) signal: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpoolPosition {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(uint64, tag = "2")]
    pub(super) position: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpawnRecord {
    #[prost(uint64, tag = "1")]
    pub(super) spawn_id: u64,
    #[prost(string, tag = "2")]
    pub(super) unit: String,
    #[prost(string, tag = "3")]
    pub(super) program: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) argv: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) environment: Vec<Variable>,
    #[prost(string, repeated, tag = "6")]
    pub(super) pid_variables: Vec<String>,
    #[prost(message, optional, tag = "7")]
    pub(super) working_directory: Option<WorkingDirectory>,
    #[prost(message, optional, tag = "8")]
    pub(super) identity: Option<Identity>,
    #[prost(uint32, tag = "9")]
    pub(super) umask: u32,
    /// Absent: `/dev/null`.
    #[prost(oneof = "Stdin", tags = "10, 11")]
    pub(super) stdin: Option<Stdin>,
    #[prost(message, optional, tag = "12")]
    pub(super) stdout: Option<Output>,
    #[prost(message, optional, tag = "13")]
    pub(super) stderr: Option<Output>,
    #[prost(bool, tag = "14")]
    pub(super) notify: bool,
    #[prost(bool, tag = "15")]
    pub(super) ignore_sigpipe: bool,
    #[prost(bool, tag = "16")]
    pub(super) fenced: bool,
    /// Nanoseconds on CLOCK_BOOTTIME.
    #[prost(uint64, tag = "17")]
    pub(super) ordered_at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Variable {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkingDirectory {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(bool, tag = "2")]
    pub(super) missing_ok: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Identity {
    #[prost(uint32, tag = "1")]
    pub(super) uid: u32,
    #[prost(uint32, tag = "2")]
    pub(super) gid: u32,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) groups: Vec<u32>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Stdin {
    #[prost(string, tag = "10")]
    File(String),
    #[prost(bytes, tag = "11")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Output {
    /// 0 null, 1 journal, 2 file, 3 append, 4 truncate, 5 inherit.
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) path: String,
}
