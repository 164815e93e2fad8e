//! The test in the place of a supervisor.

use std::collections::BTreeSet;

use argosy_keeper::{
    Action, Commit, Event, EventKind, FromKeeper, Hello, KeeperClient, SpawnRecord, SpoolRange,
};
use argosy_model::{ExitOutcome, UnitName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::{unit, wait_for};

/// The test as the keeper's supervisor. Its process is the relay.
pub(crate) struct Supervisor {
    pub(crate) client: KeeperClient,
    pub(crate) pid: i32,
    pub(crate) hello: Hello,
    /// The number of the last event seen.
    pub(crate) seen: u64,
    pub(crate) shutdown: bool,
    pub(crate) ranges: Vec<(UnitName, SpoolRange)>,
    /// Units of which a process was started.
    pub(crate) started: BTreeSet<UnitName>,
    /// Events seen by `until` before they were asked for.
    pub(super) keep: Vec<Event>,
}

impl Supervisor {
    pub(crate) fn send(&mut self, commit: Commit) {
        self.client.send(&commit).unwrap();
        wait_for(|| {
            self.client.flush().unwrap();
            (!self.client.wants_write()).then_some(())
        });
    }

    pub(crate) fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        let actions = actions.into_iter().collect();
        self.send(Commit { actions, ..Commit::default() });
    }

    pub(crate) fn spawn(&mut self, record: SpawnRecord) {
        self.started.insert(record.unit.clone());
        self.act([Action::Spawn(Box::new(record))]);
    }

    pub(crate) fn acknowledge(&mut self, seq: u64) {
        self.send(Commit { acknowledged: seq, ..Commit::default() });
    }

    /// Takes messages in until a condition holds.
    pub(crate) fn until(&mut self, condition: impl Fn(&Supervisor) -> bool) {
        wait_for(|| {
            if condition(self) {
                return Some(());
            }
            self.take_one();
            None
        });
    }

    /// Returns the next event.
    pub(crate) fn event(&mut self) -> Event {
        self.until(|supervisor| !supervisor.keep.is_empty());
        self.keep.remove(0)
    }

    /// Returns the events that were taken in and not asked for.
    pub(crate) fn taken(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.keep)
    }

    /// Returns events up to and with the first that fits.
    pub(crate) fn events_until(&mut self, fits: impl Fn(&EventKind) -> bool) -> Vec<EventKind> {
        let mut events = Vec::new();
        loop {
            let kind = self.event().kind;
            let last = fits(&kind);
            events.push(kind);
            if last {
                return events;
            }
        }
    }

    /// Returns how a process ends.
    pub(crate) fn exit_of(&mut self, id: u64) -> ExitOutcome {
        let fits = |kind: &EventKind| match kind {
            EventKind::Exited { spawn_id, .. } => spawn_id.0 == id,
            EventKind::SpawnFailed { spawn_id, .. } => spawn_id.0 == id,
            _ => false,
        };
        match self.events_until(fits).pop() {
            Some(EventKind::Exited { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn until_group_is_empty(&mut self, name: &str) {
        let empty = EventKind::GroupEmpty { unit: unit(name) };
        self.events_until(|kind| *kind == empty);
    }

    /// Returns the last known range of a unit's spool.
    pub(crate) fn range(&self, name: &str) -> Option<SpoolRange> {
        let announced = self.ranges.iter().rev().find(|(unit, _)| unit.as_str() == name);
        let held = self.hello.units.iter().find(|record| record.unit.as_str() == name);
        announced.map(|(_, range)| *range).or_else(|| held?.spool)
    }

    pub(crate) fn take_one(&mut self) {
        match self.client.receive().unwrap() {
            Some(FromKeeper::Event(event)) => {
                assert_eq!(event.seq, self.hello.acknowledged.max(self.seen) + 1, "no gap");
                self.seen = event.seq;
                self.keep.push(event);
            }
            Some(FromKeeper::SpoolAdvanced { unit, range }) => self.ranges.push((unit, range)),
            Some(FromKeeper::Shutdown { .. }) => self.shutdown = true,
            Some(FromKeeper::Hello(_)) => panic!("a second hello"),
            None => {
                let patience = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                poll(&mut [PollFd::new(&self.client, PollFlags::IN)], Some(&patience)).unwrap();
            }
        }
    }

    /// Dies as a supervisor dies that is killed.
    pub(crate) fn die(self) {
        kill_process(Pid::from_raw(self.pid).unwrap(), Signal::KILL).unwrap();
    }
}
