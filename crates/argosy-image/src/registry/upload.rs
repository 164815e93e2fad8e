//! Sends blobs and manifests to a registry.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::answers::{absolute, checked, empty, retrying};
use super::client::{ANSWER_LIMIT, Ask, Body, RegistryClient};
use super::failure::RegistryError;
use super::settings::Endpoint;
use crate::digest::Digest;
use crate::progress::{Event, Progress};
use crate::reference::Reference;

const ACTIONS: &str = "pull,push";
/// One piece of a blob on its way, and how many wait between disk and network.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_MAX: usize = 8;
/// An upload that is slower than this is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;

impl RegistryClient {
    /// Whether a registry has a blob already.
    pub(crate) async fn has_blob(
        &self,
        to: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let endpoint = self.origin(to)?;
        let ask = ask(&endpoint, Method::HEAD, endpoint.url(&format!("blobs/{digest}")));
        let response = retrying(|| self.ask_with(&ask, || Ok(empty()))).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => checked(response, &ask).await.map(|_| true),
        }
    }

    /// Sends a blob from a file.
    pub(crate) async fn send_blob(
        &self,
        to: &Reference,
        digest: &Digest,
        size: u64,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        retrying(|| self.send_once(to, digest, size, path, progress)).await
    }

    async fn send_once(
        &self,
        to: &Reference,
        digest: &Digest,
        size: u64,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        let endpoint = self.origin(to)?;
        let mut begin = ask(&endpoint, Method::POST, endpoint.url("blobs/uploads/"));
        begin.headers.insert(CONTENT_LENGTH, HeaderValue::from(0_u64));
        let response = self.ask_with(&begin, || Ok(empty())).await?;
        let response = checked(response, &begin).await?;
        let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let from: Result<Uri, _> = begin.url.parse();
        let unknown = || RegistryError::UploadPlace { url: begin.url.clone() };
        let place = from.ok().zip(place).and_then(|(from, place)| absolute(&from, place));
        let place = place.ok_or_else(unknown)?.to_string();
        let separator = if place.contains('?') { '&' } else { '?' };
        let mut put = ask(&endpoint, Method::PUT, format!("{place}{separator}digest={digest}"));
        put.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        put.limit += Duration::from_secs(size / SLOWEST_BYTES_PER_SECOND);
        let octets = HeaderValue::from_static("application/octet-stream");
        put.headers.insert(CONTENT_TYPE, octets);
        let body = || file_body(path.to_owned(), digest.clone(), progress.clone());
        let response = self.ask_with(&put, body).await?;
        checked(response, &put).await.map(drop)
    }

    /// Sends the manifest, with which the image is there.
    pub(crate) async fn send_manifest(
        &self,
        to: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let endpoint = self.origin(to)?;
        let url = endpoint.url(&format!("manifests/{}", to.manifest_name()));
        let mut put = ask(&endpoint, Method::PUT, url);
        if let Ok(kind) = HeaderValue::from_str(media_type) {
            put.headers.insert(CONTENT_TYPE, kind);
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let body = || Ok(Full::new(bytes.clone()).map_err(|never| match never {}).boxed());
        let response = retrying(|| self.ask_with(&put, body)).await?;
        checked(response, &put).await.map(drop)
    }
}

fn ask(endpoint: &Endpoint, method: Method, url: String) -> Ask<'_> {
    Ask { method, url, headers: HeaderMap::new(), endpoint, actions: ACTIONS, limit: ANSWER_LIMIT }
}

/// A file, read by a thread of its own.
fn file_body(path: PathBuf, layer: Digest, progress: Progress) -> Result<Body, RegistryError> {
    let mut file = std::fs::File::open(&path).map_err(RegistryError::Upload)?;
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = match file.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) => {
                    // The request has ended if nobody takes it.
                    drop(sender.blocking_send(Err(error)));
                    return;
                }
            };
            piece.truncate(read);
            if sender.blocking_send(Ok(piece.into())).is_err() {
                return;
            }
            progress(Event::Moved { layer: layer.clone(), bytes: read as u64 });
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    Ok(StreamBody::new(frames).boxed())
}
