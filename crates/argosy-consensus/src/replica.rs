//! One member of the replicated store: the raft library, the log in memory, and the state.

mod config;
mod effect;
mod guards;
mod input;
mod log_store;
mod membership_changes;
mod peers;
mod proposals;
mod pump;
mod reads;
mod snapshots;
mod status;
mod timeouts;

pub use config::{
    Config, ConfigError, ELECTION_TICKS, HEARTBEAT_TICKS, MAX_COMMAND_BYTES, READ_RETRY, Recovered,
    TICK,
};
pub use effect::{Effect, FatalError, WhyFailed};
pub use input::{Input, RequestId};
pub use status::{ReplicaStatus, Role};

use std::time::Duration;

use argosy_kv::State;

/// One member of the replicated store.
pub struct Replica {
    state: State,
}

impl Replica {
    /// Starts a member from what its disk holds. A member that is the only voter campaigns at
    /// once. `now` is any monotonic time, the same one that `handle` is given.
    ///
    /// # Errors
    /// When the recovered parts do not fit together.
    pub fn new(config: Config, recovered: Recovered, now: Duration) -> Result<Self, ConfigError> {
        let _ = (config, recovered, now);
        todo!()
    }

    /// Takes note of one input. Call it for all that have gathered, then
    /// [`Replica::take_effects`] once: that forms groups.
    pub fn handle(&mut self, input: Input, now: Duration) {
        let _ = (input, now);
        todo!()
    }

    /// Returns what is to be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        todo!()
    }

    /// Returns the state after the last `Applied` effect.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns what the replica says about itself.
    pub fn status(&self) -> ReplicaStatus {
        todo!()
    }

    /// Plants a defect, or none.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        let _ = bug;
        todo!()
    }
}
