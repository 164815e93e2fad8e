//! An HTTP client for one unix socket: a connection a request, JSON or lines of JSON.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::{ApiError, ErrorBody};

/// Longest answer that is taken in one piece: 10,000 units of about 4 KiB, and room.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest line of a stream: a snapshot of 10,000 statuses, and room.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A request over a unix socket failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke before the whole answer was there.
    #[error("the connection to {path} broke during {request}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what this version understands.
    #[error("the answer of {path} to {request} cannot be read")]
    Answer {
        /// The socket.
        path: PathBuf,
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

/// A client of one socket. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Ends the connection's driver when the answer is no longer wanted.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Makes a client of the socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Client {
        Client { path: path.into() }
    }

    /// Returns the socket's path.
    pub fn path(&self) -> &Path {
        &self.path
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
        let (_connection, _, _, _) = self.exchange(method, target, body).await?;
        Ok(())
    }

    /// Gets a stream of JSON lines.
    pub async fn lines(&self, target: &str) -> Result<LineStream, ClientError> {
        let (connection, body, request, _) =
            self.exchange(Method::GET, target, None::<&()>).await?;
        Ok(LineStream {
            _connection: connection,
            body,
            buffer: BytesMut::new(),
            ready: VecDeque::new(),
            path: self.path.clone(),
            request,
        })
    }

    async fn call<B: Serialize, R: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&B>,
    ) -> Result<R, ClientError> {
        let (_connection, incoming, request, _) = self.exchange(method, target, body).await?;
        let bytes = self.collect(incoming, &request).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Answer {
            path: self.path.clone(),
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
                path: self.path.clone(),
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
        let request_name = format!("{method} {target}");
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Broken {
            path: self.path.clone(),
            request: request_name.clone(),
            source,
        };
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| ClientError::Connect { path: self.path.clone(), source })?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let connection = Connection(tokio::spawn(async move {
            // The request's own error says what went wrong.
            drop(driver.await);
        }));
        let mut builder = Request::builder().method(method).uri(target).header("host", "argosy");
        let payload = match body {
            Some(value) => {
                builder = builder.header("content-type", "application/json");
                Bytes::from(serde_json::to_vec(value).map_err(|error| broken(error.into()))?)
            }
            None => Bytes::new(),
        };
        let request = builder.body(Full::new(payload)).map_err(|error| broken(error.into()))?;
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let status = response.status();
        let incoming = response.into_body();
        if status.is_success() {
            return Ok((connection, incoming, request_name, status));
        }
        let bytes = self.collect(incoming, &request_name).await?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(body.error.into()),
            Err(_) => Err(ClientError::Answer {
                path: self.path.clone(),
                request: request_name,
                source: format!("HTTP {status}: {}", String::from_utf8_lossy(&bytes)).into(),
            }),
        }
    }
}

/// A running stream of JSON lines. Dropping it ends the request.
pub struct LineStream {
    _connection: Connection,
    body: Incoming,
    buffer: BytesMut,
    ready: VecDeque<Bytes>,
    path: PathBuf,
    request: String,
}

impl LineStream {
    /// Returns the next line, or `None` when the other side has ended the stream in order.
    pub async fn next<R: DeserializeOwned>(&mut self) -> Result<Option<R>, ClientError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    self.error(error.into(), |path, request, source| ClientError::Answer {
                        path,
                        request,
                        source,
                    })
                });
            }
            let broken = |path, request, source| ClientError::Broken { path, request, source };
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
        make: impl FnOnce(PathBuf, String, Box<dyn std::error::Error + Send + Sync>) -> ClientError,
    ) -> ClientError {
        make(self.path.clone(), self.request.clone(), source)
    }
}
