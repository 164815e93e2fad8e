//! The journal as the operator API gives it: the supervisor's, as it comes.

use argosy_api::journal_line::{JournalLine, JournalQuery};
use argosy_api::{ApiError, Client, ClientError, ErrorCode, LineStream};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Pieces of some kilobytes on their way to one reader; a slow one slows the supervisor's stream,
/// not the daemon.
const PIECES_IN_FLIGHT_MAX: usize = 16;

/// Asks the supervisor and passes its answer on, unread, until either side ends or the daemon stops.
pub(crate) async fn stream(
    supervisor: &Client,
    query: &JournalQuery,
    stopped: watch::Receiver<bool>,
) -> Result<Response, ApiError> {
    let lines = open(supervisor, query).await?;
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT_MAX);
    tokio::spawn(pass_on(lines, sender, stopped));
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Returns the last lines of a unit.
pub(crate) async fn last(
    supervisor: &Client,
    unit: &str,
    lines: u64,
) -> Result<Vec<JournalLine>, ApiError> {
    let query =
        JournalQuery { unit: Some(unit.to_owned()), lines: Some(lines), ..JournalQuery::default() };
    let mut stream = open(supervisor, &query).await?;
    let mut found = Vec::new();
    while let Some(line) = stream.next().await.map_err(unavailable)? {
        found.push(line);
    }
    Ok(found)
}

async fn open(supervisor: &Client, query: &JournalQuery) -> Result<LineStream, ApiError> {
    let text = serde_urlencoded::to_string(query)
        .map_err(|error| ApiError::from_chain(ErrorCode::BadInput, &error))?;
    supervisor.lines(&format!("/v1/journal?{text}")).await.map_err(unavailable)
}

fn unavailable(error: ClientError) -> ApiError {
    match error {
        ClientError::Refused(refusal) => refusal,
        other => ApiError::from_chain(ErrorCode::Unavailable, &other)
            .with_help("is the supervisor running? See: argosy status"),
    }
}

async fn pass_on(
    mut lines: LineStream,
    sender: mpsc::Sender<Result<Bytes, ClientError>>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let next = tokio::select! {
            next = lines.next_piece() => next,
            () = sender.closed() => return,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Some(item) = next.transpose() else { return };
        let ends = item.is_err();
        if sender.send(item).await.is_err() || ends {
            return;
        }
    }
}
