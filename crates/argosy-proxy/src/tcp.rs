//! TCP: one endpoint per connection, bytes both ways, each direction closed by itself.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use rustix::net::sockopt;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Limits;
use crate::connect::{self, Connected};
use crate::retry::{self, Attempt, Decision, Failure};
use crate::worker::{Busy, LocalEndpoint, OpenClient, Tried};

/// The buffer of each direction: some packets, and small enough for thousands of connections.
const BUFFER_BYTES: usize = 16 * 1024;

/// Serves one client until both directions are closed, one side fails, or it is cut.
pub(crate) async fn serve(client: OpenClient, mut stream: TcpStream) {
    let listener = Rc::clone(&client.listener);
    let limits = &listener.worker.shared.config.limits;
    set_patience(&stream, limits);
    let Some((mut endpoint, busy)) = open(&client).await else {
        listener.cell().failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let copy =
        copy_bidirectional_with_sizes(&mut stream, &mut endpoint, BUFFER_BYTES, BUFFER_BYTES);
    // A TCP connection has no point at which it could finish early; it ends, or is cut. How it
    // ended is for its two ends to know: a reset says nothing about the endpoint.
    drop(client.control.run(pin!(copy), |_| ()).await);
    drop(busy);
}

/// Connects to an endpoint, trying others after failures: no byte has been sent yet.
async fn open(client: &OpenClient) -> Option<(TcpStream, Busy)> {
    let (mut tried, mut attempt) = (Vec::new(), Attempt::default());
    loop {
        let picked = client.listener.pick(&tried)?;
        let failure = match connect::connect(client, picked, &mut tried).await {
            Ok(Connected { endpoint, busy, stream }) if !endpoint.cell.is_withdrawn() => {
                endpoint.cell.succeeded();
                return Some((stream, busy));
            }
            // Withdrawn in the meantime: whoever withdrew it may have been told that nothing
            // new comes.
            Ok(Connected { endpoint, .. }) => {
                tried.push(Tried { endpoint, silent: false });
                Failure::NotSent
            }
            Err(failure) => failure,
        };
        attempt.count(tried.len(), failure);
        if retry::decide(failure, attempt) != Decision::Again {
            return None;
        }
        client.listener.cell().retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens a connection to an endpoint.
pub(crate) async fn connect(
    endpoint: &LocalEndpoint,
    limits: &Limits,
) -> Result<TcpStream, Failure> {
    let address: SocketAddr = endpoint.cell.endpoint.address;
    match timeout(limits.connect, TcpStream::connect(address)).await {
        Err(_) => Err(Failure::ConnectTimeout),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "cannot connect");
            Err(Failure::Refused)
        }
        Ok(Ok(stream)) => {
            // A connection without these options still works.
            drop(stream.set_nodelay(true));
            set_patience(&stream, limits);
            Ok(stream)
        }
    }
}

/// Lets the kernel end a connection whose peer is gone or takes no data: keep-alive probes for
/// silence, `TCP_USER_TIMEOUT` for data not taken, tcp(7).
pub(crate) fn set_patience(stream: &TcpStream, limits: &Limits) {
    let stalled = u32::try_from(limits.stalled.as_millis()).unwrap_or(u32::MAX);
    // The connection works without; then only the peer's own end is noticed.
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, limits.stalled);
    let _ = sockopt::set_tcp_user_timeout(stream, stalled);
}
