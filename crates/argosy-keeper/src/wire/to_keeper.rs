//! Commits, to and from their wire form.

use std::time::Duration;

use prost::Message;

use super::{WireError, frame, supervisor_messages as wire, unit_name};
use crate::fence::nanoseconds;
use crate::{
    Action, Commit, Identity, Output, SpawnId, SpawnRecord, StateChange, Stdin, WorkingDirectory,
};

/// Longest state of one unit in bytes, so that it fits into a hello; the states themselves have a
/// few kilobytes.
pub(crate) const MAX_STATE: usize = 1 << 20;

/// Returns a commit as one frame.
pub(crate) fn encode_commit(commit: &Commit) -> Vec<u8> {
    frame(&wire::Commit {
        acknowledged: commit.acknowledged,
        states: commit
            .states
            .iter()
            .map(|change| wire::StateChange {
                unit: change.unit.to_string(),
                state: change.state.clone(),
            })
            .collect(),
        actions: commit.actions.iter().map(encode_action).collect(),
        done: commit.done,
    })
}

/// Reads a commit from a frame's payload.
pub(crate) fn decode_commit(payload: &[u8]) -> Result<Commit, WireError> {
    let commit = wire::Commit::decode(payload)
        .map_err(|error| WireError::new(format!("a commit cannot be decoded: {error}")))?;
    let state = |change: wire::StateChange| {
        if change.state.as_ref().is_some_and(|state| state.len() > MAX_STATE) {
            return Err(WireError::new(format!("the state of {} is too large", change.unit)));
        }
        Ok(StateChange { unit: unit_name(&change.unit)?, state: change.state })
    };
    Ok(Commit {
        acknowledged: commit.acknowledged,
        states: commit.states.into_iter().map(state).collect::<Result<_, WireError>>()?,
        actions: commit.actions.into_iter().map(decode_action).collect::<Result<_, _>>()?,
        done: commit.done,
    })
}

fn encode_action(action: &Action) -> wire::Action {
    let kind = match action {
        Action::Spawn(record) => wire::ActionKind::Spawn(Box::new(encode_record(record))),
        Action::SignalProcess { spawn_id, signal } => {
            wire::ActionKind::SignalProcess(wire::SignalProcess {
                spawn_id: spawn_id.0,
                signal: *signal,
            })
        }
        Action::SignalGroup { unit, signal } => wire::ActionKind::SignalGroup(wire::SignalGroup {
            unit: unit.to_string(),
            signal: *signal,
        }),
        Action::KillGroup { unit } => wire::ActionKind::KillGroup(unit.to_string()),
        Action::RemoveGroup { unit } => wire::ActionKind::RemoveGroup(unit.to_string()),
        Action::KillLeftover { unit } => wire::ActionKind::KillLeftover(unit.to_string()),
        Action::ReleaseSpool { unit, through } => {
            wire::ActionKind::ReleaseSpool(wire::SpoolPosition {
                unit: unit.to_string(),
                position: *through,
            })
        }
        Action::ForgetUnit { unit } => wire::ActionKind::ForgetUnit(unit.to_string()),
    };
    wire::Action { kind: Some(kind) }
}

fn decode_action(action: wire::Action) -> Result<Action, WireError> {
    // An action this keeper does not know must not be skipped: the supervisor counts on it.
    let kind = action.kind.ok_or_else(|| WireError::new("an action of an unknown kind"))?;
    Ok(match kind {
        wire::ActionKind::Spawn(record) => Action::Spawn(Box::new(decode_record(*record)?)),
        wire::ActionKind::SignalProcess(it) => {
            Action::SignalProcess { spawn_id: SpawnId(it.spawn_id), signal: it.signal }
        }
        wire::ActionKind::SignalGroup(it) => {
            Action::SignalGroup { unit: unit_name(&it.unit)?, signal: it.signal }
        }
        wire::ActionKind::KillGroup(unit) => Action::KillGroup { unit: unit_name(&unit)? },
        wire::ActionKind::RemoveGroup(unit) => Action::RemoveGroup { unit: unit_name(&unit)? },
        wire::ActionKind::KillLeftover(unit) => Action::KillLeftover { unit: unit_name(&unit)? },
        wire::ActionKind::ReleaseSpool(it) => {
            Action::ReleaseSpool { unit: unit_name(&it.unit)?, through: it.position }
        }
        wire::ActionKind::ForgetUnit(unit) => Action::ForgetUnit { unit: unit_name(&unit)? },
    })
}

fn encode_record(record: &SpawnRecord) -> wire::SpawnRecord {
    let variable = |(name, value): &(String, String)| wire::Variable {
        name: name.clone(),
        value: value.clone(),
    };
    wire::SpawnRecord {
        spawn_id: record.spawn_id.0,
        unit: record.unit.to_string(),
        program: record.program.clone(),
        argv: record.argv.clone(),
        environment: record.environment.iter().map(variable).collect(),
        pid_variables: record.pid_variables.clone(),
        working_directory: record.working_directory.as_ref().map(|directory| {
            wire::WorkingDirectory {
                path: directory.path.clone(),
                missing_ok: directory.missing_ok,
            }
        }),
        identity: record.identity.as_ref().map(|identity| wire::Identity {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
        }),
        umask: record.umask,
        stdin: match &record.stdin {
            Stdin::Null => None,
            Stdin::File(path) => Some(wire::Stdin::File(path.clone())),
            Stdin::Bytes(bytes) => Some(wire::Stdin::Bytes(bytes.clone())),
        },
        stdout: Some(encode_output(&record.stdout)),
        stderr: Some(encode_output(&record.stderr)),
        notify: record.notify,
        ignore_sigpipe: record.ignore_sigpipe,
        fenced: record.fenced,
        ordered_at: nanoseconds(record.ordered_at),
    }
}

fn decode_record(record: wire::SpawnRecord) -> Result<SpawnRecord, WireError> {
    Ok(SpawnRecord {
        spawn_id: SpawnId(record.spawn_id),
        unit: unit_name(&record.unit)?,
        program: record.program,
        argv: record.argv,
        environment: record.environment.into_iter().map(|it| (it.name, it.value)).collect(),
        pid_variables: record.pid_variables,
        working_directory: record
            .working_directory
            .map(|it| WorkingDirectory { path: it.path, missing_ok: it.missing_ok }),
        identity: record.identity.map(|it| Identity {
            uid: it.uid,
            gid: it.gid,
            groups: it.groups,
        }),
        umask: record.umask,
        stdin: match record.stdin {
            None => Stdin::Null,
            Some(wire::Stdin::File(path)) => Stdin::File(path),
            Some(wire::Stdin::Bytes(bytes)) => Stdin::Bytes(bytes),
        },
        stdout: decode_output(record.stdout)?,
        stderr: decode_output(record.stderr)?,
        notify: record.notify,
        ignore_sigpipe: record.ignore_sigpipe,
        fenced: record.fenced,
        ordered_at: Duration::from_nanos(record.ordered_at),
    })
}

fn encode_output(output: &Output) -> wire::Output {
    let (kind, path) = match output {
        Output::Null => (0, ""),
        Output::Journal => (1, ""),
        Output::File(path) => (2, path.as_str()),
        Output::Append(path) => (3, path.as_str()),
        Output::Truncate(path) => (4, path.as_str()),
        Output::Inherit => (5, ""),
    };
    wire::Output { kind, path: path.to_owned() }
}

fn decode_output(output: Option<wire::Output>) -> Result<Output, WireError> {
    let output = output.unwrap_or_default();
    Ok(match output.kind {
        0 => Output::Null,
        1 => Output::Journal,
        2 => Output::File(output.path),
        3 => Output::Append(output.path),
        4 => Output::Truncate(output.path),
        5 => Output::Inherit,
        other => return Err(WireError::new(format!("an output of the unknown kind {other}"))),
    })
}
