//! gRPC clients of one server, and one watch stream.

use std::time::Duration;

use argosy_etcd::proto::etcdserverpb as pb;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// All clients of one server over one connection.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    pub(crate) lease: LeaseClient<Channel>,
    pub(crate) maintenance: MaintenanceClient<Channel>,
}

impl Clients {
    /// Prepares clients of `http://ADDRESS`; connects at the first call.
    pub(crate) fn new(endpoint: &str) -> Clients {
        let channel = Endpoint::from_shared(endpoint.to_owned()).unwrap().connect_lazy();
        Clients {
            kv: KvClient::new(channel.clone()),
            watch: WatchClient::new(channel.clone()),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        }
    }

    /// Writes one key and returns the revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        let request = pb::PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..pb::PutRequest::default()
        };
        let answer = self.kv.clone().put(request).await.unwrap().into_inner();
        answer.header.unwrap().revision
    }

    /// Reads a key through v3.
    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let key = key.to_owned().into();
        let request = pb::RangeRequest { key, ..pb::RangeRequest::default() };
        let found = self.kv.clone().range(request).await.unwrap().into_inner().kvs.pop();
        found.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
    }

    /// Opens a watch stream.
    pub(crate) async fn open_watch(&self) -> Watching {
        let (requests, outgoing) = mpsc::channel(16);
        // etcd answers the call only with its first message, so the first request must be
        // able to go out before.
        let call = self.watch.clone();
        let opening = tokio::spawn(async move {
            let mut call = call;
            call.watch(ReceiverStream::new(outgoing)).await.unwrap().into_inner()
        });
        Watching { requests, opening: Some(opening), answers: None }
    }
}

/// One watch stream.
pub(crate) struct Watching {
    requests: mpsc::Sender<pb::WatchRequest>,
    opening: Option<tokio::task::JoinHandle<Streaming<pb::WatchResponse>>>,
    answers: Option<Streaming<pb::WatchResponse>>,
}

impl Watching {
    /// Sends one request.
    pub(crate) async fn send(&self, union: RequestUnion) {
        let request = pb::WatchRequest { request_union: Some(union) };
        self.requests.send(request).await.unwrap();
    }

    /// Asks for a watcher.
    pub(crate) async fn create(&self, request: pb::WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request)).await;
    }

    /// Asks for the end of a watcher.
    pub(crate) async fn cancel(&self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id })).await;
    }

    /// Asks for the stream's progress.
    pub(crate) async fn progress(&self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
    }

    /// Returns the next answer.
    pub(crate) async fn next(&mut self) -> pb::WatchResponse {
        timeout(PATIENCE, self.try_next()).await.expect("an answer in time").unwrap()
    }

    /// Returns the next answer, or how the stream ended.
    pub(crate) async fn try_next(&mut self) -> Result<pb::WatchResponse, tonic::Status> {
        if let Some(opening) = self.opening.as_mut() {
            self.answers = Some(opening.await.unwrap());
            self.opening = None;
        }
        let answers = self.answers.as_mut().unwrap();
        answers.message().await.map(|answer| answer.expect("the stream goes on"))
    }
}
