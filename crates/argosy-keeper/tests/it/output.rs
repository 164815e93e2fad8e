//! Output: into the spool, before the exit, under back-pressure, exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use argosy_keeper::{Action, EventKind, Output, SpoolReader, Stream};
use argosy_model::ExitOutcome;
use rustix::process::{Pid, Signal, kill_process};

use crate::stand::{Setup, Stand, Supervisor, unit, wait_for};

/// Returns all that a unit's spool holds by now, and whether each stream has ended.
fn read(stand: &Stand, supervisor: &Supervisor, name: &str) -> BTreeMap<Stream, (Vec<u8>, bool)> {
    let mut streams: BTreeMap<Stream, (Vec<u8>, bool)> = BTreeMap::new();
    let Some(range) = supervisor.range(name) else { return streams };
    let mut reader = SpoolReader::new(&stand.runtime_dir(), &unit(name), range.begin);
    for frame in reader.read(range.end, usize::MAX).unwrap() {
        let (text, ended) = streams.entry(frame.stream).or_default();
        text.extend(frame.data);
        *ended |= frame.end;
    }
    streams
}

#[test]
fn the_last_words_are_in_the_spool_before_the_exit() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    for id in 1..=20 {
        let name = format!("u{id}.service");
        let script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; \
            echo error >&2; printf last";
        supervisor.spawn(stand.shell(id, &name, script));
        assert_eq!(supervisor.exit_of(id), ExitOutcome::Code(0));
        let streams = read(&stand, &supervisor, &name);
        assert!(streams.values().all(|(_, ended)| *ended), "{streams:?}");
        let lines: String = (0..300).map(|i| format!("line {i}\n")).collect();
        assert_eq!(streams[&Stream::Stdout].0, format!("{lines}last").as_bytes());
        assert_eq!(streams[&Stream::Stderr].0, b"error\n");
    }
    stand.end(supervisor);
}

#[test]
fn a_child_that_holds_the_pipe_does_not_delay_the_exit() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let script = "sh -c 'while :; do echo noise; done' & echo words; exit 7";
    let mut record = stand.shell(1, "a.service", script);
    record.stderr = Output::Null;
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(7));
    supervisor.act([Action::KillGroup { unit: unit("a.service") }]);
    supervisor.until_group_is_empty("a.service");
    let ended = |supervisor: &Supervisor| {
        read(&stand, supervisor, "a.service").get(&Stream::Stdout).is_some_and(|it| it.1)
    };
    supervisor.until(ended);
    let text = read(&stand, &supervisor, "a.service")[&Stream::Stdout].0.clone();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().filter(|line| *line == "words").count(), 1);
    stand.end(supervisor);
}

#[test]
fn a_full_spool_makes_the_unit_wait_and_loses_nothing() {
    const LIMIT: u64 = 1 << 20;
    let stand = Stand::start(Setup { spool_limit: LIMIT, ..Setup::default() });
    let mut supervisor = stand.supervisor();
    supervisor.spawn(stand.shell(1, "a.service", "seq 1 1000000"));
    let full = |supervisor: &Supervisor| {
        supervisor.range("a.service").is_some_and(|range| range.end - range.begin >= LIMIT)
    };
    supervisor.until(full);
    let mut reader = None;
    let mut text = Vec::new();
    let mut exited = false;
    while text.len() < 6_888_896 || !exited {
        supervisor.take_one();
        let Some(range) = supervisor.range("a.service") else { continue };
        assert!(range.end - range.begin < LIMIT + (3 << 20), "{range:?}");
        let unit = unit("a.service");
        let reader = reader
            .get_or_insert_with(|| SpoolReader::new(&stand.runtime_dir(), &unit, range.begin));
        for frame in reader.read(range.end, usize::MAX).unwrap() {
            text.extend(frame.data);
        }
        let through = reader.position();
        supervisor.act([Action::ReleaseSpool { unit, through }]);
        exited |=
            supervisor.taken().iter().any(|event| matches!(event.kind, EventKind::Exited { .. }));
    }
    let expected: String = (1..=1_000_000).map(|i| format!("{i}\n")).collect();
    assert!(text == expected.as_bytes());
    stand.end(supervisor);
}

#[test]
fn no_line_is_lost_or_doubled_while_supervisors_are_killed() {
    const LINES: u64 = 60_000;
    // Three units, 10,000 lines a second each, for six seconds.
    let units: Vec<String> = (1..=3).map(|i| format!("u{i}.service={LINES}@10000")).collect();
    let words = ["collect", "RUN", "DIR"].map(str::to_owned);
    let supervisor = words.into_iter().chain(units).collect();
    let stand = Stand::start(Setup { supervisor, ..Setup::default() });
    let done = || (1..=3).all(|i| stand.path(&format!("u{i}.service.done")).exists());
    // A simple generator is enough: the instants only have to differ.
    let mut seed: u64 = 20_251_123;
    let mut kills = 0;
    let mut last = String::new();
    while !done() {
        let pid = wait_for(|| {
            let pid = fs::read_to_string(stand.path("pid")).ok().filter(|pid| *pid != last);
            (done() || pid.is_some()).then_some(pid)
        });
        let Some(pid) = pid else { break };
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pause = Duration::from_micros(seed >> 46);
        let until = Instant::now() + pause;
        while Instant::now() < until && !done() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The last one is left to finish.
        if !done() {
            let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL);
            kills += 1;
        }
        last = pid;
    }
    let lines = |i: u64| -> Option<Vec<String>> {
        let text = fs::read_to_string(stand.path(&format!("u{i}.service.lines"))).ok()?;
        let line = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        Some(text.split_terminator('\n').map(line).collect())
    };
    for i in 1..=3 {
        let all = wait_for(|| lines(i).filter(|all| all.len() as u64 >= LINES));
        for (number, line) in (1..).zip(&all) {
            assert_eq!(*line, format!("u{i}.service {number:08} {:030}", 0));
        }
        assert_eq!(all.len() as u64, LINES);
        let ends = fs::read_to_string(stand.path(&format!("u{i}.service.done"))).unwrap();
        assert!(ends.lines().all(|end| end == "exited, status=0/SUCCESS"), "{ends}");
    }
    assert!(kills >= 10, "only {kills} supervisors were killed");
    let cpu = stand.cpu_time();
    assert!(cpu < Duration::from_secs(3), "the keeper used {cpu:?} for six seconds of output");
    stand.signal(Signal::TERM);
    stand.assert_clean_end();
}
