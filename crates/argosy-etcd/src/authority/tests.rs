//! Streams come through whatever the sizes of their pieces.

use tokio::io::AsyncReadExt;

use super::*;

/// A connection that delivers its bytes in pieces of one size.
struct Pieces {
    left: Vec<u8>,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.size.min(self.left.len()).min(buffer.remaining());
        let piece: Vec<u8> = self.left.drain(..size).collect();
        buffer.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

async fn through(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut mended = Mended::new(Pieces { left: bytes.to_vec(), size });
    let mut out = Vec::new();
    mended.read_to_end(&mut out).await.unwrap();
    out
}

async fn check(given: &[u8], expected: &[u8]) {
    for size in [1, 2, 3, 7, 9, 24, 33, 50, 4096] {
        assert_eq!(through(given, size).await, expected, "pieces of {size}");
    }
}

fn headers(authority: &str) -> Vec<u8> {
    let length = u8::try_from(authority.len()).unwrap();
    let block = [&[0x83, 0x41, length], authority.as_bytes(), &[0x86]].concat();
    let block_length = u8::try_from(block.len()).unwrap();
    [&[0, 0, block_length, HEADERS, 4, 0, 0, 0, 1], &block[..]].concat()
}

const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x02\0\0\0\0";

#[tokio::test]
async fn other_streams_are_unchanged() {
    check(b"", b"").await;
    check(b"PRI", b"PRI").await;
    let http1 = b"GET /version HTTP/1.1\r\nhost: http://a:1\r\n\r\n";
    check(http1, http1).await;
    let http2 = [PREFACE, SETTINGS, &headers("127.0.0.1:2379"), b"anything"].concat();
    check(&http2, &http2).await;
    let huge = [PREFACE, b"\xff\xff\xff\x01\0\0\0\0\0", &headers("http://a:1")].concat();
    check(&huge, &huge).await;
}

#[tokio::test]
async fn the_first_headers_are_mended() {
    let data = b"\0\0\x02\0\x01\0\0\0\x01hi";
    let given = [PREFACE, SETTINGS, &headers("http://a:1"), data, &headers("http://b:1")].concat();
    let fine = headers("xxxxxxxxxx");
    let expected = [PREFACE, SETTINGS, &fine, data, &headers("http://b:1")].concat();
    check(&given, &expected).await;
}
