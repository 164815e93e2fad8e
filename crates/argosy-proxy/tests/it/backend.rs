//! An HTTP endpoint that can be killed: its connections end as those of a killed process do.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A response's body.
pub(crate) enum Reply {
    Full(Option<Bytes>),
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
    Echo(Incoming),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Reply::Full(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Reply::Pieces(pieces) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
            Reply::Echo(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(io::Error::other))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Reply::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Full(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Reply::Pieces(_) => SizeHint::default(),
            Reply::Echo(body) => body.size_hint(),
        }
    }
}

/// Returns a response with this text.
pub(crate) fn text(text: impl Into<Bytes>) -> Response<Reply> {
    Response::new(Reply::Full(Some(text.into())))
}

/// An endpoint.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicU64>,
    pub(crate) requests: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Starts one that answers with `answer`.
    pub(crate) async fn start<F, A>(answer: F) -> Backend
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Reply>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, answered) = (Arc::clone(&connections), Arc::clone(&requests));
        let answer = Arc::new(answer);
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                let (answer, answered) = (Arc::clone(&answer), Arc::clone(&answered));
                let service = service_fn(move |request| {
                    answered.fetch_add(1, Ordering::SeqCst);
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                serving.spawn(serve(stream, service));
                while serving.try_join_next().is_some() {}
            }
        });
        Backend { address, connections, requests, accepting }
    }

    /// Starts one that says its name.
    pub(crate) async fn named(name: &'static str) -> Backend {
        Backend::start(move |_| async move { text(name) }).await
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends it as SIGKILL would: nobody listens, and every connection is reset.
    pub(crate) async fn kill(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
    }
}

async fn serve<S>(stream: TcpStream, service: S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Reply>, Error = Infallible>,
    S::Future: Send,
{
    let linger = Some(std::time::Duration::ZERO);
    sockopt::set_socket_linger(&stream, linger).unwrap();
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // How a connection ends is for the test to judge, from the other side.
    drop(connection.await);
}
