//! HTTP/1.1: takes a client's requests one by one and forwards each.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::headers::{self, Client};
use crate::tcp;
use crate::worker::OpenClient;

mod answer;
mod body;
mod forward;
mod upgrade;
mod upstream;

use answer::answer;
use body::{RequestBody, ResponseBody};
pub(crate) use upstream::Upstream;

/// The longest request head: four times what browsers and most servers bear. A longer one is
/// answered 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What is read ahead of one connection at most: a longest head and some body.
const READ_AHEAD_MAX: usize = 64 * 1024;

/// A client connection and what its requests need.
struct Connection {
    client: OpenClient,
    origin: Client,
}

/// Serves one client connection until it ends.
pub(crate) async fn serve(client: OpenClient, stream: TcpStream, peer: SocketAddr) {
    let config = &client.listener.worker.shared.config;
    let (limits, trusted) = (config.limits.clone(), config.trust_forwarded);
    tcp::set_patience(&stream, &limits);
    let Some(address) = forwarded_for(peer.ip()) else { return };
    let control = Rc::clone(&client.control);
    let connection = Rc::new(Connection { client, origin: Client { address, trusted } });
    let service = service_fn(|request| {
        let connection = Rc::clone(&connection);
        async move { Ok::<_, Infallible>(respond(connection, request).await) }
    });
    let serving = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_head)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(READ_AHEAD_MAX)
        // One copy into one buffer costs the kernel less than a vector of pieces.
        .writev(false)
        // A client that closes is gone: what runs for it is given up. Few clients close one half
        // and wait for the answer, and to a server both look the same.
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let ended = control.run(pin!(serving), |serving| serving.graceful_shutdown()).await;
    if let Some(Err(error)) = ended {
        // The client's doing: it went away, sent no HTTP, or took too long.
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "client connection");
    }
}

/// An IPv4 client of an IPv6 socket is shown as what it is.
fn forwarded_for(address: IpAddr) -> Option<HeaderValue> {
    HeaderValue::from_str(&address.to_canonical().to_string()).ok()
}

async fn respond(connection: Rc<Connection>, request: Request<Incoming>) -> Response<ResponseBody> {
    let listener = &connection.client.listener;
    let (cell, service) = (listener.cell(), listener.cell().config.service.as_str());
    cell.requests.fetch_add(1, Ordering::Relaxed);
    let (mut head, body) = request.into_parts();
    let websocket = headers::wants_websocket(&head);
    let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    if let Err(refused) = headers::prepare(&mut head, &connection.origin, service) {
        cell.refused.fetch_add(1, Ordering::Relaxed);
        let mut response = answer(refused.status(), service, &refused.to_string());
        // What follows may have been meant differently.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(http::header::CONNECTION, close);
        return response;
    }
    let limits = &listener.worker.shared.config.limits;
    let result = match upgrade {
        Some(upgrade) if websocket && body.is_end_stream() => {
            upgrade::forward(&connection.client, head, upgrade).await
        }
        _ => {
            let body = RequestBody::new(body, limits.stalled);
            forward::forward(&connection.client, Request::from_parts(head, body)).await
        }
    };
    result.unwrap_or_else(|failed| {
        if failed.status.is_server_error() {
            cell.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer(failed.status, service, failed.why)
    })
}

/// A request got no response.
struct Failed {
    status: StatusCode,
    why: &'static str,
}
