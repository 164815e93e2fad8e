//! An HTTP client: a connection a request, JSON or lines of JSON.
//!
//! Over a unix socket by itself; over anything else through a [`Connect`].

mod bytes;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::{Bytes, BytesMut};
use http::header::RANGE;
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::{ApiError, ErrorBody};

pub use self::bytes::ByteStream;

/// Longest answer that is taken in one piece: 10,000 units of about 4 KiB, and room.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest line of a stream: a snapshot of 10,000 statuses, and room.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A byte stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Makes connections to one server.
pub trait Connect: Send + Sync {
    /// Connects.
    fn connect(&self) -> Connecting<'_>;
    /// Returns the server's name for messages.
    fn name(&self) -> String;
}

struct UnixSocket(PathBuf);

impl Connect for UnixSocket {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async { Ok(Box::new(UnixStream::connect(&self.0).await?) as Box<dyn Stream>) })
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot connect to {server}")]
    Connect {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke before the whole answer was there.
    #[error("the connection to {server} broke during {request}")]
    Broken {
        /// The server.
        server: String,
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server took the connection, or did not even do that, and said nothing in time.
    #[error("{server} did not answer {request} within {} s", limit.as_secs())]
    Silent {
        /// The server.
        server: String,
        /// Method and path.
        request: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The answer is not what this version understands.
    #[error("the answer of {server} to {request} cannot be read")]
    Answer {
        /// The server.
        server: String,
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The other side refused, and says why.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

/// The header of an answer that says what whoever reads it should know beside it, in one sentence.
pub const NOTE_HEADER: &str = "argosy-note";

/// The header of a request that was passed on: how often.
pub const HOPS_HEADER: &str = "argosy-hops";

/// Takes the notes of answers.
type OnNote = Arc<dyn Fn(&str) + Send + Sync>;

/// A client of one server. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Client {
    connect: Arc<dyn Connect>,
    on_note: Option<OnNote>,
    /// How long an answer is waited for; none if whoever asks has a limit of its own.
    limit: Option<Duration>,
}

/// The answer to a request that was passed on.
#[derive(Debug)]
pub struct Forwarded {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// What is to be known beside it.
    pub note: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.connect.name())
    }
}

/// Ends the connection's driver when the answer is no longer wanted.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Makes a client of the unix socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Client {
        Client::over(Arc::new(UnixSocket(path.into())))
    }

    /// Makes a client of whatever `connect` reaches.
    pub fn over(connect: Arc<dyn Connect>) -> Client {
        Client { connect, on_note: None, limit: None }
    }

    /// Returns the server's name for messages.
    pub fn server(&self) -> String {
        self.connect.name()
    }

    /// Hands the notes of answers to `on_note`.
    #[must_use]
    pub fn with_notes(self, on_note: impl Fn(&str) + Send + Sync + 'static) -> Client {
        Client { on_note: Some(Arc::new(on_note)), ..self }
    }

    /// Waits so long for a whole answer, or for the next line of one, and no longer.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Client {
        Client { limit: Some(limit), ..self }
    }

    /// Gets JSON.
    pub async fn get<R: DeserializeOwned>(&self, target: &str) -> Result<R, ClientError> {
        self.call(Method::GET, target, None::<&()>).await
    }

    /// Sends JSON and gets JSON.
    pub async fn send<B: Serialize, R: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        self.call(method, target, Some(body)).await
    }

    /// Sends JSON, or nothing, and expects an empty answer.
    pub async fn send_for_nothing<B: Serialize>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
        let request = format!("{method} {target}");
        let exchange = self.exchange(method, target, body);
        let (_connection, _, _, _) = self.in_time(&request, exchange).await?;
        Ok(())
    }

    /// Passes a request on as it is, for the `hops`th time, and returns the answer as it is.
    pub async fn forward(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        hops: u32,
    ) -> Result<Forwarded, ClientError> {
        let header = (hops > 0).then(|| (HeaderName::from_static(HOPS_HEADER), hops.to_string()));
        let (_connection, response, request) = self.begin(method, target, body, header).await?;
        let (status, note) = (response.status(), note_of(&response));
        let body = self.collect(response.into_body(), &request).await?;
        Ok(Forwarded { status, body, note })
    }

    /// Gets a stream of JSON lines.
    pub async fn lines(&self, target: &str) -> Result<LineStream, ClientError> {
        self.lines_of(Method::GET, target, None::<&()>).await
    }

    /// Sends JSON, or nothing, and gets a stream of JSON lines.
    pub async fn lines_of<B: Serialize>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
    ) -> Result<LineStream, ClientError> {
        let request = format!("{method} {target}");
        let exchange = self.exchange(method, target, body);
        let (connection, body, request, _) = self.in_time(&request, exchange).await?;
        Ok(LineStream {
            _connection: connection,
            body,
            buffer: BytesMut::new(),
            ready: VecDeque::new(),
            server: self.connect.name(),
            request,
            limit: self.limit,
        })
    }

    async fn in_time<T>(
        &self,
        request: &str,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        within(self.limit, answer, || (self.connect.name(), request.to_owned())).await
    }

    async fn call<B: Serialize, R: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
    ) -> Result<R, ClientError> {
        let request = format!("{method} {target}");
        let whole = async {
            let (_connection, incoming, request, _) = self.exchange(method, target, body).await?;
            self.collect(incoming, &request).await
        };
        let bytes = self.in_time(&request, whole).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Answer {
            server: self.connect.name(),
            request,
            source: source.into(),
        })
    }

    async fn collect(&self, body: Incoming, request: &str) -> Result<Bytes, ClientError> {
        http_body_util::Limited::new(body, BODY_BYTES_MAX)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|source| ClientError::Broken {
                server: self.connect.name(),
                request: request.to_owned(),
                source,
            })
    }

    /// Sends one request on a connection of its own; a refusal is turned into its error.
    async fn exchange<B: Serialize>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
    ) -> Result<(Connection, Incoming, String, StatusCode), ClientError> {
        self.exchange_of(method, target, body, None).await
    }

    /// The same with a range of bytes.
    async fn exchange_of<B: Serialize>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
        range: Option<String>,
    ) -> Result<(Connection, Incoming, String, StatusCode), ClientError> {
        let payload = match body.map(serde_json::to_vec).transpose() {
            Ok(payload) => payload.map(Bytes::from).unwrap_or_default(),
            Err(error) => {
                let request = format!("{method} {target}");
                let (server, source) = (self.connect.name(), error.into());
                return Err(ClientError::Broken { server, request, source });
            }
        };
        let header = range.map(|range| (RANGE, range));
        let (connection, response, request_name) =
            self.begin(method, target, payload, header).await?;
        if let (Some(on_note), Some(note)) = (&self.on_note, note_of(&response)) {
            on_note(&note);
        }
        let status = response.status();
        let incoming = response.into_body();
        if status.is_success() {
            return Ok((connection, incoming, request_name, status));
        }
        let bytes = self.collect(incoming, &request_name).await?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(body.error.into()),
            Err(_) => Err(ClientError::Answer {
                server: self.connect.name(),
                request: request_name,
                source: format!("HTTP {status}: {}", String::from_utf8_lossy(&bytes)).into(),
            }),
        }
    }

    /// Connects, sends a request, and returns the head of its answer.
    async fn begin(
        &self,
        method: Method,
        target: &str,
        payload: Bytes,
        header: Option<(HeaderName, String)>,
    ) -> Result<(Connection, http::Response<Incoming>, String), ClientError> {
        let request_name = format!("{method} {target}");
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Broken {
            server: self.connect.name(),
            request: request_name.clone(),
            source,
        };
        let stream = self
            .connect
            .connect()
            .await
            .map_err(|source| ClientError::Connect { server: self.connect.name(), source })?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let connection = Connection(tokio::spawn(async move {
            // The request's own error says what went wrong.
            drop(driver.await);
        }));
        let mut builder = Request::builder().method(method).uri(target).header("host", "argosy");
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        if !payload.is_empty() {
            builder = builder.header("content-type", "application/json");
        }
        let request = builder.body(Full::new(payload)).map_err(|error| broken(error.into()))?;
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        Ok((connection, response, request_name))
    }
}

/// Waits for an answer, or a part of one, until the limit is over; `whose` names it.
async fn within<T>(
    limit: Option<Duration>,
    answer: impl Future<Output = Result<T, ClientError>>,
    whose: impl FnOnce() -> (String, String),
) -> Result<T, ClientError> {
    let Some(limit) = limit else { return answer.await };
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            let (server, request) = whose();
            Err(ClientError::Silent { server, request, limit })
        }
    }
}

fn note_of(response: &http::Response<Incoming>) -> Option<String> {
    response.headers().get(NOTE_HEADER)?.to_str().ok().map(str::to_owned)
}

/// A running stream of JSON lines. Dropping it ends the request.
pub struct LineStream {
    _connection: Connection,
    body: Incoming,
    buffer: BytesMut,
    ready: VecDeque<Bytes>,
    server: String,
    request: String,
    limit: Option<Duration>,
}

impl LineStream {
    /// Waits for lines that have yet to be written, for ever.
    #[must_use]
    pub fn without_limit(self) -> LineStream {
        LineStream { limit: None, ..self }
    }

    /// Returns the next line, or `None` when the other side has ended the stream in order.
    pub async fn next<R: DeserializeOwned>(&mut self) -> Result<Option<R>, ClientError> {
        let whose = (self.server.clone(), self.request.clone());
        within(self.limit, self.next_line(), || whose).await
    }

    async fn next_line<R: DeserializeOwned>(&mut self) -> Result<Option<R>, ClientError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    self.error(error.into(), |server, request, source| ClientError::Answer {
                        server,
                        request,
                        source,
                    })
                });
            }
            let broken = |server, request, source| ClientError::Broken { server, request, source };
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.error(error.into(), broken)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(&data);
                    }
                }
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(self.error(message.into(), broken));
            }
        }
    }

    /// Returns the next piece of the stream as it came, or `None` at its end; for whoever passes
    /// it on and reads no line of it.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(self.error(error.into(), |server, request, source| {
                        ClientError::Broken { server, request, source }
                    }));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Tells whether the next line is there already.
    pub fn is_at_hand(&self) -> bool {
        !self.ready.is_empty()
    }

    fn take(&mut self, data: &[u8]) {
        let from = self.buffer.len();
        self.buffer.extend_from_slice(data);
        let mut search = from;
        while let Some(at) = self.buffer[search..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(search + at + 1);
            if line.len() > 1 {
                self.ready.push_back(line.freeze());
            }
            search = 0;
        }
    }

    fn error(
        &self,
        source: Box<dyn std::error::Error + Send + Sync>,
        make: impl FnOnce(String, String, Box<dyn std::error::Error + Send + Sync>) -> ClientError,
    ) -> ClientError {
        make(self.server.clone(), self.request.clone(), source)
    }
}
