//! Connections to registries: TCP, and TLS over it where it is asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::failure::RegistryError;
use super::resolve::Names;
use super::settings::host_of;

/// One address has this long; then the next is tried. Far registries answer within a second.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A handshake has this long.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Opens connections of one kind.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) names: Arc<Names>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A connection, plain or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, RegistryError> {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut last: Box<dyn std::error::Error + Send + Sync> = "it has no address".into();
        for address in self.names.addresses(&authority, port).await? {
            match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.secured(stream, secure, authority).await,
                Ok(Err(error)) => last = Box::new(error),
                Err(elapsed) => last = Box::new(elapsed),
            }
        }
        Err(RegistryError::Connect { host: authority, source: last })
    }

    async fn secured(
        self,
        stream: TcpStream,
        secure: bool,
        authority: String,
    ) -> Result<TokioIo<Stream>, RegistryError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::Connect {
            host: authority.clone(),
            source,
        };
        stream.set_nodelay(true).map_err(|error| failed(Box::new(error)))?;
        if !secure {
            return Ok(TokioIo::new(Stream::Plain(stream)));
        }
        let Some(tls) = self.tls else {
            return Err(failed("it redirects to TLS, which is not set up for it".into()));
        };
        let name = ServerName::try_from(host_of(&authority).to_owned())
            .map_err(|error| failed(Box::new(error)))?;
        let handshake = TlsConnector::from(tls).connect(name, stream);
        match tokio::time::timeout(HANDSHAKE_LIMIT, handshake).await {
            Ok(Ok(stream)) => Ok(TokioIo::new(Stream::Tls(Box::new(stream)))),
            Ok(Err(error)) => Err(failed(Box::new(error))),
            Err(elapsed) => Err(failed(Box::new(elapsed))),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = RegistryError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
