//! Websockets: one request with `Upgrade`, then bytes both ways.

use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::time::timeout;

use super::body::ResponseBody;
use super::forward::why;
use super::upstream::Leased;
use super::{Failed, READ_AHEAD_MAX};
use crate::connect::{Connected, connect};
use crate::headers;
use crate::retry::{self, Attempt, Decision, Failure};
use crate::worker::{Busy, LocalEndpoint, OpenClient, Tried};

/// The buffer of each direction: messages are small.
const BUFFER_BYTES: usize = 8 * 1024;

/// Forwards a request for a websocket over a connection of its own.
pub(super) async fn forward(
    client: &OpenClient,
    head: Parts,
    upgrade: OnUpgrade,
) -> Result<Response<ResponseBody>, Failed> {
    let limits = &client.listener.worker.shared.config.limits;
    let (endpoint, busy, mut sender) = open(client).await?;
    let mut request = Request::from_parts(head, Empty::new());
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    let failed = |failure, status| {
        endpoint.cell.failed();
        Failed { status, why: why(failure) }
    };
    let mut response = match timeout(limits.first_byte, sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => return Err(failed(Failure::Reset, StatusCode::BAD_GATEWAY)),
        Err(_) => return Err(failed(Failure::ResponseTimeout, StatusCode::GATEWAY_TIMEOUT)),
    };
    endpoint.cell.succeeded();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let other = hyper::upgrade::on(&mut response);
        // Ends with either side, when cut, or with the worker.
        drop(tokio::task::spawn_local(tunnel(client.again(), endpoint, busy, upgrade, other)));
        let mut response = Response::from_parts(response.into_parts().0, ());
        headers::strip_hop_by_hop(response.headers_mut());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Ok(response.map(|()| ResponseBody::own(Bytes::new())));
    }
    let (mut head, incoming) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    let leased = Leased::new(None, Rc::clone(&endpoint), busy);
    Ok(Response::from_parts(head, ResponseBody::of(incoming, leased, limits.stalled)))
}

/// Connects to an endpoint, trying others after failures.
async fn open(
    client: &OpenClient,
) -> Result<(Rc<LocalEndpoint>, Busy, SendRequest<Empty<Bytes>>), Failed> {
    let (mut tried, mut attempt) = (Vec::new(), Attempt::default());
    loop {
        let Some(picked) = client.listener.pick(&tried) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Failed { status, why: "it has no endpoint" });
        };
        let failure = match connect(client, picked, &mut tried).await {
            Ok(Connected { endpoint, busy, stream }) if !endpoint.cell.is_withdrawn() => {
                let mut builder = Builder::new();
                builder.max_buf_size(READ_AHEAD_MAX);
                match builder.handshake(TokioIo::new(stream)).await {
                    Ok((sender, connection)) => {
                        // Ends with the connection, whose other user holds `sender`.
                        drop(tokio::task::spawn_local(connection.with_upgrades()));
                        return Ok((endpoint, busy, sender));
                    }
                    Err(_) => {
                        tried.push(Tried { endpoint, silent: false });
                        Failure::Refused
                    }
                }
            }
            Ok(Connected { endpoint, .. }) => {
                tried.push(Tried { endpoint, silent: false });
                Failure::NotSent
            }
            Err(failure) => failure,
        };
        attempt.count(tried.len(), failure);
        if let Decision::Answer(status) = retry::decide(failure, attempt) {
            return Err(Failed { status, why: why(failure) });
        }
        client.listener.cell().retries.fetch_add(1, Ordering::Relaxed);
    }
}

async fn tunnel(
    client: OpenClient,
    endpoint: Rc<LocalEndpoint>,
    busy: Busy,
    near: OnUpgrade,
    far: OnUpgrade,
) {
    // From here on the tunnel is what runs at the endpoint, not the request.
    let running = client.busy(&endpoint);
    drop(busy);
    let (Ok(near), Ok(far)) = tokio::join!(near, far) else { return };
    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
    let copy = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES);
    // How it ended is for its two ends to know.
    drop(client.control.run(pin!(copy), |_| ()).await);
    drop(running);
}
