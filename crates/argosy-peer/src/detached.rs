//! A connection that leaves the runtime it was accepted in, for a thread that must not wait for
//! anything else: messages of one fixed size, without a buffer that grows.

use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::Connection;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;

use crate::PeerStream;

/// A connection between two runtimes.
#[derive(Debug)]
pub struct DetachedStream {
    tcp: StdStream,
    tls: Connection,
    slot: Option<OwnedSemaphorePermit>,
}

impl PeerStream {
    /// Takes the connection out of its runtime.
    ///
    /// # Errors
    /// When the socket cannot be taken from the reactor; the connection is then closed.
    pub fn detach(self) -> io::Result<DetachedStream> {
        let (inner, slot) = self.into_parts();
        let (tcp, tls) = match inner {
            TlsStream::Client(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, Connection::from(tls))
            }
            TlsStream::Server(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, Connection::from(tls))
            }
        };
        Ok(DetachedStream { tcp: tcp.into_std()?, tls, slot })
    }
}

impl DetachedStream {
    /// Goes on in the current runtime, with messages of `N` bytes. What the other side does not
    /// acknowledge for `patience` ends the connection.
    ///
    /// # Errors
    /// When the socket cannot be registered or set up.
    pub fn attach<const N: usize>(self, patience: Duration) -> io::Result<FrameStream<N>> {
        let DetachedStream { tcp, tls, slot } = self;
        let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&tcp, millis)?;
        let tcp = TcpStream::from_std(tcp)?;
        Ok(FrameStream { tcp, tls, frame: [0; N], filled: 0, _slot: slot })
    }
}

/// A connection that carries messages of `N` bytes.
#[derive(Debug)]
pub struct FrameStream<const N: usize> {
    tcp: TcpStream,
    tls: Connection,
    /// The message that is being read.
    frame: [u8; N],
    filled: usize,
    _slot: Option<OwnedSemaphorePermit>,
}

impl<const N: usize> FrameStream<N> {
    /// Reads the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended or broken.
    pub async fn read(&mut self) -> io::Result<[u8; N]> {
        loop {
            match self.tls.reader().read(&mut self.frame[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.filled += length;
                    if self.filled == N {
                        self.filled = 0;
                        return Ok(self.frame);
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.tcp.readable().await?;
            match self.tls.read_tls(&mut NonBlocking(&self.tcp)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection has broken.
    pub async fn write(&mut self, frame: &[u8; N]) -> io::Result<()> {
        self.tls.writer().write_all(frame)?;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut NonBlocking(&self.tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tcp.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The socket as rustls wants it: what would wait is an error instead.
struct NonBlocking<'s>(&'s TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
