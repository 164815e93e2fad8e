//! Every message survives the wire, and a half frame is no frame.

use std::time::Duration;

use argosy_model::{ExitOutcome, UnitName};

use super::{
    FrameReader, Incoming, MAX_FRAME, decode_commit, encode_commit, hello_frames, outgoing,
};
use crate::{
    Action, Commit, Event, EventKind, ExecStep, FromKeeper, GroupMode, Hello, Identity, Leftover,
    Output, ProcessRecord, SpawnId, SpawnRecord, SpoolRange, StateChange, Stdin, UnitRecord,
    WorkingDirectory,
};

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

fn record(stdin: Stdin, stdout: Output, stderr: Output) -> SpawnRecord {
    SpawnRecord {
        spawn_id: SpawnId(7),
        unit: unit("a@1.service"),
        program: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), String::new()],
        environment: vec![("A".into(), "b=c".into())],
        pid_variables: vec!["WATCHDOG_PID".into()],
        working_directory: Some(WorkingDirectory { path: "/tmp".into(), missing_ok: true }),
        identity: Some(Identity { uid: 1, gid: 2, groups: vec![3, 4] }),
        umask: 0o22,
        stdin,
        stdout,
        stderr,
        notify: true,
        ignore_sigpipe: true,
        fenced: true,
        ordered_at: Duration::new(5, 999_999_999),
    }
}

#[test]
fn every_action_survives_the_wire() {
    let unit = unit("a@1.service");
    let spawn = |stdin, stdout, stderr| Action::Spawn(Box::new(record(stdin, stdout, stderr)));
    let commit = Commit {
        acknowledged: 9,
        states: vec![
            StateChange { unit: unit.clone(), state: Some(vec![0, 255]) },
            StateChange { unit: unit.clone(), state: Some(Vec::new()) },
            StateChange { unit: unit.clone(), state: None },
        ],
        actions: vec![
            spawn(Stdin::Null, Output::Journal, Output::Inherit),
            spawn(Stdin::File("/a".into()), Output::File("/b".into()), Output::Null),
            spawn(
                Stdin::Bytes(Vec::new()),
                Output::Append("/b".into()),
                Output::Truncate("/c".into()),
            ),
            Action::SignalProcess { spawn_id: SpawnId(3), signal: 15 },
            Action::SignalGroup { unit: unit.clone(), signal: 1 },
            Action::KillGroup { unit: unit.clone() },
            Action::RemoveGroup { unit: unit.clone() },
            Action::KillLeftover { unit: unit.clone() },
            Action::ReleaseSpool { unit: unit.clone(), through: u64::MAX },
            Action::ForgetUnit { unit },
        ],
        done: true,
    };
    let mut reader = FrameReader::default();
    reader.extend(&encode_commit(&commit));
    let decoded = decode_commit(reader.next().unwrap().unwrap()).unwrap();
    assert_eq!(decoded, commit);
}

#[test]
fn every_event_survives_the_wire() {
    let unit = unit("a.service");
    let spawn_id = SpawnId(4);
    let exited = |outcome| EventKind::Exited { spawn_id, outcome };
    let kinds = [
        EventKind::Spawned { spawn_id, pid: 5, start_ticks: 6 },
        EventKind::SpawnFailed { spawn_id, step: ExecStep::Exec, errno: 2 },
        EventKind::SpawnFailed { spawn_id, step: ExecStep::Fork, errno: 11 },
        EventKind::Executed { spawn_id },
        exited(ExitOutcome::Code(255)),
        exited(ExitOutcome::Signal { signal: 6, core: true }),
        exited(ExitOutcome::Unknown),
        EventKind::Notify { unit: unit.clone(), pid: 9, text: "READY=1\n".into() },
        EventKind::GroupEmpty { unit: unit.clone() },
        EventKind::Fenced { unit: unit.clone() },
        EventKind::SpawnFailed { spawn_id, step: ExecStep::Fence, errno: 125 },
        EventKind::LeftoverGone { unit: unit.clone() },
    ];
    let mut messages: Vec<_> = kinds
        .into_iter()
        .map(|kind| FromKeeper::Event(Event { seq: 1, at: Duration::from_micros(77), kind }))
        .collect();
    messages.push(FromKeeper::SpoolAdvanced { unit, range: SpoolRange { begin: 3, end: 12 } });
    messages.push(FromKeeper::Shutdown { deadline: Duration::from_secs(9) });
    for message in messages {
        let mut reader = FrameReader::default();
        reader.extend(&outgoing(&message));
        match Incoming::decode(reader.next().unwrap().unwrap()).unwrap() {
            Some(Incoming::Message(decoded)) => assert_eq!(decoded, message),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_hello_larger_than_a_frame_arrives_whole() {
    let state = vec![1; 900_000];
    let hello = Hello {
        boot_id: "x".into(),
        keeper_pid: 1,
        group_mode: GroupMode::PidNamespace,
        acknowledged: 2,
        last_spawn_id: SpawnId(3),
        fences: true,
        units: (0..30)
            .map(|i| UnitRecord {
                unit: unit(&format!("u{i}.service")),
                state: Some(state.clone()),
                spool: Some(SpoolRange { begin: 0, end: i }),
            })
            .collect(),
        processes: vec![ProcessRecord {
            spawn_id: SpawnId(1),
            unit: unit("a.service"),
            pid: 4,
            start_ticks: 5,
            exit: None,
        }],
        leftover: vec![Leftover { unit: unit("a.service"), group: "/g".into() }],
    };
    let frames = hello_frames(&hello);
    assert!(frames.iter().all(|frame| frame.len() < MAX_FRAME / 4));
    let mut whole: Option<super::HelloAssembly> = None;
    for bytes in frames {
        assert!(whole.as_ref().is_none_or(|so_far| !so_far.complete));
        let Some(Incoming::HelloPart(part)) = Incoming::decode(&bytes[4..]).unwrap() else {
            panic!("no part of a hello");
        };
        match &mut whole {
            None => whole = Some(part),
            Some(so_far) => so_far.extend(part),
        }
    }
    let whole = whole.unwrap();
    assert!(whole.complete);
    assert_eq!(whole.hello, hello);
}

#[test]
fn a_frame_is_seen_only_when_whole() {
    let commit = Commit { acknowledged: 3, ..Commit::default() };
    let bytes = [encode_commit(&commit), encode_commit(&Commit::default())].concat();
    for cut in 0..=bytes.len() {
        let mut reader = FrameReader::default();
        let mut seen = 0;
        for half in [&bytes[..cut], &bytes[cut..]] {
            reader.extend(half);
            while reader.next().unwrap().is_some() {
                seen += 1;
            }
        }
        assert_eq!(seen, 2, "cut at {cut}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused() {
    let mut reader = FrameReader::default();
    reader.extend(&u32::MAX.to_le_bytes());
    assert!(reader.next().is_err());
}
