//! Service Lease over the store.

use argosy_kv::{CommandKind, Response as Outcome, SpaceId};
use argosy_store::StoreError;
use futures_util::stream::{Stream, unfold};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::api::Api;
use crate::proto::etcdserverpb as pb;
use crate::server::stopped;
use crate::status::ApiError;
use pb::lease_server::Lease;

/// Service Lease.
pub(crate) struct LeaseService(pub(crate) Api);

impl LeaseService {
    async fn grant(
        &self,
        request: pb::LeaseGrantRequest,
    ) -> Result<pb::LeaseGrantResponse, ApiError> {
        let kind = CommandKind::LeaseGrant {
            id: request.id,
            ttl_seconds: request.ttl,
            minimum_exempt: false,
        };
        match self.0.store.execute(kind).await? {
            Outcome::LeaseGrant { revisions, id, ttl_seconds } => Ok(pb::LeaseGrantResponse {
                header: Some(self.0.header(revisions.user)),
                id,
                ttl: ttl_seconds,
                error: String::new(),
            }),
            _ => Err(ApiError::AnswerMismatch),
        }
    }

    async fn revoke(
        &self,
        request: pb::LeaseRevokeRequest,
    ) -> Result<pb::LeaseRevokeResponse, ApiError> {
        let kind = CommandKind::LeaseRevoke { ids: vec![request.id], expired: false };
        let outcome = self.0.store.execute(kind).await?;
        let header = Some(self.0.header(outcome.revisions().user));
        Ok(pb::LeaseRevokeResponse { header })
    }

    /// Renews a lease. A missing one is no error but has no time left.
    async fn keep_alive(
        &self,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, ApiError> {
        // As in etcd, the header is of the moment before: a client that sees the time run out
        // compares the revision with what happened to the keys.
        let header = Some(self.0.header_now());
        let ttl = self.0.store.lease_renew(request.id).await?.unwrap_or(0);
        Ok(pb::LeaseKeepAliveResponse { header, id: request.id, ttl })
    }

    async fn time_to_live(
        &self,
        request: pb::LeaseTimeToLiveRequest,
    ) -> Result<pb::LeaseTimeToLiveResponse, ApiError> {
        let remaining = self.0.store.lease_remaining(request.id).await?;
        let view = self.0.store.view();
        let header = Some(self.0.header(view.revision(SpaceId::User)));
        let id = request.id;
        let (Some(remaining), Some(lease)) = (remaining, view.lease(id)) else {
            return Ok(pb::LeaseTimeToLiveResponse {
                header,
                id,
                ttl: -1,
                granted_ttl: 0,
                keys: Vec::new(),
            });
        };
        let attached = if request.keys { view.lease_keys(id) } else { Vec::new() };
        let visible = attached.into_iter().filter(|(space, _)| *space == SpaceId::User);
        Ok(pb::LeaseTimeToLiveResponse {
            header,
            id,
            ttl: i64::try_from(remaining.as_secs()).unwrap_or(i64::MAX),
            granted_ttl: lease.ttl_seconds,
            keys: visible.map(|(_, key)| key).collect(),
        })
    }

    /// Lists leases, the next to end first; members that do not keep the clock list by id.
    async fn list(&self) -> Result<pb::LeaseLeasesResponse, ApiError> {
        let leases = match self.0.store.lease_list().await {
            Err(StoreError::NotLeader { .. }) => {
                self.0.store.view().leases().map(|lease| lease.id).collect()
            }
            leases => leases?,
        };
        let leases = leases.into_iter().map(|id| pb::LeaseStatus { id }).collect();
        Ok(pb::LeaseLeasesResponse { header: Some(self.0.header_now()), leases })
    }
}

/// One client's renewals: each request is answered before the next is read, so that a client
/// that does not read its answers stops being read from.
fn keep_alive_stream(
    api: Api,
    requests: Streaming<pb::LeaseKeepAliveRequest>,
) -> impl Stream<Item = Result<pb::LeaseKeepAliveResponse, Status>> {
    let start = Some((LeaseService(api), requests));
    unfold(start, |state| async {
        let (mut service, mut requests) = state?;
        let request = tokio::select! {
            request = requests.message() => request,
            () = stopped(&mut service.0.stopping) => Err(ApiError::Stopped.into()),
        };
        match request {
            Ok(Some(request)) => match service.keep_alive(request).await {
                Ok(answer) => Some((Ok(answer), Some((service, requests)))),
                Err(error) => Some((Err(error.into()), None)),
            },
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    })
}

#[async_trait]
impl Lease for LeaseService {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        Ok(Response::new(self.grant(request.into_inner()).await?))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        Ok(Response::new(self.revoke(request.into_inner()).await?))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<BoxStream<pb::LeaseKeepAliveResponse>>, Status> {
        let stream = keep_alive_stream(self.0.clone(), request.into_inner());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        Ok(Response::new(self.time_to_live(request.into_inner()).await?))
    }

    async fn lease_leases(
        &self,
        _request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        Ok(Response::new(self.list().await?))
    }
}
