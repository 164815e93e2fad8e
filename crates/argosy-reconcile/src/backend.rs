//! The unit backend port: what runs units on one machine, be it ours, systemd or a simulation.
//!
//! A backend keeps, with each unit it was given, the [`RunIdentity`] it was given for, and
//! reports it in every status. It stores the identity together with the run it leads to, so
//! that its own restart, and that of whoever drives it, neither loses nor repeats a start.

use std::time::Duration;

use argosy_model::{
    ActiveState, Epoch, RestartCount, UnitName, UnitResult, UnitRevision, UnitStatus,
};

/// Which connection to a backend. Ordered: a later one has a higher number, also over the restarts
/// of whoever connects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub u64);

/// Which run of a unit is meant. Ordered: a later one replaces an earlier one, never the other
/// way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunIdentity {
    /// The right to run it.
    pub epoch: Epoch,
    /// Which text.
    pub revision: UnitRevision,
    /// How often a restart was asked for.
    pub restart: RestartCount,
}

impl RunIdentity {
    /// Returns the identity a status reports.
    pub fn of(status: &UnitStatus) -> RunIdentity {
        let UnitStatus { epoch, revision, restart, .. } = status;
        RunIdentity { epoch: *epoch, revision: *revision, restart: *restart }
    }
}

/// Tells whether a unit was ended by its fence, or not started for want of a grant, and nothing of
/// it is left: then a start of the run it had is one again.
pub fn ended_by_fence(status: &UnitStatus) -> bool {
    status.active() == ActiveState::Failed && status.result == UnitResult::Fenced
}

/// What is asked of a backend. Requests are carried out in the order given, and each may be
/// repeated without effect.
///
/// A request belongs to the connection whose words it was decided on. Once a later connection has
/// begun, those of earlier ones are dropped: the snapshot that it began with does not show what
/// they would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendRequest {
    /// Load the text under the name, keep it, and start it.
    ///
    /// - An identity later than the one it has: take over text and identity; a unit that runs
    ///   is restarted, once; any other is started.
    /// - The same identity: nothing, unless the unit was not started since the machine's boot
    ///   (its status has no invocation) or was ended by its fence ([`ended_by_fence`]); then start
    ///   it.
    /// - An earlier identity: [`BackendEvent::Refused`].
    ///
    /// A unit that stops on partition is not started under a grant that began after `ordered_at`:
    /// it takes over text and identity, and ends as by its fence.
    Start {
        /// The unit.
        unit: UnitName,
        /// Its text; a template's for an instance.
        text: String,
        /// Which run is meant.
        identity: RunIdentity,
        /// Variables added to the unit's environment: name and value.
        environment: Vec<(String, String)>,
        /// When this was decided, on CLOCK_BOOTTIME. So does every later run count that follows
        /// from it, as by `Restart=`.
        ordered_at: Duration,
    },
    /// Stop it, or call off its start if that waits for its turn. A unit with a later epoch runs on, with [`BackendEvent::Refused`]; one that is
    /// not loaded answers [`BackendEvent::Gone`].
    Stop {
        /// The unit.
        unit: UnitName,
        /// The epoch told to stop, and every earlier one.
        epoch: Epoch,
    },
    /// Unload a unit that is stopped and remove its stored text, with [`BackendEvent::Gone`],
    /// also if there is none. A start that waits for its turn is called off. One that runs stays,
    /// with [`BackendEvent::Refused`].
    Forget {
        /// The unit.
        unit: UnitName,
    },
}

impl BackendRequest {
    /// Returns the unit it is about.
    pub fn unit(&self) -> &UnitName {
        match self {
            BackendRequest::Start { unit, .. }
            | BackendRequest::Stop { unit, .. }
            | BackendRequest::Forget { unit } => unit,
        }
    }
}

/// What a backend tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendEvent {
    /// All units given to it through this port, as they are now. The first event of every
    /// connection, and only the first; it replaces everything told before.
    Snapshot(Connection, Vec<UnitStatus>),
    /// A unit has changed.
    Changed(UnitStatus),
    /// A unit is not loaded any more.
    Gone(UnitName),
    /// A request was not carried out; nothing has changed by it.
    Refused {
        /// The unit.
        unit: UnitName,
        /// Why, one line for people.
        message: String,
    },
    /// The backend cannot be reached. Nothing is known until the next snapshot.
    Disconnected,
}
