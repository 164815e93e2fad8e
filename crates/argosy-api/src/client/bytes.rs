//! Answers that are bytes and not JSON, from an offset on.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Client, ClientError, Connection};

/// The bytes of an answer as they come. Dropping it ends the request.
pub struct ByteStream {
    _connection: Connection,
    body: Incoming,
    server: String,
    request: String,
}

impl Client {
    /// Gets bytes from the `from`th on (a range request, RFC 9110 section 14). The other side must
    /// know ranges.
    pub async fn bytes(&self, target: &str, from: u64) -> Result<ByteStream, ClientError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let exchange = self.exchange_of(Method::GET, target, None::<&()>, range);
        let (connection, body, request, status) =
            self.in_time(&format!("GET {target}"), exchange).await?;
        let server = self.server();
        if from > 0 && status != http::StatusCode::PARTIAL_CONTENT {
            let source = format!("HTTP {status} to a request from byte {from} on").into();
            return Err(ClientError::Answer { server, request, source });
        }
        Ok(ByteStream { _connection: connection, body, server, request })
    }
}

impl ByteStream {
    /// Returns the next piece, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    let (server, request) = (self.server.clone(), self.request.clone());
                    return Err(ClientError::Broken { server, request, source: error.into() });
                }
            }
        }
    }
}
