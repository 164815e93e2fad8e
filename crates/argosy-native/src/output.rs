//! Copies what units print from the spools into the journal, every line exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use argosy_api::UnitContainer;
use argosy_journal::{Container, Entry, Journal, JournalError, SpoolPosition, Transport};
use argosy_keeper::{SpawnId, SpoolRange, SpoolReader, Stream};
use argosy_model::{InvocationId, UnitName, UnixMicros};

use crate::lines::{Line, Lines};

/// Bytes of one unit's output copied before others have their turn: some thousand lines, so that
/// a chatty unit delays an exit of another one by about a millisecond.
const TURN_BYTES: usize = 256 << 10;
/// Runs whose names are remembered for lines still to be copied. A line of a forgotten run lacks
/// its invocation id, nothing else.
const RUNS_MAX: usize = 16_384;
/// Priority of output without a prefix: informational.
const PRIORITY: u8 = 6;

/// What is written beside each line of a process.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) unit: UnitName,
    pub(crate) invocation: Option<InvocationId>,
    pub(crate) identifier: String,
    pub(crate) program: String,
    /// Whether the program is the container engine.
    pub(crate) is_engine: bool,
    /// The container that it has become, once it is known.
    pub(crate) container: Option<Container>,
}

impl Run {
    /// Learns which container the run is of, as soon as the engine has told.
    fn learn_container(&mut self, runtime_dir: &Path) {
        let Some(invocation) = self.invocation.filter(|_| self.is_engine) else { return };
        if self.container.is_none() {
            let told =
                UnitContainer::read(runtime_dir, self.unit.as_str(), &invocation.to_string());
            self.container =
                told.map(|UnitContainer { id, name, image, .. }| Container { id, name, image });
        }
    }
}

#[derive(Debug)]
struct Copier {
    reader: SpoolReader,
    end: u64,
    /// The name of the last line stored.
    resume: u64,
    lines: Lines,
    released: u64,
}

/// All units' output.
#[derive(Debug)]
pub(crate) struct Outputs {
    runtime_dir: PathBuf,
    copiers: BTreeMap<UnitName, Copier>,
    runs: BTreeMap<SpawnId, Run>,
    waiting: BTreeSet<UnitName>,
}

/// A spool's beginning that may be given up.
pub(crate) type Release = (UnitName, u64);

impl Outputs {
    pub(crate) fn new(runtime_dir: PathBuf) -> Outputs {
        Outputs {
            runtime_dir,
            copiers: BTreeMap::new(),
            runs: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes a spool over; `journal` says how far an earlier supervisor has come.
    pub(crate) fn resume(&mut self, unit: &UnitName, range: SpoolRange, journal: &Journal) {
        let stored = |stream| journal.position(unit.as_str(), stream).map(|at| at.end);
        let resume = stored(argosy_journal::Stream::Stdout)
            .max(stored(argosy_journal::Stream::Stderr))
            // A position behind the spool's end belongs to an earlier spool.
            .filter(|position| *position < range.end)
            .unwrap_or(0);
        let copier = Copier {
            reader: SpoolReader::new(&self.runtime_dir, unit, range.begin),
            end: range.end,
            resume,
            lines: Lines::default(),
            released: range.begin,
        };
        self.copiers.insert(unit.clone(), copier);
        self.waiting.insert(unit.clone());
    }

    /// A unit has more output.
    pub(crate) fn advanced(&mut self, unit: &UnitName, range: SpoolRange, journal: &Journal) {
        match self.copiers.get_mut(unit) {
            Some(copier) if range.begin <= copier.reader.position() => {
                copier.end = copier.end.max(range.end);
                self.waiting.insert(unit.clone());
            }
            // Not known yet, or made anew.
            Some(_) | None => self.resume(unit, range, journal),
        }
    }

    /// Remembers what a process is, for its lines.
    pub(crate) fn begin_run(&mut self, spawn: SpawnId, run: Run) {
        self.runs.insert(spawn, run);
        if self.runs.len() > RUNS_MAX {
            self.runs.pop_first();
        }
    }

    /// Returns the unit of a process.
    pub(crate) fn unit(&self, spawn: SpawnId) -> Option<&UnitName> {
        self.runs.get(&spawn).map(|run| &run.unit)
    }

    pub(crate) fn run(&self, spawn: SpawnId) -> Option<&Run> {
        self.runs.get(&spawn)
    }

    /// Forgets a unit's spool.
    pub(crate) fn forget(&mut self, unit: &UnitName) {
        self.copiers.remove(unit);
        self.waiting.remove(unit);
    }

    /// Tells whether there is output to copy.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Copies a turn of every unit that has output. Returns what may be released.
    pub(crate) fn copy_turn(
        &mut self,
        journal: &mut Journal,
    ) -> Result<Vec<Release>, JournalError> {
        let units: Vec<UnitName> = self.waiting.iter().cloned().collect();
        let mut releases = Vec::new();
        for unit in units {
            releases.extend(self.copy(&unit, journal, TURN_BYTES)?);
        }
        Ok(releases)
    }

    /// Copies all there is of one unit: at most its spool's size.
    pub(crate) fn copy_all(
        &mut self,
        unit: &UnitName,
        journal: &mut Journal,
    ) -> Result<Option<Release>, JournalError> {
        let mut release = None;
        while self.waiting.contains(unit) {
            release = self.copy(unit, journal, TURN_BYTES)?.or(release);
        }
        Ok(release)
    }

    fn copy(
        &mut self,
        unit: &UnitName,
        journal: &mut Journal,
        bytes_max: usize,
    ) -> Result<Option<Release>, JournalError> {
        let Some(copier) = self.copiers.get_mut(unit) else {
            self.waiting.remove(unit);
            return Ok(None);
        };
        let frames = match copier.reader.read(copier.end, bytes_max) {
            Ok(frames) => frames,
            Err(error) => {
                // What cannot be read now is tried again when there is more.
                tracing::error!(%unit, error = %chain(&error), "cannot read the spool");
                self.waiting.remove(unit);
                return Ok(None);
            }
        };
        let mut lines = Vec::new();
        for frame in &frames {
            copier.lines.take(frame, &mut lines);
        }
        lines.retain(|line| line.name > copier.resume);
        if let Some(last) = lines.last() {
            copier.resume = last.name;
        }
        for spawn in lines.iter().map(|line| line.spawn).collect::<BTreeSet<_>>() {
            if let Some(run) = self.runs.get_mut(&spawn) {
                run.learn_container(&self.runtime_dir);
            }
        }
        let runs = &self.runs;
        let entries: Vec<Entry> =
            lines.into_iter().map(|line| entry(unit, runs.get(&line.spawn), line)).collect();
        if !entries.is_empty() {
            journal.append(&entries)?;
        }
        if copier.reader.position() >= copier.end {
            self.waiting.remove(unit);
        }
        let free = copier.lines.needed_from().unwrap_or(copier.reader.position());
        if free <= copier.released {
            return Ok(None);
        }
        copier.released = free;
        Ok(Some((unit.clone(), free)))
    }
}

fn entry(unit: &UnitName, run: Option<&Run>, line: Line) -> Entry {
    let stream = match line.stream {
        Stream::Stdout => argosy_journal::Stream::Stdout,
        Stream::Stderr => argosy_journal::Stream::Stderr,
    };
    let (priority, prefix) = priority(&line.text);
    Entry {
        realtime: UnixMicros(line.realtime_us),
        monotonic: line.boottime_us,
        unit: unit.to_string(),
        invocation: run.and_then(|run| run.invocation),
        transport: Transport::Output(stream),
        pid: Some(line.pid),
        identifier: run.map_or_else(|| unit.stem().to_owned(), |run| run.identifier.clone()),
        priority,
        message: line.text[prefix..].to_vec(),
        position: Some(SpoolPosition { spool: 0, end: line.name }),
        container: run.and_then(|run| run.container.clone()),
    }
}

/// Reads `<N>` at the beginning of a line (sd-daemon(3)). Returns the priority and the prefix's
/// length.
fn priority(text: &[u8]) -> (u8, usize) {
    match text {
        [b'<', digit @ b'0'..=b'7', b'>', ..] => (digit - b'0', 3),
        _ => (PRIORITY, 0),
    }
}

pub(crate) use argosy_api::chain;
