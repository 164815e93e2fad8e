//! Large blobs, streamed: from wherever they are, going on where they broke off.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use http::header::RANGE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::answers::pause;
use super::client::{ANSWER_LIMIT, Ask, RegistryClient};
use super::failure::RegistryError;
use super::settings::Endpoint;
use crate::digest::Digest;

/// Pieces between network and disk; at some 100 KB each a few megabytes for each layer.
const PIECES_MAX: usize = 32;
/// A connection that brings nothing for this long is given up and made anew.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Failures without a byte of progress in between, over all places together.
const FAILURES_MAX: u32 = 5;

/// What to get, and from where.
pub(crate) struct Download {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// How much is there already.
    pub(crate) from: u64,
}

/// The writing end of a download.
pub(crate) type Pieces = mpsc::Sender<Result<Bytes, RegistryError>>;

/// The reading end of a download, for a thread that may wait.
pub(crate) struct BlobStream {
    pieces: mpsc::Receiver<Result<Bytes, RegistryError>>,
    piece: Bytes,
}

impl BlobStream {
    /// Both ends.
    pub(crate) fn new() -> (Pieces, Self) {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        (sender, Self { pieces, piece: Bytes::new() })
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// How one attempt ended.
enum Ended {
    /// All of it is there, or more than that.
    Whole,
    /// Nobody reads any more.
    Unwanted,
    Failed(RegistryError),
}

impl RegistryClient {
    /// Downloads. `retried` is told of each failure that it gets over.
    pub(crate) async fn download(
        &self,
        mut download: Download,
        sender: Pieces,
        retried: impl Fn(&RegistryError) + Send,
    ) {
        let mut failures = 0;
        while !download.endpoints.is_empty() {
            let before = download.from;
            let error = match self.attempt(&mut download, &sender).await {
                Ended::Whole | Ended::Unwanted => return,
                Ended::Failed(error) => error,
            };
            failures = if download.from > before { 1 } else { failures + 1 };
            let transient = error.is_transient();
            let more_places = download.endpoints.len() > 1;
            let last = failures >= FAILURES_MAX || (!transient && !more_places);
            if last {
                // If nobody reads any more, nobody needs to know.
                let _unread = sender.send(Err(error)).await;
                return;
            }
            retried(&error);
            if more_places {
                // A mirror that fails once is not asked again for this blob.
                download.endpoints.remove(0);
            } else {
                tokio::time::sleep(pause(failures, error.wait())).await;
            }
        }
    }

    async fn attempt(&self, download: &mut Download, sender: &Pieces) -> Ended {
        if download.from >= download.size && download.size > 0 {
            return Ended::Whole;
        }
        let endpoint = download.endpoints[0].clone();
        let url = endpoint.url(&format!("blobs/{}", download.digest));
        let mut headers = HeaderMap::new();
        if download.from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", download.from))
        {
            headers.insert(RANGE, range);
        }
        let ask = Ask {
            method: Method::GET,
            url: url.clone(),
            headers,
            endpoint: &endpoint,
            actions: "pull",
            limit: ANSWER_LIMIT,
        };
        let response = match self.ask(&ask).await {
            Ok(response) => response,
            Err(error) => return Ended::Failed(error),
        };
        // A registry that knows no ranges begins anew; what is known of it is skipped.
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let mut skip = if partial { 0 } else { download.from };
        let mut body = response.into_body();
        loop {
            let frame = match tokio::time::timeout(SILENCE_LIMIT, body.frame()).await {
                Err(_) => {
                    return Ended::Failed(RegistryError::Timeout { url, limit: SILENCE_LIMIT });
                }
                Ok(None) if download.from < download.size => {
                    return Ended::Failed(RegistryError::Broken {
                        url,
                        source: "it ended before the blob did".into(),
                    });
                }
                Ok(None) => return Ended::Whole,
                Ok(Some(Err(error))) => {
                    return Ended::Failed(RegistryError::Broken { url, source: Box::new(error) });
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(mut piece) = frame.into_data() else { continue };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            let _known = piece.split_to(known);
            skip -= known as u64;
            if piece.is_empty() {
                continue;
            }
            download.from += piece.len() as u64;
            if sender.send(Ok(piece)).await.is_err() {
                return Ended::Unwanted;
            }
        }
    }
}
