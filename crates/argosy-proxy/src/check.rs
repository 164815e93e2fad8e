//! Is anybody there, and well? One check of one endpoint.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use argosy_model::HealthCheck;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No connection.
    #[error("{address} accepts no connection")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No response, or no HTTP.
    #[error("{address} does not answer {check}")]
    Ask {
        /// Where.
        address: SocketAddr,
        /// What was asked.
        check: HealthCheck,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// Another status than 2xx and 3xx.
    #[error("{address} answers {check} with {status}")]
    Status {
        /// Where.
        address: SocketAddr,
        /// What was asked.
        check: HealthCheck,
        /// The status.
        status: StatusCode,
    },
    /// The path is none.
    #[error("{check} cannot be asked")]
    Request {
        /// What was to be asked.
        check: HealthCheck,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// It took too long.
    #[error("{address} does not answer {check} within {limit:?}")]
    TimedOut {
        /// Where.
        address: SocketAddr,
        /// What was asked.
        check: HealthCheck,
        /// How long it had.
        limit: Duration,
    },
}

/// Checks once.
pub async fn check(
    address: SocketAddr,
    check: &HealthCheck,
    limit: Duration,
) -> Result<(), CheckError> {
    let late = || CheckError::TimedOut { address, check: check.clone(), limit };
    timeout(limit, ask(address, check)).await.unwrap_or_else(|_| Err(late()))
}

async fn ask(address: SocketAddr, check: &HealthCheck) -> Result<(), CheckError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| CheckError::Connect { address, source })?;
    let path = match check {
        HealthCheck::Tcp => return Ok(()),
        HealthCheck::Http(path) => path,
    };
    let failed = |source| CheckError::Ask { address, check: check.clone(), source };
    let request = Request::get(path.as_str())
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "argosy-proxy check")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| CheckError::Request { check: check.clone(), source })?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let mut response = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        // Its last act was to hand over the response, or why there is none.
        _ = connection => response.await,
    };
    match response.map_err(failed)?.status() {
        status if status.is_success() || status.is_redirection() => Ok(()),
        status => Err(CheckError::Status { address, check: check.clone(), status }),
    }
}
