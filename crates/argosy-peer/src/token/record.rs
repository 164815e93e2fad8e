//! What the cluster keeps of a token, and how it decides about a join.

use std::time::Duration;

use argosy_model::{MachineId, UnixMicros};

use super::{JoinRole, TokenSecret};
use crate::KeyHash;

/// The machine that used a token up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedBy {
    /// The machine.
    pub machine: MachineId,
    /// The key it joined with.
    pub key: KeyHash,
}

/// What the cluster stores of a token. Whoever reads it still cannot join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its name.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// From then on it is refused.
    pub expires: UnixMicros,
    /// What the machine may become.
    pub role: JoinRole,
    /// Who used it.
    pub used_by: Option<UsedBy>,
}

/// How a token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// For the first time: store [`TokenRecord::used`] by compare-and-set before answering.
    First,
    /// Again, by the machine and key that used it already, whose answer was lost: answer anew
    /// and store nothing.
    Again,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// The secret does not belong to the record.
    #[error("the join token is not known; make a new one with: argosy cluster token create")]
    Unknown,
    /// Its time is over.
    #[error("the join token has expired; make a new one with: argosy cluster token create")]
    Expired,
    /// Another machine, or another key, used it.
    #[error(
        "the join token was used by machine {machine}; make a new one with: argosy cluster token create"
    )]
    Used {
        /// By whom.
        machine: MachineId,
    },
}

impl TokenRecord {
    /// Decides whether `machine` with `key` may join with `secret` at `now`. The secret is
    /// compared in constant time and before anything is told about the record.
    pub fn check(
        &self,
        secret: &TokenSecret,
        machine: MachineId,
        key: KeyHash,
        now: UnixMicros,
    ) -> Result<TokenUse, TokenRefusal> {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal;
        if same(&self.secret_hash, &secret.hash()).is_err() {
            return Err(TokenRefusal::Unknown);
        }
        if now >= self.expires {
            return Err(TokenRefusal::Expired);
        }
        match self.used_by {
            None => Ok(TokenUse::First),
            Some(by) if by == (UsedBy { machine, key }) => Ok(TokenUse::Again),
            Some(by) => Err(TokenRefusal::Used { machine: by.machine }),
        }
    }

    /// Returns the record after its first use.
    pub fn used(&self, machine: MachineId, key: KeyHash) -> TokenRecord {
        TokenRecord { used_by: Some(UsedBy { machine, key }), ..self.clone() }
    }

    /// Returns when a token made at `now` that lives for `life` ends.
    pub fn expiry(now: UnixMicros, life: Duration) -> UnixMicros {
        let life = u64::try_from(life.as_micros()).unwrap_or(u64::MAX);
        UnixMicros(now.0.saturating_add(life))
    }
}
