//! A connection that has become a stream: what the client sends behind its request, and whether it is
//! still there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often it is looked whether a client is still there that says nothing and is told nothing.
const LOOK: Duration = Duration::from_secs(1);

/// One connection.
pub(super) enum Line {
    /// The client's own, and what of it was read with its request.
    Client(Bytes, UnixStream),
    /// To the body of an answer, for a client that does not ask for the connection; the other is what
    /// the pieces of the body go to.
    Body(DuplexStream, mpsc::Sender<Bytes>),
}

/// What tells of a line that its client has left, while the line itself is at work.
pub(super) enum Departure {
    Client(OwnedFd),
    Body(mpsc::Sender<Bytes>),
}

impl Departure {
    /// Waits until the client has left.
    pub(super) async fn wait(self) {
        match self {
            Departure::Client(stream) => {
                while !is_shut(&stream) {
                    sleep(LOOK).await;
                }
            }
            Departure::Body(sender) => sender.closed().await,
        }
    }
}

/// Tells whether a socket is closed in both directions.
fn is_shut(stream: &impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut list = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut list, Some(&now)).is_ok() && list[0].revents().contains(PollFlags::HUP)
}

impl Line {
    /// Returns the connection that a client has asked for.
    pub(super) fn of(upgraded: Upgraded) -> Option<Line> {
        // All connections are of this kind.
        let parts = upgraded.downcast::<TokioIo<UnixStream>>().ok()?;
        Some(Line::Client(parts.read_buf, parts.io.into_inner()))
    }

    /// Tells whether nobody is at the other end any more: one that only says nothing more is there.
    pub(super) fn is_left(&self) -> bool {
        match self {
            Line::Client(_, stream) => is_shut(stream),
            Line::Body(_, sender) => sender.is_closed(),
        }
    }

    /// Returns what tells when the client has left.
    pub(super) fn departure(&self) -> io::Result<Departure> {
        Ok(match self {
            Line::Client(_, stream) => Departure::Client(stream.as_fd().try_clone_to_owned()?),
            Line::Body(_, sender) => Departure::Body(sender.clone()),
        })
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Client(before, _) if !before.is_empty() => {
                let length = before.len().min(buffer.remaining());
                buffer.put_slice(&before[..length]);
                before.advance(length);
                Poll::Ready(Ok(()))
            }
            Line::Client(_, stream) => Pin::new(stream).poll_read(context, buffer),
            Line::Body(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Line::Client(_, stream) => Pin::new(stream).poll_write(context, bytes),
            Line::Body(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Client(_, stream) => Pin::new(stream).poll_flush(context),
            Line::Body(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Client(_, stream) => Pin::new(stream).poll_shutdown(context),
            Line::Body(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_client_that_says_nothing_more_is_there_and_one_that_has_left_is_not() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut line = Line::Client(Bytes::from_static(b"be"), ours);
        theirs.write_all(b"hind").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut text = String::new();
        line.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "behind");
        assert!(!line.is_left());
        let departure = line.departure().unwrap();
        line.write_all(b"answer").await.unwrap();
        drop(theirs);
        assert!(line.is_left());
        departure.wait().await;
    }
}
