//! The talk with the supervisor: commits in, events and spool positions out.

use rustix::event::epoll::EventFlags;

use super::link::{BATCH, Link};
use super::{Keeper, say};
use crate::wire::{decode_commit, hello_frames, outgoing};
use crate::{Action, Commit, EventKind, FromKeeper, Hello, ProcessRecord, SpawnId, UnitRecord};

/// Reads of the socket before other sources have their turn.
const READS: usize = 16;

impl Keeper {
    /// Begins the talk with a new supervisor: all that is held, then every event that is not
    /// acknowledged.
    pub(super) fn greet(&mut self, mut link: Link) {
        for frame in hello_frames(&self.hello()) {
            link.queue(frame);
        }
        self.log.rewind();
        self.advanced.clear();
        self.link = Some(link);
        self.hand_over_pipes();
        self.announce_ending();
    }

    fn hello(&self) -> Hello {
        let unit = |(name, unit): (&argosy_model::UnitName, &super::unit::Unit)| UnitRecord {
            unit: name.clone(),
            state: unit.state.clone(),
            spool: unit.spool.as_ref().map(crate::spool::Spool::range),
        };
        let known = |record: &UnitRecord| record.state.is_some() || record.spool.is_some();
        let process = |(spawn_id, process): (&SpawnId, &super::unit::Process)| ProcessRecord {
            spawn_id: *spawn_id,
            unit: process.unit.clone(),
            pid: process.pid.cast_unsigned(),
            start_ticks: process.start_ticks,
            exit: process.exit,
        };
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Hello {
            boot_id: boot_id.unwrap_or_default().trim().to_owned(),
            keeper_pid: std::process::id(),
            group_mode: self.driver.mode(),
            acknowledged: self.log.acknowledged(),
            last_spawn_id: self.last_spawn_id,
            fences: true,
            units: self.units.iter().map(unit).filter(known).collect(),
            processes: self.processes.iter().map(process).collect(),
            leftover: self.leftover(),
        }
    }

    /// Reads the socket and works in every whole commit.
    pub(super) fn read_link(&mut self) {
        for _ in 0..READS {
            if !self.read_link_once() {
                break;
            }
        }
        self.drop_broken_link();
    }

    /// Works in what a supervisor that has ended had sent. A half commit is dropped with it.
    pub(super) fn finish_link(&mut self) {
        while self.read_link_once() {}
        if let Some(link) = self.link.take() {
            self.poller.remove(&link.socket, link.token);
        }
    }

    fn read_link_once(&mut self) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| !link.broken) else { return false };
        let more = link.fill();
        loop {
            let Some(link) = &mut self.link else { return false };
            let commit = match link.reader.next() {
                Ok(None) => return more,
                Ok(Some(payload)) => decode_commit(payload),
                Err(error) => Err(error),
            };
            match commit {
                Ok(commit) => self.apply(commit),
                Err(error) => {
                    say(format_args!("the supervisor's commit cannot be understood: {error}"));
                    link.broken = true;
                    return false;
                }
            }
        }
    }

    /// A supervisor without a working socket is of no use: it is killed and started again.
    fn drop_broken_link(&mut self) {
        if self.link.as_ref().is_some_and(|link| link.broken)
            && let Some(link) = self.link.take()
        {
            self.poller.remove(&link.socket, link.token);
            self.supervisor.kill();
        }
    }

    /// One atomic step of the supervisor.
    fn apply(&mut self, commit: Commit) {
        for event in self.log.acknowledge(commit.acknowledged) {
            if let EventKind::Exited { spawn_id, .. } | EventKind::SpawnFailed { spawn_id, .. } =
                event.kind
            {
                self.processes.remove(&spawn_id);
            }
        }
        self.resume_notify();
        for change in commit.states {
            self.units.entry(change.unit.clone()).or_default().state = change.state;
            self.discard_if_idle(&change.unit);
        }
        for action in commit.actions {
            self.keep_fence();
            self.act(action);
        }
        if commit.done {
            self.units_are_stopped();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn(record) => self.spawn(&record),
            Action::SignalProcess { spawn_id, signal } => self.signal_process(spawn_id, signal),
            Action::SignalGroup { unit, signal } => self.signal_group(&unit, signal),
            Action::KillGroup { unit } => self.kill_group(&unit),
            Action::RemoveGroup { unit } => self.remove_group_when_empty(&unit),
            Action::KillLeftover { unit } => self.kill_leftover(&unit),
            Action::ReleaseSpool { unit, through } => self.release_spool(&unit, through),
            Action::ForgetUnit { unit } => {
                if let Some(unit) = self.units.get_mut(&unit) {
                    unit.state = None;
                }
                self.remove_notify(&unit);
                self.remove_spool(&unit);
                self.remove_group_when_empty(&unit);
                self.discard_if_idle(&unit);
            }
        }
    }

    /// Sends what the supervisor has not been sent, as much as its socket takes.
    pub(super) fn pump_link(&mut self) {
        loop {
            let Some(link) = &mut self.link else { return };
            if !link.flush() {
                if !link.waits_for_room {
                    link.waits_for_room = true;
                    let flags = EventFlags::IN | EventFlags::OUT;
                    self.poller.change(&link.socket, link.token, flags);
                }
                return;
            }
            if std::mem::take(&mut link.waits_for_room) {
                self.poller.change(&link.socket, link.token, EventFlags::IN);
            }
            if link.broken {
                return self.drop_broken_link();
            }
            let batch = self.next_batch();
            match &mut self.link {
                Some(link) if !batch.is_empty() => link.queue(batch),
                _ => return,
            }
        }
    }

    /// Encodes spool positions, then events: so an exit comes after the position that covers all
    /// its process wrote.
    fn next_batch(&mut self) -> Vec<u8> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            if let Some(unit) = self.advanced.pop_first() {
                let spool = self.units.get(&unit).and_then(|unit| unit.spool.as_ref());
                if let Some(spool) = spool {
                    let range = spool.range();
                    batch.extend(outgoing(&FromKeeper::SpoolAdvanced { unit, range }));
                }
            } else if let Some(event) = self.log.next_to_send() {
                batch.extend(outgoing(&FromKeeper::Event(event.clone())));
            } else {
                break;
            }
        }
        batch
    }
}
