//! What a store promises. None of this knows how a store works or could break.

pub(crate) mod linear;
pub(crate) mod log;
pub(crate) mod watch;

use argosy_kv::Revision;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No order of the requests for a key explains the answers.
    #[error("no order explains the answers for key {key}, the {requests} requests up to {last}")]
    NotLinearizable {
        /// The key.
        key: u64,
        /// How many requests were looked at.
        requests: usize,
        /// The last of them.
        last: String,
    },
    /// A request saw less than what had been answered before it was asked.
    #[error("{request} was answered from revision {seen} after revision {told} had been told")]
    Stale {
        /// The request.
        request: String,
        /// The revision of its answer.
        seen: Revision,
        /// The highest revision told before it was asked.
        told: Revision,
    },
    /// A request was told of a revision what is not so.
    #[error("{request} is not what revision {revision} has")]
    Untrue {
        /// The request.
        request: String,
        /// The revision.
        revision: Revision,
    },
    /// A member's reads of its own state went back.
    #[error("member {member} answered from revision {seen} after revision {told}")]
    WentBack {
        /// The member.
        member: usize,
        /// The revision of the answer.
        seen: Revision,
        /// That of an earlier one.
        told: Revision,
    },
    /// A write was acknowledged but is not there.
    #[error("{request} was acknowledged in revision {revision}, which is not so")]
    AcknowledgedLost {
        /// The request.
        request: String,
        /// The revision.
        revision: Revision,
    },
    /// Two members applied different entries for one index.
    #[error("member {member} applied another entry for index {index} than one did before")]
    LogDiverged {
        /// The member.
        member: usize,
        /// The index.
        index: u64,
    },
    /// A member left out an entry or applied one twice.
    #[error("member {member} applied index {index} after {before}")]
    LogSkipped {
        /// The member.
        member: usize,
        /// The index.
        index: u64,
        /// The one before.
        before: u64,
    },
    /// Two members are at one index with different states.
    #[error("the state of member {member} at index {index} is another than one was before")]
    StateDiffers {
        /// The member.
        member: usize,
        /// The index.
        index: u64,
    },
    /// A state breaks a rule.
    #[error("the state of member {member} breaks a rule: {rule}")]
    BrokenState {
        /// The member.
        member: usize,
        /// The rule.
        rule: String,
    },
    /// Two members led in one term.
    #[error("members {first} and {second} led in term {term}")]
    TwoLeaders {
        /// The term.
        term: u64,
        /// One.
        first: usize,
        /// The other.
        second: usize,
    },
    /// A watcher was told something else than what happened.
    #[error("watcher {watcher}: {what}")]
    Watch {
        /// The watcher.
        watcher: usize,
        /// What was wrong.
        what: String,
    },
    /// A member gave up.
    #[error("member {member} gave up: {error}")]
    GaveUp {
        /// The member.
        member: usize,
        /// Its last words.
        error: String,
    },
    /// A member did not start from an undamaged disk.
    #[error("member {member} did not start: {error}")]
    DidNotStart {
        /// The member.
        member: usize,
        /// Why.
        error: String,
    },
    /// The store did not recover after everything was healed.
    #[error("some time after everything was healed, {what}")]
    Stuck {
        /// What is not as it should be.
        what: String,
    },
}
