//! Lets clients in whose HTTP/2 authority is a whole URL.
//!
//! etcd's own client up to 3.4 puts the endpoint as given, `http://HOST:PORT`, into `:authority`
//! when it dials one member alone (`etcdctl endpoint status`, logging in). etcd's HTTP library
//! takes anything; ours resets the stream (RFC 9113, 8.3.1). A connection has one authority, and
//! nothing here reads it, so it is replaced in the first HEADERS frame by letters of the same
//! length: the header table of both ends keeps its size.

mod hpack;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes before the payload of a frame (RFC 9113, 4.1).
const FRAME_HEADER_BYTES: usize = 9;

/// Longest frame that is looked into: the longest that a client may send unless told otherwise
/// (RFC 9113, 6.5.2, `SETTINGS_MAX_FRAME_SIZE`). A connection never holds back more.
const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + (16 << 10);

/// Bytes read at once while looking.
const READ_BYTES: usize = 4 << 10;

/// Frame type HEADERS.
const HEADERS: u8 = 1;

/// A connection whose first HEADERS frame is looked at, and which is then passed through.
pub(crate) struct Mended<S> {
    inner: S,
    phase: Phase,
    /// Read and not yet looked at.
    held: BytesMut,
    /// Looked at, to be handed out.
    ready: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The preface tells HTTP/2 from HTTP/1.
    Preface,
    /// Frames before the first HEADERS.
    Frames,
    /// Nothing more to look for.
    Passing,
}

impl<S> Mended<S> {
    pub(crate) fn new(inner: S) -> Self {
        let (held, ready) = (BytesMut::new(), BytesMut::new());
        Self { inner, phase: Phase::Preface, held, ready }
    }

    /// Moves what needs no further look from `held` to `ready`.
    fn sift(&mut self) {
        if self.phase == Phase::Preface {
            if self.held.starts_with(PREFACE) {
                self.ready.unsplit(self.held.split_to(PREFACE.len()));
                self.phase = Phase::Frames;
            } else if !PREFACE.starts_with(&self.held) {
                self.pass();
            }
        }
        while self.phase == Phase::Frames && self.held.len() >= FRAME_HEADER_BYTES {
            let payload = (&self.held[..]).get_uint(3) as usize;
            let frame = FRAME_HEADER_BYTES + payload;
            if frame > FRAME_BYTES_MAX {
                self.pass();
            } else if self.held.len() < frame {
                return;
            } else {
                let frame = self.held.split_to(frame);
                let headers = frame[3] == HEADERS;
                let mended = if headers { hpack::mend(&frame) } else { None };
                match mended {
                    Some(mended) => self.ready.put_slice(&mended),
                    None => self.ready.unsplit(frame),
                }
                if headers {
                    self.pass();
                }
            }
        }
    }

    fn pass(&mut self) {
        self.ready.unsplit(self.held.split());
        self.phase = Phase::Passing;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() && this.phase != Phase::Passing {
            let mut chunk = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                this.pass();
            } else {
                this.held.put_slice(read.filled());
                this.sift();
            }
        }
        if this.ready.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        }
        let bytes = this.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.ready.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests;
