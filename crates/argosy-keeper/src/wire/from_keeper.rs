//! What the keeper sends, to and from its wire form.

use std::time::Duration;

use argosy_model::{ExitOutcome, UnitName};
use prost::Message;

use super::keeper_messages::FromKeeperKind as Kind;
use super::{WireError, frame, keeper_messages as wire, unit_name};
use crate::{
    Event, EventKind, ExecStep, FromKeeper, GroupMode, Hello, Leftover, ProcessRecord, SpawnId,
    SpoolRange, Stream, UnitRecord,
};

/// The protocol's number. A keeper may be older than its supervisor: it outlives an upgrade.
const PROTOCOL: u32 = 1;

/// A part of a hello is closed after this many bytes of states, far below a frame's limit.
const HELLO_PART: usize = 1 << 20;

const GROUP_MODES: [GroupMode; 5] = [
    GroupMode::V2,
    GroupMode::Hybrid,
    GroupMode::V1,
    GroupMode::PidNamespace,
    GroupMode::ProcessTree,
];

/// A frame as the supervisor receives it.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// One part of a hello.
    HelloPart(HelloAssembly),
    /// A whole message.
    Message(FromKeeper),
    /// A descriptor came with this frame.
    Pipe(UnitName, SpawnId, Stream),
    /// The keeper has closed its end of that pipe.
    PipeClosed(SpawnId, Stream),
}

/// A hello being put together.
#[derive(Debug)]
pub(crate) struct HelloAssembly {
    pub(crate) hello: Hello,
    pub(crate) complete: bool,
}

impl HelloAssembly {
    /// Adds the next part.
    pub(crate) fn extend(&mut self, part: HelloAssembly) {
        self.hello.units.extend(part.hello.units);
        self.hello.processes.extend(part.hello.processes);
        self.hello.leftover.extend(part.hello.leftover);
        self.complete = part.complete;
    }
}

/// Returns a hello as frames.
pub(crate) fn hello_frames(hello: &Hello) -> Vec<Vec<u8>> {
    let group_mode = GROUP_MODES.iter().position(|mode| *mode == hello.group_mode).unwrap_or(0);
    let empty = || wire::HelloPart {
        protocol: PROTOCOL,
        boot_id: hello.boot_id.clone(),
        keeper_pid: hello.keeper_pid,
        group_mode: u32::try_from(group_mode).unwrap_or(0),
        acknowledged: hello.acknowledged,
        last_spawn_id: hello.last_spawn_id.0,
        fences: hello.fences,
        ..wire::HelloPart::default()
    };
    let mut parts = vec![empty()];
    let mut size = 0;
    let mut room = |parts: &mut Vec<wire::HelloPart>, bytes: usize| {
        size += bytes;
        if size > HELLO_PART {
            parts.push(empty());
            size = bytes;
        }
        parts.len() - 1
    };
    for unit in &hello.units {
        let record = wire::UnitRecord {
            unit: unit.unit.to_string(),
            state: unit.state.clone(),
            spool_begin: unit.spool.map(|spool| spool.begin),
            spool_end: unit.spool.map_or(0, |spool| spool.end),
        };
        let part = room(&mut parts, record.encoded_len());
        parts[part].units.push(record);
    }
    for process in &hello.processes {
        let record = wire::ProcessRecord {
            spawn_id: process.spawn_id.0,
            unit: process.unit.to_string(),
            pid: process.pid,
            start_ticks: process.start_ticks,
            exit: process.exit.map(encode_exit),
        };
        let part = room(&mut parts, record.encoded_len());
        parts[part].processes.push(record);
    }
    for leftover in &hello.leftover {
        let record =
            wire::Leftover { unit: leftover.unit.to_string(), group: leftover.group.clone() };
        let part = room(&mut parts, record.encoded_len());
        parts[part].leftover.push(record);
    }
    if let Some(last) = parts.last_mut() {
        last.last = true;
    }
    parts.into_iter().map(|part| keeper_frame(Kind::Hello(part))).collect()
}

/// Returns any message but a hello as a frame.
pub(crate) fn outgoing(message: &FromKeeper) -> Vec<u8> {
    keeper_frame(match message {
        FromKeeper::Hello(hello) => return hello_frames(hello).concat(),
        FromKeeper::Event(event) => Kind::Event(encode_event(event)),
        FromKeeper::SpoolAdvanced { unit, range } => Kind::SpoolAdvanced(wire::SpoolAdvanced {
            unit: unit.to_string(),
            begin: range.begin,
            end: range.end,
        }),
        FromKeeper::Shutdown { deadline } => Kind::Shutdown(micros(*deadline)),
    })
}

/// Returns the frame that a pipe's descriptor travels with.
pub(crate) fn pipe_frame(unit: &UnitName, spawn_id: SpawnId, stream: Stream) -> Vec<u8> {
    keeper_frame(Kind::Pipe(wire::Pipe {
        unit: unit.to_string(),
        spawn_id: spawn_id.0,
        stderr: stream == Stream::Stderr,
    }))
}

/// Returns the frame that says that a pipe has ended.
pub(crate) fn pipe_closed_frame(spawn_id: SpawnId, stream: Stream) -> Vec<u8> {
    keeper_frame(Kind::PipeClosed(wire::Pipe {
        unit: String::new(),
        spawn_id: spawn_id.0,
        stderr: stream == Stream::Stderr,
    }))
}

fn keeper_frame(kind: Kind) -> Vec<u8> {
    frame(&wire::FromKeeper { kind: Some(kind) })
}

impl Incoming {
    /// Reads a frame's payload; `None` for a kind added after this program.
    pub(crate) fn decode(payload: &[u8]) -> Result<Option<Incoming>, WireError> {
        let message = wire::FromKeeper::decode(payload)
            .map_err(|error| WireError::new(format!("a frame cannot be decoded: {error}")))?;
        let stream = |stderr| if stderr { Stream::Stderr } else { Stream::Stdout };
        Ok(Some(match message.kind {
            None => return Ok(None),
            Some(Kind::Hello(part)) => Incoming::HelloPart(decode_hello(part)?),
            Some(Kind::Event(event)) => Incoming::Message(FromKeeper::Event(decode_event(event)?)),
            Some(Kind::SpoolAdvanced(it)) => Incoming::Message(FromKeeper::SpoolAdvanced {
                unit: unit_name(&it.unit)?,
                range: SpoolRange { begin: it.begin, end: it.end },
            }),
            Some(Kind::Shutdown(deadline)) => Incoming::Message(FromKeeper::Shutdown {
                deadline: Duration::from_micros(deadline),
            }),
            Some(Kind::Pipe(it)) => {
                Incoming::Pipe(unit_name(&it.unit)?, SpawnId(it.spawn_id), stream(it.stderr))
            }
            Some(Kind::PipeClosed(it)) => {
                Incoming::PipeClosed(SpawnId(it.spawn_id), stream(it.stderr))
            }
        }))
    }
}

fn decode_hello(part: wire::HelloPart) -> Result<HelloAssembly, WireError> {
    if part.protocol != PROTOCOL {
        return Err(WireError::new(format!(
            "the keeper speaks protocol {}, this program {PROTOCOL}",
            part.protocol
        )));
    }
    let group_mode = GROUP_MODES
        .get(part.group_mode as usize)
        .copied()
        .ok_or_else(|| WireError::new(format!("the unknown group mode {}", part.group_mode)))?;
    let unit = |it: wire::UnitRecord| {
        Ok(UnitRecord {
            unit: unit_name(&it.unit)?,
            state: it.state,
            spool: it.spool_begin.map(|begin| SpoolRange { begin, end: it.spool_end }),
        })
    };
    let process = |it: wire::ProcessRecord| {
        Ok(ProcessRecord {
            spawn_id: SpawnId(it.spawn_id),
            unit: unit_name(&it.unit)?,
            pid: it.pid,
            start_ticks: it.start_ticks,
            exit: it.exit.map(decode_exit),
        })
    };
    let leftover =
        |it: wire::Leftover| Ok(Leftover { unit: unit_name(&it.unit)?, group: it.group });
    let hello = Hello {
        boot_id: part.boot_id,
        keeper_pid: part.keeper_pid,
        group_mode,
        acknowledged: part.acknowledged,
        last_spawn_id: SpawnId(part.last_spawn_id),
        fences: part.fences,
        units: part.units.into_iter().map(unit).collect::<Result<_, WireError>>()?,
        processes: part.processes.into_iter().map(process).collect::<Result<_, WireError>>()?,
        leftover: part.leftover.into_iter().map(leftover).collect::<Result<_, WireError>>()?,
    };
    Ok(HelloAssembly { hello, complete: part.last })
}

fn encode_event(event: &Event) -> wire::Event {
    let kind = match &event.kind {
        EventKind::Spawned { spawn_id, pid, start_ticks } => {
            wire::EventKind::Spawned(wire::Spawned {
                spawn_id: spawn_id.0,
                pid: *pid,
                start_ticks: *start_ticks,
            })
        }
        EventKind::SpawnFailed { spawn_id, step, errno } => {
            wire::EventKind::SpawnFailed(wire::SpawnFailed {
                spawn_id: spawn_id.0,
                step: step.number(),
                errno: *errno,
            })
        }
        EventKind::Executed { spawn_id } => wire::EventKind::Executed(spawn_id.0),
        EventKind::Exited { spawn_id, outcome } => wire::EventKind::Exited(wire::Exited {
            spawn_id: spawn_id.0,
            exit: Some(encode_exit(*outcome)),
        }),
        EventKind::Notify { unit, pid, text } => wire::EventKind::Notify(wire::Notify {
            unit: unit.to_string(),
            pid: *pid,
            text: text.clone(),
        }),
        EventKind::GroupEmpty { unit } => wire::EventKind::GroupEmpty(unit.to_string()),
        EventKind::LeftoverGone { unit } => wire::EventKind::LeftoverGone(unit.to_string()),
        EventKind::Fenced { unit } => wire::EventKind::Fenced(unit.to_string()),
    };
    wire::Event { seq: event.seq, at: micros(event.at), kind: Some(kind) }
}

fn decode_event(event: wire::Event) -> Result<Event, WireError> {
    let kind = event.kind.ok_or_else(|| WireError::new("an event of an unknown kind"))?;
    let kind = match kind {
        wire::EventKind::Spawned(it) => EventKind::Spawned {
            spawn_id: SpawnId(it.spawn_id),
            pid: it.pid,
            start_ticks: it.start_ticks,
        },
        wire::EventKind::SpawnFailed(it) => EventKind::SpawnFailed {
            spawn_id: SpawnId(it.spawn_id),
            step: ExecStep::from_number(it.step)
                .ok_or_else(|| WireError::new(format!("the unknown step {}", it.step)))?,
            errno: it.errno,
        },
        wire::EventKind::Executed(spawn_id) => EventKind::Executed { spawn_id: SpawnId(spawn_id) },
        wire::EventKind::Exited(it) => EventKind::Exited {
            spawn_id: SpawnId(it.spawn_id),
            outcome: decode_exit(it.exit.unwrap_or_default()),
        },
        wire::EventKind::Notify(it) => {
            EventKind::Notify { unit: unit_name(&it.unit)?, pid: it.pid, text: it.text }
        }
        wire::EventKind::GroupEmpty(unit) => EventKind::GroupEmpty { unit: unit_name(&unit)? },
        wire::EventKind::LeftoverGone(unit) => EventKind::LeftoverGone { unit: unit_name(&unit)? },
        wire::EventKind::Fenced(unit) => EventKind::Fenced { unit: unit_name(&unit)? },
    };
    Ok(Event { seq: event.seq, at: Duration::from_micros(event.at), kind })
}

fn encode_exit(outcome: ExitOutcome) -> wire::Exit {
    match outcome {
        ExitOutcome::Code(code) => wire::Exit { code: Some(code.into()), ..Default::default() },
        ExitOutcome::Signal { signal, core } => {
            wire::Exit { code: None, signal: Some(signal), core }
        }
        ExitOutcome::Unknown => wire::Exit::default(),
    }
}

fn decode_exit(exit: wire::Exit) -> ExitOutcome {
    match (exit.code.map(u8::try_from), exit.signal) {
        (Some(Ok(code)), _) => ExitOutcome::Code(code),
        (_, Some(signal)) => ExitOutcome::Signal { signal, core: exit.core },
        _ => ExitOutcome::Unknown,
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
