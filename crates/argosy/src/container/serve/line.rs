//! A connection that has become a stream: what the client sends behind its request, and whether it is
//! still there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::UnixStream;

/// One connection.
pub(super) enum Line {
    /// The client's own, and what of it was read with its request.
    Client(Bytes, UnixStream),
    /// To the body of an answer, for a client that does not ask for the connection.
    Body(DuplexStream),
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
        let Line::Client(_, stream) = self else { return false };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut list = [PollFd::new(stream, PollFlags::empty())];
        poll(&mut list, Some(&now)).is_ok() && list[0].revents().contains(PollFlags::HUP)
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
            Line::Body(stream) => Pin::new(stream).poll_read(context, buffer),
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
            Line::Body(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Client(_, stream) => Pin::new(stream).poll_flush(context),
            Line::Body(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Client(_, stream) => Pin::new(stream).poll_shutdown(context),
            Line::Body(stream) => Pin::new(stream).poll_shutdown(context),
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
        line.write_all(b"answer").await.unwrap();
        drop(theirs);
        assert!(line.is_left());
    }
}
