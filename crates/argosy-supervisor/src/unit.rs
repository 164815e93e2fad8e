//! One unit: its text, its state, its processes and its job.

mod control;
mod exit;
mod fence;
mod notify;
mod process;
mod start;
mod stop;
mod timer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::{
    ActiveState, ExitOutcome, InvocationId, ServiceSpec, ServiceType, SubState, Timeout, UnitKind,
    UnitName, UnitResult, UnitStatus, UnixMicros,
};

pub(crate) use process::{Control, KillOperation, Process};
pub(crate) use start::StartAnswer;

use crate::ids::Ids;
use crate::job::Job;
use crate::{Command, Loaded, Now};

/// What the service last said about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Notified {
    #[default]
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

/// A change of a unit's state that the job queue still has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) unit: UnitName,
    pub(crate) from: ActiveState,
    pub(crate) to: ActiveState,
    pub(crate) reload_result: UnitResult,
    pub(crate) result: UnitResult,
}

/// What a unit's machine works with during one event.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) ids: &'a mut Ids,
    pub(crate) commands: &'a mut Vec<Command>,
    pub(crate) transitions: &'a mut VecDeque<Transition>,
    /// Set when a unit's restart delay is over: the job queue restarts it.
    pub(crate) restarts_due: &'a mut Vec<UnitName>,
}

/// Starts counted against `StartLimitBurst=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StartLimit {
    pub(crate) begin: Option<Duration>,
    pub(crate) count: u32,
}

impl StartLimit {
    /// Counts a start; false when there were too many within the interval.
    fn admit(&mut self, now: Duration, service: &ServiceSpec) -> bool {
        if service.start_limit_interval.is_zero() || service.start_limit_burst == 0 {
            return true;
        }
        match self.begin {
            Some(begin) if now.saturating_sub(begin) <= service.start_limit_interval => {
                if self.count >= service.start_limit_burst {
                    return false;
                }
                self.count += 1;
            }
            _ => *self = StartLimit { begin: Some(now), count: 1 },
        }
        true
    }

    /// Takes the last start back: it was not allowed to be one.
    pub(crate) fn take_back(&mut self) {
        self.count = self.count.saturating_sub(1);
        self.begin = self.begin.filter(|_| self.count > 0);
    }
}

/// One unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    pub(crate) name: UnitName,
    /// The text in force.
    pub(crate) loaded: Arc<Loaded>,
    /// A newer text, in force from the next start on.
    pub(crate) next: Option<Arc<Loaded>>,
    pub(crate) state: SubState,
    pub(crate) result: UnitResult,
    pub(crate) reload_result: UnitResult,
    pub(crate) main: Option<Process>,
    /// Which `ExecStart=` the main process runs.
    pub(crate) main_index: usize,
    /// A main process named by `MAINPID=` that is not the one started.
    pub(crate) foreign_main: Option<u32>,
    pub(crate) control: Option<Control>,
    pub(crate) main_exit: Option<ExitOutcome>,
    pub(crate) restarts: u32,
    /// The counter is shown until the next start, which clears it.
    pub(crate) flush_restarts: bool,
    pub(crate) forbid_restart: bool,
    pub(crate) start_limit: StartLimit,
    /// The deadline of the present state, on CLOCK_BOOTTIME.
    pub(crate) timer: Option<Duration>,
    pub(crate) watchdog: Option<Duration>,
    /// When the unit last became active: `RuntimeMaxSec=` counts from here.
    pub(crate) active_since: Option<Duration>,
    /// `WATCHDOG_USEC=` said by the service.
    pub(crate) watchdog_span: Option<Duration>,
    pub(crate) notified: Notified,
    /// Whether the unit's group has processes, as far as is known.
    pub(crate) populated: bool,
    /// Whether there is a group to remove.
    pub(crate) grouped: bool,
    /// Whether processes of an earlier keeper still run.
    pub(crate) leftover: bool,
    pub(crate) invocation: Option<InvocationId>,
    pub(crate) since: UnixMicros,
    pub(crate) status_text: Option<String>,
    pub(crate) errno: Option<i32>,
    pub(crate) detail: String,
    pub(crate) job: Option<Job>,
    /// When the cluster last ordered a start of it, on CLOCK_BOOTTIME; zero if never.
    pub(crate) ordered_at: Duration,
}

impl Unit {
    pub(crate) fn new(loaded: Arc<Loaded>) -> Unit {
        Unit {
            name: loaded.spec.name.clone(),
            loaded,
            next: None,
            state: SubState::Dead,
            result: UnitResult::Success,
            reload_result: UnitResult::Success,
            main: None,
            main_index: 0,
            foreign_main: None,
            control: None,
            main_exit: None,
            restarts: 0,
            flush_restarts: false,
            forbid_restart: false,
            start_limit: StartLimit::default(),
            timer: None,
            watchdog: None,
            active_since: None,
            watchdog_span: None,
            notified: Notified::Nothing,
            populated: false,
            grouped: false,
            leftover: false,
            invocation: None,
            since: UnixMicros::default(),
            status_text: None,
            errno: None,
            detail: String::new(),
            job: None,
            ordered_at: Duration::ZERO,
        }
    }

    pub(crate) fn service(&self) -> &ServiceSpec {
        &self.loaded.spec.service
    }

    /// The text that the next start takes.
    pub(crate) fn newest(&self) -> &Arc<Loaded> {
        self.next.as_ref().unwrap_or(&self.loaded)
    }

    /// A target has nothing to run: it is a oneshot without a command that remains.
    pub(crate) fn service_type(&self) -> ServiceType {
        match self.name.kind() {
            UnitKind::Target => ServiceType::Oneshot,
            _ => self.service().service_type,
        }
    }

    pub(crate) fn remains(&self) -> bool {
        self.name.kind() == UnitKind::Target || self.service().remain_after_exit
    }

    pub(crate) fn active(&self) -> ActiveState {
        self.state.active()
    }

    /// Neither runs nor is about to.
    pub(crate) fn at_rest(&self) -> bool {
        matches!(self.state, SubState::Dead | SubState::Failed)
    }

    /// Has nothing left to stop, and nothing left to find out about its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.at_rest() && !self.leftover && self.result != UnitResult::Unknown
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.active(), ActiveState::Active | ActiveState::Reloading)
    }

    /// Enters a state and drops the deadlines that do not belong to it.
    pub(crate) fn set_state(&mut self, state: SubState, step: &mut Step<'_>) {
        let from = self.active();
        if matches!(state, SubState::Dead | SubState::Failed | SubState::Exited) {
            self.timer = None;
        }
        if matches!(state, SubState::Dead | SubState::Failed | SubState::AutoRestart) {
            self.main = None;
            self.foreign_main = None;
            self.control = None;
        }
        let watched = matches!(state, SubState::StartPost | SubState::Running | SubState::Reload);
        if !watched {
            self.watchdog = None;
        }
        if state != self.state {
            self.since = step.now.wall;
        }
        self.state = state;
        let was_active = matches!(from, ActiveState::Active | ActiveState::Reloading);
        if self.is_active() && !was_active {
            self.active_since = Some(step.now.boottime);
        }
        step.transitions.push_back(Transition {
            unit: self.name.clone(),
            from,
            to: self.active(),
            reload_result: self.reload_result,
            result: self.result,
        });
        if self.at_rest() || state == SubState::Exited {
            self.drop_group(step);
        }
    }

    /// Removes the group once nothing is in it and nothing will be.
    pub(crate) fn drop_group(&mut self, step: &mut Step<'_>) {
        if self.grouped && !self.populated && self.main.is_none() && self.control.is_none() {
            self.grouped = false;
            step.commands.push(Command::RemoveGroup { unit: self.name.clone() });
        }
    }

    pub(crate) fn arm(&mut self, span: Timeout, step: &Step<'_>) {
        self.timer = span.duration().map(|span| step.now.boottime.saturating_add(span));
    }

    /// Keeps the first thing that went wrong.
    pub(crate) fn note(&mut self, result: UnitResult) {
        if self.result == UnitResult::Success {
            self.result = result;
        }
    }

    /// The PID of the main process, if one is alive.
    pub(crate) fn main_pid(&self) -> Option<u32> {
        self.foreign_main.or_else(|| self.main.and_then(|main| main.born).map(|(pid, _)| pid))
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match (self.timer, self.watchdog) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn status(&self) -> UnitStatus {
        let ticks = match self.foreign_main {
            Some(_) => None,
            None => self.main.and_then(|main| main.born).map(|(_, ticks)| ticks),
        };
        // A run is known by what it was started with, whatever was given since for the next one.
        let source = match self.at_rest() {
            true => &self.newest().source,
            false => &self.loaded.source,
        };
        UnitStatus {
            unit: self.name.clone(),
            revision: source.revision,
            epoch: source.epoch,
            restart: source.restart,
            sub: self.state,
            result: self.result,
            main_pid: self.main_pid(),
            main_start_ticks: ticks,
            main_exit: self.main_exit,
            restarts: self.restarts,
            invocation: self.invocation,
            since: self.since,
            status_text: self.status_text.clone(),
            detail: self.detail.clone(),
        }
    }
}
