//! Groups of units: signalled, killed, watched until they are empty, removed.

use std::io;
use std::time::Duration;

use argosy_model::UnitName;
use rustix::process::{Pid, kill_process};

use super::fence::unmark;
use super::unit::UnitGroup;
use super::{Keeper, boottime, complain, say};
use crate::group::signal_of;
use crate::{EventKind, Leftover, SpawnId};

/// How often a group is looked at that cannot say itself when it is empty, or that is being
/// killed or removed.
const GROUP_CHECK: Duration = Duration::from_millis(50);

/// How often a group is killed again at first, and for how many times: most are empty after one
/// or two, and a fence has promised when. What is left then hangs in the kernel.
const KILL_CHECK: Duration = Duration::from_millis(5);
const KILL_CHECKS: u32 = 20;

/// How often groups of an earlier keeper are looked at: nobody waits for them.
const LEFTOVER_CHECK: Duration = Duration::from_secs(1);

impl Keeper {
    /// Sends a signal to one process that is not reaped yet, so its PID is its own.
    pub(super) fn signal_process(&mut self, spawn_id: SpawnId, signal: i32) {
        let Some(process) = self.processes.get(&spawn_id) else { return };
        if process.exit.is_none() {
            self.signal_pid(process.pid, signal);
        }
    }

    fn signal_pid(&self, pid: i32, signal: i32) {
        let sent = signal_of(signal).and_then(|signal| {
            let pid =
                Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
            Ok(kill_process(pid, signal)?)
        });
        if let Err(error) = sent {
            say(format_args!("cannot send signal {signal} to process {pid}: {error}"));
        }
    }

    /// Sends a signal to every process of a unit.
    pub(super) fn signal_group(&mut self, name: &UnitName, signal: i32) {
        let group = self.units.get(name).and_then(|unit| unit.group.as_ref());
        if let Some(Err(error)) = group.map(|group| group.group.signal(signal)) {
            complain("a group is not signalled", &error);
        }
        // One just forked may not have joined its group yet.
        self.signal_outside(name, signal);
    }

    /// Kills every process of a unit that the keeper has started and not reaped, be it in the
    /// group or not.
    fn kill_children(&self, name: &UnitName) {
        for process in self.pids.values().filter_map(|spawn_id| self.processes.get(spawn_id)) {
            if process.unit == *name {
                self.signal_pid(process.pid, libc::SIGKILL);
            }
        }
    }

    /// Signals those of a unit's processes that have not executed their program yet.
    fn signal_outside(&self, name: &UnitName, signal: i32) {
        for process in self.starting.iter().filter_map(|spawn_id| self.processes.get(spawn_id)) {
            if process.unit == *name {
                self.signal_pid(process.pid, signal);
            }
        }
    }

    /// Kills every process of a unit, now and at every check until none is left.
    pub(super) fn kill_group(&mut self, name: &UnitName) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let live = unit.live > 0;
        if let Some(group) = unit.group.as_mut().filter(|group| live || group.populated) {
            group.killing = Some(0);
            kill_once(group);
            self.kill_children(name);
            self.check_group_later(KILL_CHECK);
        }
    }

    /// Removes a unit's group once it is empty.
    pub(super) fn remove_group_when_empty(&mut self, name: &UnitName) {
        if let Some(group) = self.units.get_mut(name).and_then(|unit| unit.group.as_mut()) {
            group.remove = true;
            self.check_group(name);
        }
    }

    /// Looks whether a group is empty, and says so once. A group is not called empty before the
    /// keeper has reaped every process it has started in it.
    pub(super) fn check_group(&mut self, name: &UnitName) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let live = unit.live > 0;
        let Some(group) = &mut unit.group else { return self.discard_if_idle(name) };
        // Asked even when it does not matter: reading is what rearms the kernel's event.
        let empty = match group.group.is_empty() {
            Ok(empty) => empty,
            // Somebody else removed the group, which only works with an empty one.
            Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)),
        };
        if live || !empty {
            if group.killing.is_some() || (!live && (group.token.is_none() || group.remove)) {
                let soon = group.killing.is_some_and(|times| times < KILL_CHECKS);
                self.check_group_later(if soon { KILL_CHECK } else { GROUP_CHECK });
            }
            return;
        }
        group.killing = None;
        let remove = group.remove;
        if std::mem::take(&mut group.populated) {
            self.push_event(EventKind::GroupEmpty { unit: name.clone() });
        }
        if remove && self.remove_group(name).is_err() {
            self.check_group_later(GROUP_CHECK);
        }
        self.discard_if_idle(name);
    }

    /// Removes a unit's group at once.
    pub(super) fn remove_group(&mut self, name: &UnitName) -> io::Result<()> {
        let Some(unit) = self.units.get_mut(name) else { return Ok(()) };
        let Some(group) = &mut unit.group else { return Ok(()) };
        match group.group.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let (Some(token), Some(events)) = (group.token, group.group.events()) {
            self.poller.remove(events, token);
        }
        if group.marked {
            unmark(&self.runtime, group.group.name());
        }
        unit.group = None;
        Ok(())
    }

    fn check_group_later(&mut self, pause: Duration) {
        let at = boottime() + pause;
        self.group_check_at = Some(self.group_check_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Looks at every group that needs it, and goes on killing.
    pub(super) fn check_groups(&mut self) {
        let names: Vec<UnitName> = self
            .units
            .iter()
            .filter(|(_, unit)| {
                unit.group.as_ref().is_some_and(|group| {
                    let kills = group.killing.is_some();
                    kills || group.remove || (group.populated && group.token.is_none())
                })
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            if let Some(group) = self.units.get_mut(&name).and_then(|unit| unit.group.as_mut())
                && let Some(times) = &mut group.killing
            {
                *times += 1;
                kill_once(group);
                self.kill_children(&name);
            }
            self.check_group(&name);
        }
    }

    /// Tells whether any unit still has a process, be it of an earlier keeper.
    pub(super) fn any_process(&self) -> bool {
        let populated = |group: &UnitGroup| group.populated;
        !self.leftover.is_empty()
            || self
                .units
                .values()
                .any(|unit| unit.live > 0 || unit.group.as_ref().is_some_and(populated))
    }

    /// Kills what an earlier keeper left of a unit.
    pub(super) fn kill_leftover(&mut self, name: &UnitName) {
        for found in self.leftover.iter_mut().filter(|found| found.unit == *name) {
            if let Err(error) = found.group.kill() {
                complain("a leftover group is not killed", &error);
            }
        }
        self.leftover_check_at = Some(boottime() + GROUP_CHECK);
    }

    /// Removes leftover groups that have become empty; kills them when all is to end.
    pub(super) fn check_leftover(&mut self) {
        let found = std::mem::take(&mut self.leftover);
        let all = self.kills_all();
        let mut kill = all;
        for mut found in found {
            let fenced = found.fenced;
            kill |= fenced;
            if (all || fenced)
                && let Err(error) = found.group.kill()
            {
                complain("a leftover group is not killed, it is tried again", &error);
            }
            let empty = found.group.is_empty().unwrap_or(true);
            if empty && found.group.remove().is_ok() {
                if fenced {
                    unmark(&self.runtime, found.group.name());
                }
                let unit = found.unit;
                if !self.leftover.iter().any(|other| other.unit == unit) {
                    self.push_event(EventKind::LeftoverGone { unit });
                }
            } else {
                self.leftover.push(found);
            }
        }
        let pause = if kill { GROUP_CHECK } else { LEFTOVER_CHECK };
        self.leftover_check_at = (!self.leftover.is_empty()).then(|| boottime() + pause);
    }

    /// Returns what an earlier keeper left, for the supervisor.
    pub(super) fn leftover(&self) -> Vec<Leftover> {
        let leftover = self.leftover.iter();
        leftover
            .map(|found| Leftover { unit: found.unit.clone(), group: found.group.describe() })
            .collect()
    }
}

fn kill_once(group: &mut UnitGroup) {
    match group.group.kill() {
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
            complain("a group is not killed, it is tried again", &error);
        }
        _ => {}
    }
}
