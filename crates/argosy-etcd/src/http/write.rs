//! Doing v2 and v1 writes: one command each.

use std::collections::BTreeSet;

use argosy_kv::v2::{Change, Error, Write};
use argosy_kv::{CommandKind, KvError, Response, Revision, v2};
use argosy_store::StoreError;

use super::form::refusal;
use super::ttl::Expiries;
use super::v2::raft_error;
use crate::api::Api;
use crate::kv_service::REQUEST_BYTES_MAX;

/// What a write did.
pub(super) struct Written {
    pub(super) change: Change,
    /// The user revision after it.
    pub(super) revision: Revision,
    /// When what was written ends.
    pub(super) node_expiries: Expiries,
    /// When what was there would have ended.
    pub(super) prev_expiries: Expiries,
}

/// Replicates a write and waits for its outcome.
pub(super) async fn write(api: &Api, write: Write) -> Result<Written, Error> {
    if write.path.len() + write.value.len() + write.prev_value.len() > REQUEST_BYTES_MAX {
        return Err(too_large());
    }
    // The lease of what is replaced may be gone afterwards.
    let lease = v2::lease_at(&api.store.view(), &write.path);
    let leases: BTreeSet<_> = Some(lease).filter(|id| *id != 0).into_iter().collect();
    let prev_expiries = Expiries::ask(api, leases).await;
    match api.store.execute(CommandKind::V2(write)).await {
        Ok(Response::V2 { revisions, change, granted, .. }) => {
            let node_expiries = granted
                .map_or_else(Expiries::none, |(id, seconds)| Expiries::starting(id, seconds));
            let (change, revision) = (*change, revisions.user);
            Ok(Written { change, revision, node_expiries, prev_expiries })
        }
        Ok(_) => Err(refusal(300, "Raft Internal Error", "the store answered another question")),
        Err(error) => Err(store_error(error)),
    }
}

fn too_large() -> Error {
    refusal(210, "Invalid POST form", "etcdserver: request is too large")
}

fn store_error(error: StoreError) -> Error {
    match error {
        StoreError::Rejected(KvError::V2(error)) => error,
        StoreError::Rejected(error) => refusal(300, "Raft Internal Error", error.to_string()),
        StoreError::NoLeader | StoreError::NotLeader { .. } | StoreError::Dropped => {
            refusal(301, "During Leader Election", "etcdserver: no leader")
        }
        StoreError::TooLarge { .. } => too_large(),
        // `StoreError` may grow; an outcome that is not known is the safe reading.
        _ => raft_error(),
    }
}
