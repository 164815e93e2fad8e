//! Answers in docker's form: JSON, streams, and errors as `{"message": "..."}`.

use std::io;

use argosy_container::ContainerError;
use argosy_image::StoreError;
use argosy_network::NetworkError;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::system::API_MAX;
use crate::failure::{Exit, Failure, chain};

/// One that breaks off says so by the end of its connection.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(super) type Answer = Result<Response<Body>, Refusal>;

/// Pieces of a stream that wait for its client; whoever makes them waits then.
pub(super) const PIECES_MAX: usize = 16;

/// What was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    /// What was asked for is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn no_container(name: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, format!("No such container: {name}"))
    }

    /// Something of docker's that this engine does not have.
    pub(super) fn not_there(what: &str) -> Refusal {
        let message = format!("argosy does not have this part of docker's interface: {what}");
        Refusal::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub(super) fn failed(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn response(self) -> Response<Body> {
        with_status(self.status, &json!({ "message": self.message }))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let status = match failure.exit {
            Exit::BadInput | Exit::UnknownUnit => StatusCode::BAD_REQUEST,
            Exit::Refused => StatusCode::CONFLICT,
            Exit::Unreachable => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let help = failure.help.map(|it| format!("; {it}")).unwrap_or_default();
        Refusal::new(status, failure.message + &help)
    }
}

impl From<ContainerError> for Refusal {
    fn from(error: ContainerError) -> Refusal {
        let status = match &error {
            ContainerError::NotFound { .. } => StatusCode::NOT_FOUND,
            ContainerError::Running { .. }
            | ContainerError::Held { .. }
            | ContainerError::NotRunning { .. } => StatusCode::CONFLICT,
            ContainerError::Refused { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, chain(&error))
    }
}

impl From<NetworkError> for Refusal {
    fn from(error: NetworkError) -> Refusal {
        let status = match &error {
            NetworkError::NotFound { .. } => StatusCode::NOT_FOUND,
            NetworkError::Exists { .. } => StatusCode::CONFLICT,
            NetworkError::InUse { .. } | NetworkError::Default { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, chain(&error))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Refusal::new(status, chain(&error))
    }
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn with_status(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string() + "\n"));
    *response.status_mut() = status;
    typed(response, "application/json")
}

pub(super) fn json(value: &Value) -> Response<Body> {
    with_status(StatusCode::OK, value)
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// Done, and there is nothing to say.
pub(super) fn done() -> Response<Body> {
    empty(StatusCode::NO_CONTENT)
}

pub(super) fn text(text: &str) -> Response<Body> {
    typed(Response::new(full(text.to_owned())), "text/plain; charset=utf-8")
}

/// A body whose pieces come as they are made.
pub(super) fn stream(kind: &'static str) -> (mpsc::Sender<Bytes>, Response<Body>) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let pieces = ReceiverStream::new(receiver).map(|it| Ok::<_, io::Error>(Frame::data(it)));
    (sender, typed(Response::new(StreamBody::new(pieces).boxed_unsync()), kind))
}

/// The same for a body that may break off.
pub(super) fn fallible_stream(
    kind: &'static str,
) -> (mpsc::Sender<io::Result<Bytes>>, Response<Body>) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let pieces = ReceiverStream::new(receiver).map(|it: io::Result<Bytes>| it.map(Frame::data));
    (sender, typed(Response::new(StreamBody::new(pieces).boxed_unsync()), kind))
}

pub(super) fn typed(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Adds what every answer has.
pub(super) fn signed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        ("api-version", API_MAX),
        ("ostype", "linux"),
        ("docker-experimental", "false"),
        ("builder-version", "1"),
        ("server", concat!("Argosy/", env!("CARGO_PKG_VERSION"), " (linux)")),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    response
}

/// Does what may wait for the disk, or for a process, in a thread.
pub(super) async fn in_thread<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(Refusal::failed(format!("what was begun broke off: {error}"))))
}
