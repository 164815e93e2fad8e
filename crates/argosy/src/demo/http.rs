//! One HTTP request on a connection of its own, with one limit for all of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read: a directory of keys of this demonstration has under 4 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Gets `path` and returns the body of an answer with status 200. Nothing is tried twice.
pub(super) fn get(server: SocketAddr, path: &str, limit: Duration) -> io::Result<String> {
    let end = Instant::now() + limit;
    let left = || -> io::Result<Duration> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    };
    let mut stream = TcpStream::connect_timeout(&server, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    // HTTP/1.0: the answer ends with the connection and has no chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece)? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
    }
    body(&String::from_utf8_lossy(&answer))
}

fn body(answer: &str) -> io::Result<String> {
    let bad = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(bad("the connection ended before an answer".into()));
    };
    let status = head.split_whitespace().nth(1).unwrap_or("no status");
    if status == "200" { Ok(body.to_owned()) } else { Err(bad(format!("status {status}"))) }
}

/// Reads one key over the store's oldest interface, which answers `{"value": ...}`.
pub(super) fn key(store: SocketAddr, key: &str, limit: Duration) -> io::Result<String> {
    let answer = get(store, &format!("/v1/keys/{key}"), limit)?;
    let json: serde_json::Value = serde_json::from_str(&answer)?;
    let value = json["value"].as_str().map(str::to_owned);
    value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer has no value"))
}
