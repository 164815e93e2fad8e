//! The port to the durable copy of the whole state.

use argosy_kv::State;

use crate::membership::Membership;

/// The state after one log index, with everything that must be committed together with it.
///
/// A store writes all of it in one storage transaction: a state without its index, or an
/// index without its membership, would apply entries twice or with the wrong quorum.
#[derive(Clone)]
pub struct Checkpoint {
    /// The last index applied to `state`, equal to `state.applied_index()`.
    pub applied: u64,
    /// The term of the entry at `applied`.
    pub term: u64,
    /// Who votes, as of `applied`.
    pub membership: Membership,
    /// The state; cloning it is O(1).
    pub state: State,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("applied", &self.applied)
            .field("term", &self.term)
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Returns the checkpoint a new store begins with: an empty state at index 1 of term 1.
    ///
    /// It begins at 1 and not at 0 so that a blank member that joins later can never build
    /// its log from entries alone: it always receives a snapshot, and the membership with it.
    pub fn initial(membership: Membership) -> Self {
        let mut state = State::new();
        state.advance(1, 1);
        Self { applied: 1, term: 1, membership, state }
    }
}

/// A checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The stored checkpoint could not be read.
    #[error("cannot read the checkpoint at {place}")]
    Load {
        /// Where it is stored.
        place: String,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The checkpoint could not be written.
    #[error("cannot write the checkpoint of index {applied} to {place}")]
    Write {
        /// Where it is stored.
        place: String,
        /// The index it would have carried.
        applied: u64,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keeps one checkpoint durably.
pub trait CheckpointStore {
    /// Returns the last checkpoint that was written completely, or `None` for a new store.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    fn load(&mut self) -> Result<Option<Checkpoint>, CheckpointError>;

    /// Replaces the stored checkpoint, durably and in one transaction, when it returns.
    ///
    /// An implementation writes only what changed since the one it holds.
    ///
    /// # Errors
    /// When the storage fails; the old checkpoint is then still whole.
    fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;
}
