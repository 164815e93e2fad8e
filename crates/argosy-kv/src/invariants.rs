//! What is true of every state: for the simulator, tests and assertions.

use crate::State;

/// A state breaks a rule that no state may break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// Where, and how.
    pub detail: String,
}

/// Checks every rule. Takes time in proportion to the whole state.
pub fn check(_state: &State) -> Result<(), Violation> {
    todo!()
}

/// Returns a hash of all that a client can see: equal on all replicas at the same index. Takes
/// time in proportion to the whole state.
pub fn hash(_state: &State) -> u64 {
    todo!()
}
