//! Connections to endpoints: opened, used, kept for the next request.
//!
//! A connection has no task of its own. Whoever uses it polls it, in the client's task; one that
//! is idle is polled when it is looked at. That saves two changes of task per request.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::READ_AHEAD_MAX;
use super::body::{Progress, RequestBody};
use crate::Limits;
use crate::retry::Failure;
use crate::tcp;
use crate::worker::{Busy, LocalEndpoint};

/// Idle connections kept per endpoint and worker: more than are busy at once in all but the
/// largest installations, and few enough for the endpoint's table of descriptors.
const IDLE_MAX: usize = 256;
/// How long an idle connection is kept: less than the 5 s after which the most impatient common
/// servers (Node.js, Apache) close it from their side, which would meet a request on its way.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// How long a response head may be away until it is asked whether the endpoint's machine is still
/// there: few responses take that long, and twice this plus a connect is far below what people wait.
const QUIET: Duration = Duration::from_secs(1);

/// Returns once the endpoint's machine takes no connection in time: it is gone, or cut off, and its
/// end of other connections with it. A machine that refuses is there. The pauses double, so that a
/// response which takes a minute costs six connections.
pub(super) async fn silence(endpoint: &LocalEndpoint, limits: &Limits) {
    let mut pause = QUIET;
    while !matches!(tcp::connect(endpoint, limits).await, Err(Failure::ConnectTimeout)) {
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// A connection to an endpoint.
pub(crate) struct Upstream {
    sender: SendRequest<RequestBody>,
    connection: Option<Box<Connection<TokioIo<TcpStream>, RequestBody>>>,
    idle_since: Instant,
    /// It has carried a request before; the endpoint may close it at any time.
    pub(super) reused: bool,
}

impl Upstream {
    /// Speaks HTTP over a new connection.
    pub(super) async fn over(stream: TcpStream) -> Result<Self, Failure> {
        let mut builder = Builder::new();
        // As towards clients: one buffer is cheaper than a vector of pieces.
        builder.max_buf_size(READ_AHEAD_MAX).writev(false);
        let handshake = builder.handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| Failure::Refused)?;
        let connection = Some(Box::new(connection));
        Ok(Upstream { sender, connection, idle_since: Instant::now(), reused: false })
    }

    /// Takes an idle connection that still works, the one used last first.
    pub(super) fn take(endpoint: &LocalEndpoint) -> Option<Upstream> {
        let mut idle = endpoint.idle.borrow_mut();
        while let Some(mut upstream) = idle.pop() {
            if upstream.is_usable() {
                upstream.reused = true;
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps the connection for another request, if it can carry one.
    fn keep(mut self, endpoint: &LocalEndpoint) {
        if endpoint.cell.is_withdrawn() || endpoint.idle.borrow().len() >= IDLE_MAX {
            return;
        }
        // The end of the last exchange may not have been taken notice of yet.
        let ready = self.sender.is_ready() || {
            self.look();
            self.sender.is_ready()
        };
        if ready && self.connection.is_some() {
            self.idle_since = Instant::now();
            endpoint.idle.borrow_mut().push(self);
        }
    }

    /// Returns whether an idle connection is open and not too old.
    pub(crate) fn is_usable(&mut self) -> bool {
        if self.idle_since.elapsed() >= IDLE_TIME_MAX {
            return false;
        }
        self.look();
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Takes notice of what has happened, without waiting.
    fn look(&mut self) {
        self.poll(&mut Context::from_waker(Waker::noop()));
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        // How it ended is told to whoever waits for the response or its body.
        if let Some(connection) = &mut self.connection
            && Pin::new(connection.as_mut()).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Sends a request and waits for the response head; without one in time the result is none.
    /// The time counts from the last piece of the request's body that was sent on. After a while
    /// `silent` is looked at too: its end ends the wait.
    pub(super) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        limit: Duration,
        silent: impl Future<Output = ()>,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        let progress: Option<Progress> = request.body().progress();
        let mut response = std::pin::pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let mut exchange = std::pin::pin!(std::future::poll_fn(|cx| {
            if let Some(running) = connection
                && Pin::new(running.as_mut()).poll(cx).is_ready()
            {
                *connection = None;
            }
            response.as_mut().poll(cx)
        }));
        let begun = tokio::time::Instant::now();
        // What most requests need: one timer.
        if let Ok(result) = timeout_at(begun + limit.min(QUIET), &mut exchange).await {
            return Some(result);
        }
        let mut silent = std::pin::pin!(silent);
        let mut deadline = begun + limit;
        loop {
            let waited = tokio::select! {
                biased;
                waited = timeout_at(deadline, &mut exchange) => waited,
                () = &mut silent => return None,
            };
            match waited {
                Ok(result) => return Some(result),
                Err(_) => {
                    let moved = progress.as_ref().and_then(|progress| progress.get())?;
                    if moved + limit <= deadline {
                        return None;
                    }
                    deadline = moved + limit;
                }
            }
        }
    }
}

/// A connection in use for one response, and the count of it.
pub(crate) struct Leased {
    /// None if the connection runs in a task of its own.
    upstream: Option<Upstream>,
    endpoint: Rc<LocalEndpoint>,
    _busy: Busy,
}

impl Leased {
    pub(super) fn new(
        upstream: Option<Upstream>,
        endpoint: Rc<LocalEndpoint>,
        busy: Busy,
    ) -> Leased {
        Leased { upstream, endpoint, _busy: busy }
    }

    /// Lets the connection move.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(upstream) = &mut self.upstream {
            upstream.poll(cx);
        }
    }

    /// The response was cut short.
    pub(super) fn failed(&mut self) {
        self.upstream = None;
        self.endpoint.cell.failed();
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.keep(&self.endpoint);
        }
    }
}
