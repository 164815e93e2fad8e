//! What keeper and supervisor say to each other.

use std::fmt;
use std::time::Duration;

use argosy_model::{ExitOutcome, UnitName};

use crate::{ExecStep, SpawnRecord};

/// One process to be started, for ever. The supervisor chooses it; [`Hello::last_spawn_id`] says
/// which are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpawnId(pub u64);

/// Supervisor to keeper: one atomic step. Either all of it has happened or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Every event up to this number has been worked into `states`; 0 for none. Never lower than
    /// in an earlier commit.
    pub acknowledged: u64,
    /// Units whose stored state changes.
    pub states: Vec<StateChange>,
    /// What to do, in this order, after `states` are stored.
    pub actions: Vec<Action>,
    /// After [`FromKeeper::Shutdown`]: all units are stopped, the keeper may end.
    pub done: bool,
}

/// A new state of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The unit.
    pub unit: UnitName,
    /// The state, opaque to the keeper; `None` deletes it.
    pub state: Option<Vec<u8>>,
}

/// Something the keeper does for the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Starts a process. Answered by `Spawned` and then `Executed` or `SpawnFailed`, or by
    /// `SpawnFailed` alone. A spawn id used before is ignored.
    Spawn(Box<SpawnRecord>),
    /// Sends a signal to one process; nothing happens if it has ended.
    SignalProcess {
        /// The process.
        spawn_id: SpawnId,
        /// The signal's number.
        signal: i32,
    },
    /// Sends a signal to every process of a unit.
    SignalGroup {
        /// The unit.
        unit: UnitName,
        /// The signal's number.
        signal: i32,
    },
    /// Kills every process of a unit and goes on until none is left. Answered by `GroupEmpty`
    /// unless the unit had none.
    KillGroup {
        /// The unit.
        unit: UnitName,
    },
    /// Removes a unit's group as soon as it is empty.
    RemoveGroup {
        /// The unit.
        unit: UnitName,
    },
    /// Kills what an earlier keeper left of a unit. Answered by `LeftoverGone`.
    KillLeftover {
        /// The unit.
        unit: UnitName,
    },
    /// Gives up the output before this position.
    ReleaseSpool {
        /// The unit.
        unit: UnitName,
        /// The first position still needed: a [`crate::SpoolFrame::next`].
        through: u64,
    },
    /// Removes a unit's state, notify socket, spool with all that is unread in it, and group once
    /// it is empty. Its running processes run on and are still reported.
    ForgetUnit {
        /// The unit.
        unit: UnitName,
    },
}

/// Keeper to supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromKeeper {
    /// All the keeper holds; always the first message. Events not acknowledged follow.
    Hello(Box<Hello>),
    /// Something happened. Repeated to every later supervisor until acknowledged.
    Event(Event),
    /// A unit has new output. Not logged: a later one replaces it.
    SpoolAdvanced {
        /// The unit.
        unit: UnitName,
        /// What can be read now. For a unit not in [`Hello::units`] it tells where to begin.
        range: SpoolRange,
    },
    /// Stop all units in order, then send a commit with `done`.
    Shutdown {
        /// When the keeper kills what is left, on CLOCK_BOOTTIME.
        deadline: Duration,
    },
}

/// All the keeper holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The kernel's random id of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The keeper's process.
    pub keeper_pid: u32,
    /// How processes are grouped.
    pub group_mode: GroupMode,
    /// The highest event number acknowledged so far.
    pub acknowledged: u64,
    /// The highest spawn id ever used; the next one must be higher.
    pub last_spawn_id: SpawnId,
    /// Whether it holds fences. One from before there were any would start a fenced unit without.
    pub fences: bool,
    /// Units with a state or a spool, sorted by name.
    pub units: Vec<UnitRecord>,
    /// Processes that run, or whose end is not acknowledged yet.
    pub processes: Vec<ProcessRecord>,
    /// Units of an earlier, killed keeper that still run. Their outcome is unknown.
    pub leftover: Vec<Leftover>,
}

/// What the keeper holds of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRecord {
    /// The unit.
    pub unit: UnitName,
    /// Its state as last committed.
    pub state: Option<Vec<u8>>,
    /// Its unread output. An earlier keeper's unread output is still there.
    pub spool: Option<SpoolRange>,
}

/// The part of a spool that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolRange {
    /// The first position not released.
    pub begin: u64,
    /// The position behind the last frame.
    pub end: u64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its spawn id.
    pub spawn_id: SpawnId,
    /// Its unit.
    pub unit: UnitName,
    /// Its PID as the keeper sees it.
    pub pid: u32,
    /// Its start in clock ticks since boot (field 22 of proc_pid_stat(5)).
    pub start_ticks: u64,
    /// How it ended; `None` while it runs.
    pub exit: Option<ExitOutcome>,
}

/// Processes of a unit that an earlier keeper started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The unit.
    pub unit: UnitName,
    /// Its cgroup's directory, or the PID of its namespace's init, for people.
    pub group: String,
}

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// From 1, without gap over the keeper's life.
    pub seq: u64,
    /// When, on CLOCK_BOOTTIME.
    pub at: Duration,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A process exists; its program is not executed yet.
    Spawned {
        /// Which.
        spawn_id: SpawnId,
        /// Its PID as the keeper sees it.
        pid: u32,
        /// Its start in clock ticks since boot.
        start_ticks: u64,
    },
    /// A process could not be started. Nothing of it is left, and no `Exited` follows.
    SpawnFailed {
        /// Which.
        spawn_id: SpawnId,
        /// What failed.
        step: ExecStep,
        /// The kernel's error number.
        errno: i32,
    },
    /// execve(2) succeeded.
    Executed {
        /// Which.
        spawn_id: SpawnId,
    },
    /// A process ended. What it wrote is in the spool, and the `Hello` or `SpoolAdvanced` that
    /// covers it came before, as did what it notified. (If the spool is far beyond its limit, the
    /// rest waits in the pipe and comes later.)
    Exited {
        /// Which.
        spawn_id: SpawnId,
        /// How.
        outcome: ExitOutcome,
    },
    /// A message on the unit's notify socket (sd_notify(3)), lines separated by `\n`.
    Notify {
        /// The unit whose socket it came on.
        unit: UnitName,
        /// The sender, vouched for by the kernel.
        pid: u32,
        /// The message.
        text: String,
    },
    /// The last process of a unit's group has ended; comes after every `Exited` of the unit.
    GroupEmpty {
        /// The unit.
        unit: UnitName,
    },
    /// The grant under which a fenced unit ran is over, and the keeper ends what runs of it, or
    /// what an earlier keeper left of it. Comes before every `Exited` that this leads to.
    Fenced {
        /// The unit.
        unit: UnitName,
    },
    /// The last process that an earlier keeper left of a unit has ended.
    LeftoverGone {
        /// The unit.
        unit: UnitName,
    },
}

/// How processes of a unit are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupMode {
    /// cgroup v2 alone.
    V2,
    /// cgroup v2 beside v1 controllers: kill and events from v2.
    Hybrid,
    /// cgroup v1: the freezer, or the named hierarchy of systemd.
    V1,
    /// A PID namespace for each unit, within a user namespace for an ordinary user.
    PidNamespace,
    /// A variable in the environment, and descent: only where it was allowed, since a process can
    /// leave it.
    ProcessTree,
}

impl fmt::Display for GroupMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            GroupMode::V2 => "cgroup v2",
            GroupMode::Hybrid => "cgroup v2 beside v1",
            GroupMode::V1 => "cgroup v1",
            GroupMode::PidNamespace => "PID namespaces",
            GroupMode::ProcessTree => "process trees",
        })
    }
}
