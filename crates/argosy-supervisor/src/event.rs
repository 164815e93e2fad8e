//! What the supervisor is told.

use std::time::Duration;

use argosy_model::{ExitOutcome, UnitName, UnixMicros};

/// The time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME. Every deadline is measured by it.
    pub boottime: Duration,
    /// The wall clock, for display only.
    pub wall: UnixMicros,
}

/// A process that was or will be started, chosen by the supervisor, unique since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpawnId(pub u64);

/// Whoever asked for a job and may wait for it. Forgotten when the supervisor restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is asked of a unit, systemctl(1)'s verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Start it and what it requires.
    Start,
    /// Stop it and what requires it.
    Stop,
    /// Stop it if it runs, then start it; what requires it and runs follows.
    Restart,
    /// Run `ExecReload=`.
    Reload,
    /// Leave `failed`, forget restarts and the start limit.
    ResetFailed,
}

/// Whose process a kill request signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KillWhom {
    /// Every process of the unit.
    All,
    /// The main process.
    Main,
    /// The control process.
    Control,
}

/// Why a process could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The exit code that systemd.exec(5) "PROCESS EXIT CODES" gives the failed step, 200 to
    /// 243; `None` when not even a process could be made, which is `resources`.
    pub status: Option<u8>,
    /// One line for people, with the object: a path, a user.
    pub detail: String,
}

/// A process the keeper holds, as told when the supervisor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptProcess {
    /// Its id.
    pub spawn: SpawnId,
    /// Its PID.
    pub pid: u32,
    /// Its start time in clock ticks since boot.
    pub start_ticks: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody asks for a job.
    Request {
        /// Who asks; named again in [`Command::JobDone`](crate::Command::JobDone).
        request: RequestId,
        /// The unit.
        unit: UnitName,
        /// What to do.
        verb: Verb,
    },
    /// The cluster has ordered a start of the unit at this time, on CLOCK_BOOTTIME; the request for
    /// it follows. Every run from now on, until a later order, counts as ordered then: those that
    /// `Restart=`, another unit or somebody on the machine leads to, too.
    Ordered {
        /// The unit.
        unit: UnitName,
        /// When.
        at: Duration,
    },
    /// Somebody asks for a signal.
    Kill {
        /// The unit.
        unit: UnitName,
        /// The signal number.
        signal: i32,
        /// Whose processes.
        whom: KillWhom,
    },
    /// A process exists.
    Spawned {
        /// Which.
        spawn: SpawnId,
        /// Its PID.
        pid: u32,
        /// Its start time in clock ticks since boot.
        start_ticks: u64,
    },
    /// A process could not be started, or not execute its program. No `Exited` follows.
    SpawnFailed {
        /// Which.
        spawn: SpawnId,
        /// Why.
        failure: SpawnFailure,
    },
    /// A process was not started: its unit is fenced, and there is no grant, or none that was in
    /// force when the unit was ordered, or the machine has no fence. No `Exited` follows.
    SpawnFenced {
        /// Which.
        spawn: SpawnId,
        /// The machine has no fence that could end it, so that no grant helps.
        never: bool,
    },
    /// The grant of a fenced unit is over: the keeper ends all of it. Comes before every end of a
    /// process that this leads to. It was every fenced unit's: starts of them that still wait for
    /// their turn are ended too.
    Fenced {
        /// The unit.
        unit: UnitName,
    },
    /// A process executes its program.
    Executed {
        /// Which.
        spawn: SpawnId,
    },
    /// A process has ended.
    Exited {
        /// Which.
        spawn: SpawnId,
        /// How.
        outcome: ExitOutcome,
    },
    /// A process of the unit sent a message (sd_notify(3)).
    Notify {
        /// The unit.
        unit: UnitName,
        /// The sender, as the kernel says.
        pid: u32,
        /// `KEY=VALUE` lines.
        text: String,
    },
    /// The last process of the unit is gone.
    GroupEmpty {
        /// The unit.
        unit: UnitName,
    },
    /// Processes of the unit that an earlier keeper started still run; nobody can tell how they
    /// will end.
    LeftoverFound {
        /// The unit.
        unit: UnitName,
    },
    /// The last of them is gone.
    LeftoverGone {
        /// The unit.
        unit: UnitName,
    },
    /// Time has passed; every deadline that is due is acted on.
    Deadline,
    /// Stop every unit in order, and start none any more.
    Shutdown,
}
