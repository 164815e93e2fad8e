//! Gives other machines the blobs of this one, a number of them at once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use argosy_api::{ApiError, ErrorCode};
use argosy_image::{Digest, StoreError};
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::own_store::OwnStore;
use super::who::SERVES_MAX;

/// Blobs served at once: what the leader offers this machine for, and some room for those that the
/// leader has lost count of.
const SERVED_MAX: usize = SERVES_MAX + 4;
/// One read from the disk.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces between the disk and the network, for each blob.
const PIECES_MAX: usize = 8;
/// Whoever takes nothing for this long has hung up, or might as well.
const TAKEN_MAX: Duration = Duration::from_secs(30);

/// Gives blobs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    store: Arc<OwnStore>,
    places: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(store: Arc<OwnStore>) -> Server {
        Server { store, places: Arc::new(Semaphore::new(SERVED_MAX)) }
    }

    /// Answers a request for a blob, from the byte on that it asks for.
    pub(super) async fn blob(
        &self,
        digest: Digest,
        headers: &HeaderMap,
        stopped: watch::Receiver<bool>,
    ) -> Result<Response, ApiError> {
        let from = first_byte(headers)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let own = Arc::clone(&self.store);
        let wanted = digest.clone();
        let opening = tokio::task::spawn_blocking(move || open(&own, &wanted, from));
        let failed =
            |error: &dyn std::error::Error| ApiError::from_chain(ErrorCode::Internal, error);
        let opened = opening.await.map_err(|error| failed(&error))?;
        let Some((file, bytes)) = opened.map_err(|error| failed(&error))? else {
            return Err(ApiError::new(ErrorCode::NotFound, format!("{digest} is not here")));
        };
        if from > bytes {
            let message = format!("{digest} has {bytes} bytes, and byte {from} is asked for");
            return Err(ApiError::new(ErrorCode::BadInput, message));
        }
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::spawn(send(file, sender, place, stopped));
        let body = Body::from_stream(ReceiverStream::new(pieces));
        let kind = (CONTENT_TYPE, "application/octet-stream".to_owned());
        let length = (CONTENT_LENGTH, (bytes - from).to_string());
        let ranges = (ACCEPT_RANGES, "bytes".to_owned());
        if from == 0 {
            return Ok(([kind, length, ranges], body).into_response());
        }
        let range = (CONTENT_RANGE, format!("bytes {from}-{}/{bytes}", bytes.saturating_sub(1)));
        Ok((StatusCode::PARTIAL_CONTENT, [kind, length, ranges, range], body).into_response())
    }
}

fn busy() -> ApiError {
    let message = format!("{SERVED_MAX} blobs are being given already");
    ApiError::new(ErrorCode::Unavailable, message).with_help("ask another machine")
}

/// The byte that a request begins with. Of the ways to ask for a range only the one is known that
/// machines use.
pub(super) fn first_byte(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(range) = headers.get(RANGE) else { return Ok(0) };
    let text = range.to_str().ok();
    let from = text.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    from.ok_or_else(|| {
        let message = format!("the range {range:?} is not of the form bytes=FROM-");
        ApiError::new(ErrorCode::BadInput, message)
    })
}

fn open(own: &OwnStore, digest: &Digest, from: u64) -> Result<Option<(File, u64)>, OpenError> {
    let Some(store) = own.get()? else { return Ok(None) };
    let Some((mut file, bytes)) = store.blob(digest)? else { return Ok(None) };
    file.seek(SeekFrom::Start(from)).map_err(|source| OpenError::Seek { source })?;
    Ok(Some((file, bytes)))
}

/// Why a blob that is here cannot be given.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot seek in the blob")]
    Seek { source: std::io::Error },
}

/// Sends what is left of a file. It ends with the one who takes it, or with the daemon.
async fn send(
    mut file: File,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    _place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece);
            (
                file,
                read.map(|length| {
                    piece.truncate(length);
                    Bytes::from(piece)
                }),
            )
        });
        let Ok((back, piece)) = reading.await else { return };
        file = back;
        let ends = piece.as_ref().map_or(true, Bytes::is_empty);
        if piece.as_ref().is_ok_and(Bytes::is_empty) {
            return;
        }
        let taken = tokio::select! {
            sent = tokio::time::timeout(TAKEN_MAX, sender.send(piece)) => {
                matches!(sent, Ok(Ok(())))
            }
            _ = stopped.wait_for(|stopped| *stopped) => false,
        };
        if ends || !taken {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_to_the_end_are_known() {
        let with = |text: &str| HeaderMap::from_iter([(RANGE, text.parse().unwrap())]);
        assert_eq!(first_byte(&HeaderMap::new()).unwrap(), 0);
        assert_eq!(first_byte(&with("bytes=17-")).unwrap(), 17);
        for text in ["bytes=1-2", "bytes=-5", "bytes=1-,3-", "lines=1-", "bytes=x-"] {
            assert!(first_byte(&with(text)).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_blob_is_given_from_any_byte_on_and_to_no_more_than_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let own = Arc::new(OwnStore::below(folder.path()));
        let server = Server::new(Arc::clone(&own));
        let (stop, stopped) = watch::channel(false);
        // More than fits between disk and network.
        let content = vec![7; (PIECES_MAX + 4) * PIECE_BYTES + 5];
        let digest = Digest::sha256(&content);
        let none = server.blob(digest.clone(), &HeaderMap::new(), stopped.clone()).await;
        assert_eq!(none.unwrap_err().code, ErrorCode::NotFound, "there is no store yet");
        let root = folder.path().join("images");
        std::fs::create_dir(&root).unwrap();
        own.get().unwrap().unwrap();
        let place = root.join("blobs/sha256").join(digest.hex());
        std::fs::write(&place, &content).unwrap();
        let range = HeaderMap::from_iter([(RANGE, "bytes=65536-".parse().unwrap())]);
        let answer = server.blob(digest.clone(), &range, stopped.clone()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        // What is open is given, whatever becomes of its name.
        std::fs::remove_file(&place).unwrap();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body.len(), content.len() - PIECE_BYTES);
        std::fs::write(&place, &content).unwrap();
        let mut open = Vec::new();
        for _ in 0..SERVED_MAX {
            let none = HeaderMap::new();
            open.push(server.blob(digest.clone(), &none, stopped.clone()).await.unwrap());
        }
        let refused = server.blob(digest.clone(), &HeaderMap::new(), stopped.clone()).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
        drop(open);
        // Whoever hangs up makes room.
        let mut places = server.places.available_permits();
        while places < SERVED_MAX {
            tokio::task::yield_now().await;
            places = server.places.available_permits();
        }
        drop(stop);
    }
}
