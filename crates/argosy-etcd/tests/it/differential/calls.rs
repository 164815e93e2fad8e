//! One call of either server, and its answer without what may differ.

use argosy_etcd::proto::etcdserverpb as pb;
use pb::response_op::Response;
use tonic::{Code, Status};

use crate::clients::Clients;

/// A call.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases,
    KeepAlive(pb::LeaseKeepAliveRequest),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    Grant(pb::LeaseGrantResponse),
    Revoke(pb::LeaseRevokeResponse),
    TimeToLive(pb::LeaseTimeToLiveResponse),
    Leases(pb::LeaseLeasesResponse),
    KeepAlive(pb::LeaseKeepAliveResponse),
    Refused(Code, String),
}

impl Call {
    /// Tells whether it may change the store.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Call::Range(_) | Call::TimeToLive(_) | Call::Leases | Call::KeepAlive(_))
    }

    /// Runs it.
    pub(super) async fn run(&self, clients: &Clients) -> Answer {
        let answer = self.clone().send(clients.clone()).await;
        answer.unwrap_or_else(|status| Answer::Refused(status.code(), status.message().to_owned()))
    }

    async fn send(self, mut to: Clients) -> Result<Answer, Status> {
        macro_rules! call {
            ($client:ident.$method:ident($request:expr), $variant:ident) => {{
                let mut answer = to.$client.$method($request).await?.into_inner();
                normalise(answer.header.as_mut());
                answer
            }};
        }
        Ok(match self {
            Call::Range(request) => Answer::Range(call!(kv.range(request), Range)),
            Call::Put(request) => Answer::Put(call!(kv.put(request), Put)),
            Call::Delete(request) => Answer::Delete(call!(kv.delete_range(request), Delete)),
            Call::Compact(request) => Answer::Compact(call!(kv.compact(request), Compact)),
            Call::Txn(request) => {
                let mut answer = call!(kv.txn(request), Txn);
                normalise_ops(&mut answer);
                Answer::Txn(answer)
            }
            Call::Grant(request) => Answer::Grant(call!(lease.lease_grant(request), Grant)),
            Call::Revoke(request) => Answer::Revoke(call!(lease.lease_revoke(request), Revoke)),
            Call::TimeToLive(request) => {
                let mut answer = call!(lease.lease_time_to_live(request), TimeToLive);
                // The two servers did not grant in the same instant.
                if (0..60).contains(&(answer.granted_ttl - answer.ttl)) {
                    answer.ttl = answer.granted_ttl;
                }
                answer.keys.sort();
                Answer::TimeToLive(answer)
            }
            Call::Leases => {
                let request = pb::LeaseLeasesRequest::default();
                Answer::Leases(call!(lease.lease_leases(request), Leases))
            }
            Call::KeepAlive(request) => {
                let requests = tokio_stream::once(request);
                let mut answers = to.lease.lease_keep_alive(requests).await?.into_inner();
                let mut answer = answers.message().await?.expect("one answer for one request");
                normalise(answer.header.as_mut());
                Answer::KeepAlive(answer)
            }
        })
    }
}

impl Answer {
    /// Returns the revision in its header.
    pub(super) fn revision(&self) -> Option<i64> {
        let header = match self {
            Answer::Range(answer) => answer.header,
            Answer::Put(answer) => answer.header,
            Answer::Delete(answer) => answer.header,
            Answer::Txn(answer) => answer.header,
            Answer::Compact(answer) => answer.header,
            Answer::Grant(answer) => answer.header,
            Answer::Revoke(answer) => answer.header,
            Answer::TimeToLive(answer) => answer.header,
            Answer::Leases(answer) => answer.header,
            Answer::KeepAlive(answer) => answer.header,
            Answer::Refused(..) => None,
        };
        header.map(|header| header.revision)
    }
}

/// Clears what is different on every server. Whether there is a header at all stays.
pub(super) fn normalise(header: Option<&mut pb::ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = 0;
        header.member_id = 0;
        header.raft_term = 0;
    }
}

fn normalise_ops(answer: &mut pb::TxnResponse) {
    for op in &mut answer.responses {
        match op.response.as_mut().expect("every operation is answered") {
            Response::ResponseRange(answer) => normalise(answer.header.as_mut()),
            Response::ResponsePut(answer) => normalise(answer.header.as_mut()),
            Response::ResponseDeleteRange(answer) => normalise(answer.header.as_mut()),
            Response::ResponseTxn(answer) => {
                normalise(answer.header.as_mut());
                normalise_ops(answer);
            }
        }
    }
}
