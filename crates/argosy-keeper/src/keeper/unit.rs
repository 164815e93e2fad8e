//! What the keeper holds of one unit and of one process.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use argosy_model::{ExitOutcome, UnitName};

use super::poller::Token;
use crate::exec::SpawnError;
use crate::group::Group;
use crate::spool::Spool;

/// What the keeper holds of one unit.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The supervisor's bytes.
    pub(super) state: Option<Vec<u8>>,
    pub(super) spool: Option<Spool>,
    pub(super) notify: Option<NotifySocket>,
    pub(super) group: Option<UnitGroup>,
    /// Processes started and not reaped yet.
    pub(super) live: usize,
    /// Output pipes still open.
    pub(super) pipes: usize,
    /// Its last process was started as a fenced one, and the fence has not ended it since.
    pub(super) fenced: bool,
}

impl Unit {
    /// Tells whether nothing is held any more.
    pub(super) fn is_idle(&self) -> bool {
        self.state.is_none()
            && self.spool.is_none()
            && self.notify.is_none()
            && self.group.is_none()
            && self.live == 0
            && self.pipes == 0
    }
}

/// The socket that a unit's processes notify the supervisor on.
#[derive(Debug)]
pub(super) struct NotifySocket {
    pub(super) fd: OwnedFd,
    pub(super) token: Token,
    pub(super) path: PathBuf,
    /// Not read while too many events wait.
    pub(super) paused: bool,
}

/// A unit's group.
#[derive(Debug)]
pub(super) struct UnitGroup {
    pub(super) group: Group,
    pub(super) token: Option<Token>,
    /// A process was started since the last `GroupEmpty`.
    pub(super) populated: bool,
    /// To be killed until it is empty: how often it was so far.
    pub(super) killing: Option<u32>,
    /// To be removed once it is empty.
    pub(super) remove: bool,
    /// The next keeper is told that it is fenced.
    pub(super) marked: bool,
}

/// One process that was started; kept until its end is acknowledged.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) unit: UnitName,
    pub(super) pid: i32,
    pub(super) start_ticks: u64,
    pub(super) exit: Option<ExitOutcome>,
    /// Closed by a successful execve.
    pub(super) report: Option<(OwnedFd, Token)>,
    /// Why it is not what was asked for.
    pub(super) failure: Option<SpawnError>,
}
