//! Why something is not done: the one sentence a user reads.

use std::fmt;

/// Which link of the chain is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// The cluster has no machine that may take units.
    NoMachine,
    /// Every machine left runs something it conflicts with.
    Conflict,
    /// No machine has the metadata it asks for.
    Metadata,
    /// The machine that `MachineID=` or `MachineOf=` names is not there.
    MachineNamed,
    /// Its last machine may still run it until the fence has passed.
    FenceWait,
    /// Its data is on a machine that is not there.
    DataBound,
    /// It is placed, and its start failed.
    StartFailed,
    /// It is placed and being started, and not yet ready.
    NotReady,
    /// It is placed and was started, and does not run any more: it has ended well, or something
    /// else than the cluster stopped it.
    Ended,
    /// It runs, and the key it announces does not say so: a client has written something else.
    NotAnnounced,
    /// It runs, and no proxy carries traffic to it yet.
    NotRouted,
    /// It depends on a unit that is not there.
    Dependency,
    /// It is not wanted to run.
    NotWanted,
    /// Its stored record or text cannot be read, so nothing about it is changed.
    Unreadable,
}

impl ReasonKind {
    /// Returns the word used in JSON and in stored records.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonKind::NoMachine => "no-machine",
            ReasonKind::Conflict => "conflict",
            ReasonKind::Metadata => "metadata",
            ReasonKind::MachineNamed => "machine-named",
            ReasonKind::FenceWait => "fence-wait",
            ReasonKind::DataBound => "data-bound",
            ReasonKind::StartFailed => "start-failed",
            ReasonKind::NotReady => "not-ready",
            ReasonKind::Ended => "ended",
            ReasonKind::NotAnnounced => "not-announced",
            ReasonKind::NotRouted => "not-routed",
            ReasonKind::Dependency => "dependency",
            ReasonKind::NotWanted => "not-wanted",
            ReasonKind::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A stored reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which link is broken.
    pub kind: ReasonKind,
    /// One sentence, with the names it is about.
    pub sentence: String,
    /// What each machine said, one line each, sorted by machine name.
    pub candidates: Vec<String>,
}
