//! How a machine reaches the cluster's store: it is a member and holds it, or it is a worker and
//! asks those who do.

use std::collections::BTreeSet;
use std::time::Duration;

use argosy_api::{ApiError, ErrorCode};
use argosy_kv::{CommandKind, Response, Txn};
use argosy_model::Term;
use argosy_registry::Outcome;
use argosy_store::{Leadership, MemberId, StoreError, StoreHandle};
use tokio::sync::watch;

use super::feed::Feed;

/// The pause before a store without a leader is asked again whether its state is current.
const CURRENT_RETRY: Duration = Duration::from_millis(100);

/// What the daemon's parts do with the store, whichever of the two this machine is. Cheap to clone.
#[derive(Clone)]
pub(crate) enum StoreAccess {
    /// This machine holds the store.
    Member(StoreHandle),
    /// Others do, and tell it what it needs.
    Worker(Feed),
}

impl StoreAccess {
    /// Returns the store, if this machine holds it.
    pub(crate) fn member(&self) -> Option<&StoreHandle> {
        match self {
            StoreAccess::Member(store) => Some(store),
            StoreAccess::Worker(_) => None,
        }
    }

    /// Returns the store, or says that this machine has none.
    pub(crate) fn held(&self) -> Result<&StoreHandle, ApiError> {
        self.member().ok_or_else(|| {
            let message =
                "this machine holds no part of the store, and no machine that does answers";
            ApiError::new(ErrorCode::Unavailable, message).with_help(
                "see who is missing: argosy cluster status; this machine's units: add --local",
            )
        })
    }

    pub(crate) fn member_id(&self) -> Option<MemberId> {
        self.member().map(StoreHandle::member_id)
    }

    /// Returns who leads, now and at each change.
    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        match self {
            StoreAccess::Member(store) => store.leadership(),
            StoreAccess::Worker(feed) => feed.leadership(),
        }
    }

    /// Changes whenever there may be something new to see.
    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        match self {
            StoreAccess::Member(store) => store.applied(),
            StoreAccess::Worker(feed) => feed.applied(),
        }
    }

    /// Returns who votes, as far as this machine knows; while the voters change, those before and
    /// after it.
    pub(crate) fn voters(&self) -> BTreeSet<MemberId> {
        match self {
            StoreAccess::Member(store) => store.membership().all_voters(),
            StoreAccess::Worker(feed) => feed.voters(),
        }
    }

    /// Returns the term that this machine would tell a leader who asks; a worker is never asked.
    pub(crate) fn term(&self) -> Term {
        match self {
            StoreAccess::Member(store) => store.term(),
            StoreAccess::Worker(_) => Term(0),
        }
    }

    /// Returns once what is seen is known to be no older than this call.
    pub(crate) async fn until_current(self) {
        match self {
            StoreAccess::Member(store) => {
                while store.read_barrier().await.is_err() {
                    tokio::time::sleep(CURRENT_RETRY).await;
                }
            }
            StoreAccess::Worker(feed) => feed.until_current().await,
        }
    }

    /// Proposes a guarded transaction of this machine's agent or, on the leader, of the leader.
    pub(crate) async fn commit(&self, txn: Txn) -> Outcome {
        match self {
            StoreAccess::Member(store) => propose(store, txn).await,
            StoreAccess::Worker(feed) => feed.commit(txn).await,
        }
    }
}

/// Proposes a guarded transaction.
pub(crate) async fn propose(store: &StoreHandle, txn: Txn) -> Outcome {
    match store.execute(CommandKind::Txn(txn)).await {
        Ok(Response::Txn(response)) => Outcome::of(&response),
        Ok(other) => {
            tracing::error!(?other, "a transaction was answered with something else");
            Outcome::Unknown
        }
        Err(StoreError::Rejected(error)) => {
            tracing::error!(%error, "the store refused a transaction");
            Outcome::Unknown
        }
        Err(error) => {
            tracing::warn!(%error, "a transaction has no outcome");
            Outcome::Unknown
        }
    }
}
