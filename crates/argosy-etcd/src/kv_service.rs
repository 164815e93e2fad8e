//! Service KV over the store.

use argosy_kv::{
    CommandKind, KvError, LeaseId, Op, OpResponse, Response as Outcome, SpaceId, Txn, TxnResponse,
};
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::answer;
use crate::api::Api;
use crate::proto::etcdserverpb as pb;
use crate::request;
use crate::status::ApiError;
use pb::kv_server::Kv;

/// Largest write in encoded bytes: etcd's `--max-request-bytes` default.
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 19;

/// What etcd lets the gRPC envelope add to a request.
pub(crate) const REQUEST_OVERHEAD_BYTES: usize = 512 << 10;

/// Service KV.
pub(crate) struct KvService(pub(crate) Api);

impl KvService {
    async fn range(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, ApiError> {
        let serializable = request.serializable;
        let request = request::range(request)?;
        if !serializable {
            self.0.linearize().await?;
        }
        let view = self.0.store.view();
        let read = view.range(SpaceId::User, &request)?;
        Ok(answer::range(&read, self.0.header(view.revision(SpaceId::User))))
    }

    async fn put(&self, request: pb::PutRequest) -> Result<pb::PutResponse, ApiError> {
        check_size(&request)?;
        let request = request::put(request)?;
        let lease = request.lease;
        let done = self.one(Op::Put(SpaceId::User, request)).await;
        let (result, header) = match done {
            // Of a missing key and a missing lease, etcd names the lease in a plain put, and
            // the key in a transaction.
            Err(ApiError::Kv(KvError::KeyNotFound)) if self.lacks(lease) => {
                return Err(KvError::LeaseNotFound { id: lease }.into());
            }
            done => done?,
        };
        match result {
            Some(OpResponse::Put(result)) => Ok(answer::put(&result, header)),
            _ => Err(ApiError::AnswerMismatch),
        }
    }

    async fn delete(
        &self,
        request: pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, ApiError> {
        let request = request::delete(request)?;
        let (result, header) = self.one(Op::Delete(SpaceId::User, request)).await?;
        match result {
            Some(OpResponse::Delete(result)) => Ok(answer::delete(&result, header)),
            _ => Err(ApiError::AnswerMismatch),
        }
    }

    async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse, ApiError> {
        check_size(&request)?;
        let serializable = request::all_serializable(&request);
        let txn = request::txn(request)?;
        let done = if txn.is_read_only() {
            if !serializable {
                self.0.linearize().await?;
            }
            self.0.store.view().read_txn(&txn)?
        } else {
            self.write(txn).await?
        };
        let header = self.0.header(done.revisions.user);
        Ok(answer::txn(&done, header))
    }

    async fn compact(
        &self,
        request: pb::CompactionRequest,
    ) -> Result<pb::CompactionResponse, ApiError> {
        // The space is free as soon as the compaction is applied, so `physical` has nothing
        // to wait for.
        let kind = CommandKind::Compact { space: SpaceId::User, revision: request.revision };
        let outcome = self.0.store.execute(kind).await?;
        let header = self.0.header(outcome.revisions().user);
        Ok(pb::CompactionResponse { header: Some(header) })
    }

    fn lacks(&self, lease: LeaseId) -> bool {
        lease != 0 && self.0.store.view().lease(lease).is_none()
    }

    /// Writes by a transaction of one operation.
    async fn one(&self, op: Op) -> Result<(Option<OpResponse>, pb::ResponseHeader), ApiError> {
        let mut done = self.write(Txn::unconditional(vec![op])).await?;
        Ok((done.results.pop(), self.0.header(done.revisions.user)))
    }

    async fn write(&self, txn: Txn) -> Result<TxnResponse, ApiError> {
        match self.0.store.execute(CommandKind::Txn(txn)).await? {
            Outcome::Txn(done) => Ok(done),
            _ => Err(ApiError::AnswerMismatch),
        }
    }
}

fn check_size(request: &impl Message) -> Result<(), ApiError> {
    if request.encoded_len() > REQUEST_BYTES_MAX {
        return Err(ApiError::RequestTooLarge);
    }
    Ok(())
}

#[async_trait]
impl Kv for KvService {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        Ok(Response::new(self.range(request.into_inner()).await?))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        Ok(Response::new(self.put(request.into_inner()).await?))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        Ok(Response::new(self.delete(request.into_inner()).await?))
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        Ok(Response::new(self.txn(request.into_inner()).await?))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        Ok(Response::new(self.compact(request.into_inner()).await?))
    }
}
