//! A supervisor that starts each unit once and copies its output, line by line, exactly once,
//! however often it is killed. The smallest program that keeps the spool's contract.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use argosy_keeper::{
    Action, Commit, EventKind, FromKeeper, Hello, KeeperClient, Output, SpawnId, SpawnRecord,
    SpoolReader, StateChange, Stdin, Stream,
};
use argosy_model::UnitName;
use rustix::event::{PollFd, PollFlags, poll};

/// Lines of one unit, appended to `NAME.lines` as `POSITION TEXT`.
struct Collector {
    name: UnitName,
    reader: SpoolReader,
    file: File,
    /// The position of the last byte of the last line stored.
    stored: u64,
    /// Unfinished lines, with the position of the frame they began in.
    partial: BTreeMap<(SpawnId, Stream), (u64, Vec<u8>)>,
    released: u64,
}

impl Collector {
    fn open(
        runtime_dir: &Path,
        output: &Path,
        name: &UnitName,
        begin: u64,
    ) -> Result<Collector, Box<dyn Error>> {
        let path = output.join(format!("{name}.lines"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let text = fs::read(&path)?;
        // A line half written by a killed predecessor is not stored.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        let last = text[..whole].split(|byte| *byte == b'\n').rev().nth(1).unwrap_or_default();
        let stored = std::str::from_utf8(last)?.split(' ').next().unwrap_or_default();
        Ok(Collector {
            name: name.clone(),
            reader: SpoolReader::new(runtime_dir, name, begin),
            file,
            stored: stored.parse().unwrap_or(0),
            partial: BTreeMap::new(),
            released: begin,
        })
    }

    /// Copies up to a position; returns what may be released.
    fn advance(&mut self, end: u64) -> Result<Option<u64>, Box<dyn Error>> {
        let mut text = Vec::new();
        while self.reader.position() < end {
            for frame in self.reader.read(end, 1 << 20)? {
                let key = (frame.spawn_id, frame.stream);
                for (byte, at) in frame.data.iter().zip(frame.sequence..) {
                    let (_, line) = self.partial.entry(key).or_insert((frame.position, Vec::new()));
                    if *byte == b'\n' {
                        let line = self.partial.remove(&key).map(|(_, line)| line);
                        Self::store(&mut text, &mut self.stored, at, &line.unwrap_or_default());
                    } else {
                        line.push(*byte);
                    }
                }
                if frame.end
                    && let Some((_, line)) = self.partial.remove(&key)
                {
                    Self::store(&mut text, &mut self.stored, frame.sequence, &line);
                }
            }
        }
        self.file.write_all(&text)?;
        let first = self.partial.values().map(|(position, _)| *position).min();
        let through = first.unwrap_or(self.reader.position());
        let more = through > self.released;
        self.released = through;
        Ok(more.then_some(through))
    }

    fn store(text: &mut Vec<u8>, stored: &mut u64, at: u64, line: &[u8]) {
        if at > *stored {
            *stored = at;
            text.extend(format!("{at} ").into_bytes());
            text.extend(line);
            text.push(b'\n');
        }
    }
}

/// Runs until killed. A unit is `NAME=COUNT@PER_SECOND`; `NAME.done` says that it has ended.
pub(crate) fn run(
    runtime_dir: &Path,
    output: &Path,
    units: &[&str],
) -> Result<ExitCode, Box<dyn Error>> {
    let mut keeper = KeeperClient::from_environment()?;
    fs::write(output.join("pid.new"), std::process::id().to_string())?;
    fs::rename(output.join("pid.new"), output.join("pid"))?;
    let mut collectors = BTreeMap::new();
    let mut spawned = BTreeMap::new();
    loop {
        let mut commit = Commit::default();
        while let Some(message) = keeper.receive()? {
            match message {
                FromKeeper::Hello(hello) => {
                    greet(&hello, units, &mut commit, &mut spawned)?;
                    for unit in &hello.units {
                        if let Some(spool) = unit.spool {
                            let name = &unit.unit;
                            let mut one = Collector::open(runtime_dir, output, name, spool.begin)?;
                            release(&mut one, spool.end, &mut commit)?;
                            collectors.insert(name.clone(), one);
                        }
                    }
                }
                FromKeeper::Event(event) => {
                    commit.acknowledged = event.seq;
                    if let EventKind::Exited { spawn_id, outcome } = event.kind {
                        let name = &spawned[&spawn_id];
                        let path: PathBuf = output.join(format!("{name}.done"));
                        // Twice is an exit handed out twice after it was acknowledged.
                        let text = fs::read_to_string(&path).unwrap_or_default();
                        fs::write(path, format!("{text}{outcome}\n"))?;
                    }
                }
                FromKeeper::SpoolAdvanced { unit, range } => {
                    if !collectors.contains_key(&unit) {
                        let one = Collector::open(runtime_dir, output, &unit, range.begin)?;
                        collectors.insert(unit.clone(), one);
                    }
                    if let Some(one) = collectors.get_mut(&unit) {
                        release(one, range.end, &mut commit)?;
                    }
                }
                FromKeeper::Shutdown { .. } => commit.done = true,
            }
        }
        if commit != Commit::default() {
            keeper.send(&commit)?;
        }
        let flags =
            if keeper.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        poll(&mut [PollFd::new(&keeper, flags)], None)?;
        keeper.flush()?;
    }
}

/// Starts every unit that has never been started.
fn greet(
    hello: &Hello,
    units: &[&str],
    commit: &mut Commit,
    spawned: &mut BTreeMap<SpawnId, UnitName>,
) -> Result<(), Box<dyn Error>> {
    for (number, text) in (1..).zip(units) {
        let (name, rest) = text.split_once('=').ok_or("no '='")?;
        let (count, per_second) = rest.split_once('@').ok_or("no '@'")?;
        let name = UnitName::new(name)?;
        let spawn_id = SpawnId(number);
        spawned.insert(spawn_id, name.clone());
        if hello.units.iter().any(|unit| unit.unit == name && unit.state.is_some()) {
            continue;
        }
        let stand = std::env::current_exe()?.display().to_string();
        let argv = ["lines", "lines", name.as_str(), count, per_second];
        commit.states.push(StateChange { unit: name.clone(), state: Some(vec![1]) });
        commit.actions.push(Action::Spawn(Box::new(SpawnRecord {
            spawn_id,
            unit: name.clone(),
            program: stand,
            argv: argv.map(str::to_owned).to_vec(),
            environment: std::env::vars().filter(|(name, _)| name == "STAND").collect(),
            pid_variables: Vec::new(),
            working_directory: None,
            identity: None,
            umask: 0o22,
            stdin: Stdin::Null,
            stdout: Output::Journal,
            stderr: Output::Journal,
            notify: false,
            ignore_sigpipe: true,
            fenced: false,
            ordered_at: Duration::ZERO,
        })));
    }
    Ok(())
}

fn release(one: &mut Collector, end: u64, commit: &mut Commit) -> Result<(), Box<dyn Error>> {
    if let Some(through) = one.advance(end)? {
        commit.actions.push(Action::ReleaseSpool { unit: one.name.clone(), through });
    }
    Ok(())
}
