//! Service Watch over the store's watch streams.

mod session;

use std::collections::VecDeque;
use std::pin::Pin;

use argosy_store::{WatchDelivery, WatchStream};
use futures_util::stream::{Stream, unfold};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::api::Api;
use crate::leader_guard;
use crate::proto::etcdserverpb as pb;
use crate::server::stopped;
use crate::status::ApiError;
use pb::watch_request::RequestUnion;
use pb::watch_server::Watch;
use session::{NO_WATCHER, Session};

/// Service Watch.
pub(crate) struct WatchService(pub(crate) Api);

#[async_trait]
impl Watch for WatchService {
    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<BoxStream<pb::WatchResponse>>, Status> {
        let needs_leader = leader_guard::wanted(request.metadata());
        let stream = Connection::new(self.0.clone(), request.into_inner(), needs_leader);
        Ok(Response::new(Box::pin(stream.into_answers())))
    }
}

/// One client's stream. What it holds is bounded: the store's queue for this stream, and the
/// answers made of one delivery or request. While the client does not take answers, neither
/// its requests nor the store's queue are read.
struct Connection {
    api: Api,
    requests: Streaming<pb::WatchRequest>,
    /// False once the client will send no more; its watchers go on.
    requesting: bool,
    watches: WatchStream,
    session: Session,
    answers: VecDeque<pb::WatchResponse>,
    /// Ends when the stream may not go on without a leader.
    leader_lost: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What happens to a stream.
enum Event {
    Request(Result<Option<pb::WatchRequest>, Status>),
    Delivery(Option<WatchDelivery>),
    LeaderLost,
    Stopping,
}

impl Connection {
    fn new(api: Api, requests: Streaming<pb::WatchRequest>, needs_leader: bool) -> Self {
        let leadership = api.store.leadership();
        let leader_lost: Pin<Box<dyn Future<Output = ()> + Send>> = match needs_leader {
            true => Box::pin(leader_guard::lost(leadership)),
            false => Box::pin(std::future::pending()),
        };
        Self {
            watches: api.store.watch(),
            api,
            requests,
            requesting: true,
            session: Session::default(),
            answers: VecDeque::new(),
            leader_lost,
        }
    }

    fn into_answers(self) -> impl Stream<Item = Result<pb::WatchResponse, Status>> {
        unfold(Some(self), |connection| async {
            let mut connection = connection?;
            match connection.next().await {
                Ok(answer) => Some((Ok(answer), Some(connection))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<pb::WatchResponse, Status> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Ok(answer);
            }
            // Each of these loses nothing when another one is first.
            let event = tokio::select! {
                request = self.requests.message(), if self.requesting => Event::Request(request),
                delivery = self.watches.next() => Event::Delivery(delivery),
                () = &mut self.leader_lost => Event::LeaderLost,
                () = stopped(&mut self.api.stopping) => Event::Stopping,
            };
            match event {
                Event::Request(Ok(Some(request))) => self.handle(request).await?,
                Event::Request(Ok(None)) => self.requesting = false,
                Event::Request(Err(status)) => return Err(status),
                Event::Delivery(Some(delivery)) => self.deliver(delivery),
                Event::LeaderLost => return Err(ApiError::NoLeader.into()),
                Event::Delivery(None) | Event::Stopping => return Err(ApiError::Stopped.into()),
            }
        }
    }

    async fn handle(&mut self, request: pb::WatchRequest) -> Result<(), ApiError> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await?,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.watches.request_progress().await,
            // As in etcd, a request without content is passed over.
            None => {}
        }
        Ok(())
    }

    /// Makes a watcher. Its `created` is queued before its first delivery can be asked for.
    async fn create(&mut self, request: pb::WatchCreateRequest) -> Result<(), ApiError> {
        let mut answer = pb::WatchResponse { created: true, ..pb::WatchResponse::default() };
        match self.session.admit(&request) {
            Ok((client, wanted)) => {
                let made = self.watches.create(wanted).await;
                let (hub, revision) = made.map_err(|_| ApiError::Stopped)?;
                self.session.insert(client, hub, request.fragment);
                answer.header = Some(self.api.header(revision));
                answer.watch_id = client;
            }
            Err(error) => {
                answer.watch_id = NO_WATCHER;
                answer.canceled = true;
                answer.cancel_reason = error.to_string();
                answer.header = Some(self.api.header_now());
            }
        }
        self.answers.push_back(answer);
        Ok(())
    }

    /// Ends a watcher. As in etcd, nothing is said about one that is not there.
    fn cancel(&mut self, client: i64) {
        let Some(hub) = self.session.remove(client) else { return };
        self.watches.cancel(hub);
        self.answers.push_back(pb::WatchResponse {
            header: Some(self.api.header_now()),
            watch_id: client,
            canceled: true,
            ..pb::WatchResponse::default()
        });
    }

    fn deliver(&mut self, delivery: WatchDelivery) {
        match delivery {
            WatchDelivery::Messages { id, messages } => {
                let header = |revision| self.api.header(revision);
                self.answers.extend(self.session.answers(id, messages, header));
            }
            WatchDelivery::Progress { revision } => self.answers.push_back(pb::WatchResponse {
                header: Some(self.api.header(revision)),
                watch_id: NO_WATCHER,
                ..pb::WatchResponse::default()
            }),
        }
    }
}
