//! Active health checks: is anybody there?

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::config::{Check, CheckKind};
use crate::endpoint::EndpointCell;

/// Checks an endpoint until it is withdrawn.
pub(super) async fn run(endpoint: Arc<EndpointCell>, check: Check) {
    while !endpoint.is_withdrawn() {
        let good = timeout(check.timeout, ask(&endpoint, &check.kind)).await.unwrap_or(false);
        endpoint.checked(good, &check);
        sleep(check.interval).await;
    }
}

async fn ask(endpoint: &EndpointCell, kind: &CheckKind) -> bool {
    let address = endpoint.endpoint.address;
    let Ok(stream) = TcpStream::connect(address).await else { return false };
    let path = match kind {
        CheckKind::Connect => return true,
        CheckKind::Get(path) => path,
    };
    let request = Request::get(path.as_str())
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "argosy-proxy check")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let Ok((mut sender, connection)) = handshake.await else { return false };
    let mut response = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        // Its last act was to hand over the response, or why there is none.
        _ = connection => response.await,
    };
    response
        .is_ok_and(|response| response.status().is_success() || response.status().is_redirection())
}
