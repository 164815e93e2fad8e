//! The stored form of a unit's state. Fields are only ever added.

use std::sync::Arc;

use argosy_model::{Epoch, ExitOutcome, RestartCount, UnitRevision};
use prost::Message;

use super::numbers;
use crate::job::Job;
use crate::source::UnitSource;
use crate::{ProcessRef, SpawnId};

#[derive(Clone, PartialEq, Message)]
pub(super) struct UnitState {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, optional, tag = "3")]
    pub(super) loaded: Option<SourceRecord>,
    #[prost(message, optional, tag = "4")]
    pub(super) next: Option<SourceRecord>,
    #[prost(uint32, tag = "5")]
    pub(super) state: u32,
    #[prost(uint32, tag = "6")]
    pub(super) result: u32,
    #[prost(uint32, tag = "7")]
    pub(super) reload_result: u32,
    #[prost(message, optional, tag = "8")]
    pub(super) main: Option<ProcessRecord>,
    #[prost(uint64, tag = "9")]
    pub(super) main_index: u64,
    #[prost(uint32, optional, tag = "10")]
    pub(super) foreign_main: Option<u32>,
    #[prost(message, optional, tag = "11")]
    pub(super) control: Option<ControlRecord>,
    #[prost(message, optional, tag = "12")]
    pub(super) main_exit: Option<ExitRecord>,
    #[prost(uint32, tag = "13")]
    pub(super) restarts: u32,
    #[prost(bool, tag = "14")]
    pub(super) flush_restarts: bool,
    #[prost(bool, tag = "15")]
    pub(super) forbid_restart: bool,
    #[prost(uint64, optional, tag = "16")]
    pub(super) limit_begin: Option<u64>,
    #[prost(uint32, tag = "17")]
    pub(super) limit_count: u32,
    #[prost(uint64, optional, tag = "18")]
    pub(super) timer: Option<u64>,
    #[prost(uint64, optional, tag = "19")]
    pub(super) watchdog: Option<u64>,
    #[prost(uint64, optional, tag = "20")]
    pub(super) active_since: Option<u64>,
    #[prost(uint64, optional, tag = "21")]
    pub(super) watchdog_span: Option<u64>,
    #[prost(uint32, tag = "22")]
    pub(super) notified: u32,
    #[prost(bool, tag = "23")]
    pub(super) populated: bool,
    #[prost(bool, tag = "24")]
    pub(super) grouped: bool,
    #[prost(bool, tag = "25")]
    pub(super) leftover: bool,
    #[prost(bytes = "vec", optional, tag = "26")]
    pub(super) invocation: Option<Vec<u8>>,
    #[prost(uint64, tag = "27")]
    pub(super) since: u64,
    #[prost(string, optional, tag = "28")]
    pub(super) status_text: Option<String>,
    #[prost(int32, optional, tag = "29")]
    pub(super) errno: Option<i32>,
    #[prost(string, tag = "30")]
    pub(super) detail: String,
    #[prost(message, optional, tag = "31")]
    pub(super) job: Option<JobRecord>,
    /// Stands beside the result of an unknown end.
    #[prost(bool, tag = "32")]
    pub(super) fenced: bool,
    /// Nanoseconds on CLOCK_BOOTTIME; an older supervisor leaves it at zero, which is never.
    #[prost(uint64, tag = "33")]
    pub(super) ordered_at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SourceRecord {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(string, tag = "2")]
    origin: String,
    #[prost(message, repeated, tag = "3")]
    environment: Vec<Variable>,
    #[prost(message, optional, tag = "4")]
    right: Option<RightRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct Variable {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RightRecord {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    counter: u64,
    #[prost(uint64, tag = "4")]
    restart: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ProcessRecord {
    #[prost(uint64, tag = "1")]
    spawn: u64,
    #[prost(uint32, optional, tag = "2")]
    pid: Option<u32>,
    #[prost(uint64, tag = "3")]
    start_ticks: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ControlRecord {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<ProcessRecord>,
    #[prost(uint32, tag = "2")]
    pub(super) role: u32,
    #[prost(uint64, tag = "3")]
    pub(super) index: u64,
}

/// `how`: 1 exited, 2 killed, 3 dumped core, 4 unknown.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ExitRecord {
    #[prost(uint32, tag = "1")]
    how: u32,
    #[prost(uint32, tag = "2")]
    status: u32,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct JobRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bool, tag = "2")]
    running: bool,
}

impl From<&UnitSource> for SourceRecord {
    fn from(source: &UnitSource) -> Self {
        let variable = |(name, value): &(String, String)| Variable {
            name: name.clone(),
            value: value.clone(),
        };
        SourceRecord {
            text: source.text.to_string(),
            origin: source.origin.clone(),
            environment: source.environment.iter().map(variable).collect(),
            right: Some(RightRecord {
                revision: source.revision.0,
                incarnation: source.epoch.incarnation,
                counter: source.epoch.counter,
                restart: source.restart.0,
            }),
        }
    }
}

impl From<SourceRecord> for UnitSource {
    fn from(record: SourceRecord) -> Self {
        let right = record.right.unwrap_or_default();
        UnitSource {
            text: Arc::from(record.text),
            origin: record.origin,
            environment: record.environment.into_iter().map(|v| (v.name, v.value)).collect(),
            revision: UnitRevision(right.revision),
            epoch: Epoch { incarnation: right.incarnation, counter: right.counter },
            restart: RestartCount(right.restart),
        }
    }
}

pub(super) fn process(process: ProcessRef) -> ProcessRecord {
    let (pid, start_ticks) = match process.born {
        Some((pid, ticks)) => (Some(pid), ticks),
        None => (None, 0),
    };
    ProcessRecord { spawn: process.spawn.0, pid, start_ticks }
}

pub(super) fn process_ref(record: &ProcessRecord) -> ProcessRef {
    let born = record.pid.map(|pid| (pid, record.start_ticks));
    ProcessRef { spawn: SpawnId(record.spawn), born }
}

pub(super) fn exit(outcome: ExitOutcome) -> ExitRecord {
    match outcome {
        ExitOutcome::Code(code) => ExitRecord { how: 1, status: u32::from(code) },
        ExitOutcome::Signal { signal, core } => {
            ExitRecord { how: if core { 3 } else { 2 }, status: signal.unsigned_abs() }
        }
        ExitOutcome::Unknown => ExitRecord { how: 4, status: 0 },
    }
}

pub(super) fn outcome(record: ExitRecord) -> Option<ExitOutcome> {
    let signal = i32::try_from(record.status);
    Some(match record.how {
        1 => ExitOutcome::Code(u8::try_from(record.status).ok()?),
        2 => ExitOutcome::Signal { signal: signal.ok()?, core: false },
        3 => ExitOutcome::Signal { signal: signal.ok()?, core: true },
        4 => ExitOutcome::Unknown,
        _ => return None,
    })
}

/// Whoever waited for the job is gone with the supervisor they asked.
pub(super) fn job(job: &Job) -> JobRecord {
    JobRecord { kind: numbers::job_kind(job.kind), running: job.running }
}

pub(super) fn to_job(record: JobRecord) -> Option<Job> {
    let kind = numbers::to_job_kind(record.kind)?;
    Some(Job { kind, running: record.running, waiters: Vec::new() })
}
