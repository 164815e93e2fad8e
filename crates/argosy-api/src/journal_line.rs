//! A journal entry as JSON, what to ask the journal for, and how large it is.

use serde::{Deserialize, Serialize};

/// One journal entry. Field names in `-o json` follow systemd.journal-fields(7) where one exists, and
/// those of docker's journald driver for containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// Position in this machine's journal; ask for what follows it.
    #[serde(rename = "__CURSOR")]
    pub cursor: String,
    /// Microseconds since 1970 UTC.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    pub realtime: u64,
    /// Microseconds since boot.
    #[serde(rename = "__MONOTONIC_TIMESTAMP")]
    pub monotonic: u64,
    /// The machine's name.
    #[serde(rename = "_HOSTNAME")]
    pub machine: String,
    /// The unit.
    #[serde(rename = "UNIT")]
    pub unit: String,
    /// The run of the unit, 32 hexadecimal digits.
    #[serde(rename = "_SYSTEMD_INVOCATION_ID", default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// `stdout`, `stderr`, or `supervisor` for what Argosy says about the unit.
    #[serde(rename = "_TRANSPORT")]
    pub transport: String,
    /// The process that wrote it, if known.
    #[serde(rename = "_PID", default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What stands before the message: the program's name or `SyslogIdentifier=`.
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    pub identifier: String,
    /// The container that wrote it, the first 12 digits of its id.
    #[serde(rename = "CONTAINER_ID", default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// All 64 digits.
    #[serde(rename = "CONTAINER_ID_FULL", default, skip_serializing_if = "Option::is_none")]
    pub container_id_full: Option<String>,
    /// Its name.
    #[serde(rename = "CONTAINER_NAME", default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Its image, as it was asked for.
    #[serde(rename = "IMAGE_NAME", default, skip_serializing_if = "Option::is_none")]
    pub image_name: Option<String>,
    /// 0 (emergency) to 7 (debug), syslog(3).
    #[serde(rename = "PRIORITY")]
    pub priority: u8,
    /// The text; bytes that are not UTF-8 are replaced.
    #[serde(rename = "MESSAGE")]
    pub message: String,
}

/// Which entries to return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalQuery {
    /// This unit only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The last N that match; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Entries after this cursor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Entries at or after this time, microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Entries before this time, microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Stay and send what comes.
    #[serde(default)]
    pub follow: bool,
}

/// What a machine's journal takes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalUsage {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its files, without their indices.
    pub segments: u64,
    /// The oldest files go when there are more bytes than this.
    pub bytes_max: u64,
    /// The journal does not grow while less than this is free on its file system.
    pub keep_free: u64,
}

/// Asks for the oldest files to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VacuumRequest {
    /// How many bytes may stay.
    pub bytes: u64,
}
