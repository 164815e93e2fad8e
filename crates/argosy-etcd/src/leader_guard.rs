//! Requests that ask to be refused while there is no leader (metadata `hasleader: true`).

use std::time::Duration;

use argosy_store::Leadership;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::status::ApiError;

/// How long a stream that needs a leader goes on without one: three election time-outs, as in
/// etcd (`server/etcdserver/api/v3rpc/interceptor.go`).
pub(crate) const LEADERLESS_MAX: Duration = Duration::from_secs(3);

/// Tells whether a request needs a leader.
pub(crate) fn wanted(metadata: &MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value.as_bytes() == b"true")
}

/// Refuses requests that need a leader while there is none.
#[derive(Clone)]
pub(crate) struct LeaderGuard(pub(crate) watch::Receiver<Leadership>);

impl tonic::service::Interceptor for LeaderGuard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if wanted(request.metadata()) && self.0.borrow().leader.is_none() {
            return Err(ApiError::NoLeader.into());
        }
        Ok(request)
    }
}

/// Returns once there has been no leader for [`LEADERLESS_MAX`] without a break, or the store
/// is gone.
pub(crate) async fn lost(mut leadership: watch::Receiver<Leadership>) {
    loop {
        if leadership.wait_for(|now| now.leader.is_none()).await.is_err() {
            return;
        }
        let back = leadership.wait_for(|now| now.leader.is_some());
        if !matches!(timeout(LEADERLESS_MAX, back).await, Ok(Ok(_))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
