//! An open connection between two machines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;

use crate::certificate::read_machine;
use crate::{PeerIdentity, TlsFault};

/// A peer that has said nothing for this long is probed, so that an idle connection to a machine
/// that lost power ends after `KEEPALIVE_IDLE + KEEPALIVE_COUNT * KEEPALIVE_INTERVAL`, 30 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_COUNT: u32 = 3;
/// Data that stays unacknowledged for this long ends the connection (tcp(7)), milliseconds.
const UNACKNOWLEDGED_MS_MAX: u32 = 30_000;

/// A connection over TLS 1.3. Dropping it without `shutdown` shows the other end an unexpected
/// end, so a cut message is never taken for a whole one.
#[derive(Debug)]
pub struct PeerStream {
    inner: Box<TlsStream<TcpStream>>,
    /// Its place among a bounded number of connections, given back when it is dropped.
    slot: Option<OwnedSemaphorePermit>,
}

impl PeerStream {
    pub(crate) fn new(inner: impl Into<TlsStream<TcpStream>>) -> Self {
        PeerStream { inner: Box::new(inner.into()), slot: None }
    }

    pub(crate) fn hold(&mut self, slot: OwnedSemaphorePermit) {
        self.slot = Some(slot);
    }

    pub(crate) fn into_parts(self) -> (TlsStream<TcpStream>, Option<OwnedSemaphorePermit>) {
        (*self.inner, self.slot)
    }

    /// Returns the certificates that the other side showed, its own first.
    pub(crate) fn shown(&self) -> &[CertificateDer<'static>] {
        self.inner.get_ref().1.peer_certificates().unwrap_or_default()
    }

    /// Reads who the other side is out of its certificate, which the handshake verified.
    pub(crate) fn identify(&self) -> Result<PeerIdentity, TlsFault> {
        let certificate = self.shown().first().ok_or(TlsFault::NoCertificate)?;
        read_machine(certificate)
            .map_err(|error| TlsFault::BadCertificate { detail: error.to_string() })
    }
}

/// Sends small messages at once and notices a dead peer.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS_MAX)?;
    Ok(())
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
