//! `GET /v1/journal`: entries as JSON lines, with following; and what the journal takes up.
//!
//! Reading the disk and writing JSON is done beside the loop, a batch at a time.

use argosy_api::journal_line::{JournalLine, JournalQuery, JournalUsage, VacuumRequest};
use argosy_api::{ApiError, ErrorCode};
use argosy_journal::{Cursor, InvalidCursor, JournalLimits, Query, ReadError, Stored, Walk};
use argosy_model::UnixMicros;
use axum::Json;
use axum::extract::{Query as UrlQuery, State};
use axum::response::Response;
use tokio::sync::mpsc;

use super::{Api, lines_response};
use crate::call::Call;
use crate::output::chain;

/// Entries in a batch: some hundred kilobytes, so that neither the socket nor a thread is asked
/// often.
const BATCH: usize = 1000;
/// Bytes of messages in a batch, so that long lines do not fill the memory.
const BATCH_BYTES: usize = 256 << 10;
/// Batches made before the client has taken them: one is sent while the next one is made.
const BATCHES_MAX: usize = 2;

type Lines = mpsc::Sender<Result<Vec<u8>, serde_json::Error>>;

/// Some entries as JSON lines.
struct Batch {
    text: Result<Vec<u8>, serde_json::Error>,
    /// Nothing came: what is there is read.
    empty: bool,
    /// What follows was written after the question.
    past: bool,
}

pub(super) async fn read(
    State(api): State<Api>,
    UrlQuery(query): UrlQuery<JournalQuery>,
) -> Result<Response, ApiError> {
    let after = match &query.after {
        None => None,
        Some(text) => Some(text.parse::<Cursor>().map_err(|error: InvalidCursor| {
            ApiError::new(ErrorCode::BadInput, error.to_string())
        })?),
    };
    let search = Query {
        unit: query.unit,
        last: query.lines.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        after,
        since: query.since.map(UnixMicros),
        until: query.until.map(UnixMicros),
    };
    let (reader, machine) = (api.reader.clone(), api.machine.clone());
    // The first batch is read before the answer begins, so that an error is an error.
    let first = aside(move || {
        let walk = reader.walk(&search)?;
        // Without following, what is written after the question is no part of the answer: a unit
        // may print faster than anybody reads.
        let end = if query.follow { None } else { Some(reader.end()?) };
        Ok((next(walk, &machine, end)?, end))
    });
    let (first, end) = first.await?.map_err(|error: ReadError| internal(&error))?;
    let (lines, stream) = mpsc::channel(BATCHES_MAX);
    tokio::spawn(send(api, first, end, lines));
    Ok(lines_response(stream))
}

async fn send(api: Api, first: (Walk, Batch), end: Option<Cursor>, lines: Lines) {
    let mut ends = api.journal_end.clone();
    // What was written since the first batch was read is looked for at once.
    ends.mark_changed();
    let (mut walk, mut batch) = first;
    loop {
        let Batch { text, empty, past } = batch;
        let silent = text.as_ref().is_ok_and(Vec::is_empty);
        if !silent && lines.send(text).await.is_err() || past {
            return;
        }
        if empty {
            if end.is_some() {
                return;
            }
            tokio::select! {
                changed = ends.changed() => if changed.is_err() { return },
                () = lines.closed() => return,
            }
        }
        let machine = api.machine.clone();
        (walk, batch) = match aside(move || next(walk, &machine, end)).await {
            Ok(Ok(more)) => more,
            Ok(Err(error)) => {
                tracing::error!(error = %chain(&error), "cannot read the journal");
                return;
            }
            // The runtime is ending; nobody will read the answer.
            Err(_) => return,
        };
    }
}

/// Does something that takes long where it does not hold the loop up.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let gone = |_| ApiError::new(ErrorCode::Unavailable, "the supervisor is ending");
    tokio::task::spawn_blocking(work).await.map_err(gone)
}

fn internal(error: &ReadError) -> ApiError {
    ApiError::new(ErrorCode::Internal, chain(error))
}

/// Reads the next batch, up to `end`.
fn next(mut walk: Walk, machine: &str, end: Option<Cursor>) -> Result<(Walk, Batch), ReadError> {
    let found = walk.next(BATCH, BATCH_BYTES)?;
    let mut batch = Batch { text: Ok(Vec::new()), empty: found.is_empty(), past: false };
    for stored in found {
        if end.is_some_and(|end| stored.cursor >= end) {
            batch.past = true;
            break;
        }
        if let Ok(text) = &mut batch.text {
            match serde_json::to_writer(&mut *text, &line(machine, stored)) {
                Ok(()) => text.push(b'\n'),
                Err(error) => batch.text = Err(error),
            }
        }
    }
    Ok((walk, batch))
}

fn line(machine: &str, stored: Stored) -> JournalLine {
    let Stored { cursor, entry } = stored;
    let message = String::from_utf8(entry.message)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    JournalLine {
        cursor: cursor.to_string(),
        realtime: entry.realtime.0,
        monotonic: entry.monotonic,
        machine: machine.to_owned(),
        unit: entry.unit,
        invocation: entry.invocation.map(|id| id.to_string()),
        transport: entry.transport.as_str().to_owned(),
        pid: entry.pid,
        identifier: entry.identifier,
        container_id: entry.container.as_ref().map(|it| it.id.chars().take(12).collect()),
        container_id_full: entry.container.as_ref().map(|it| it.id.clone()),
        container_name: entry.container.as_ref().map(|it| it.name.clone()),
        image_name: entry.container.map(|it| it.image),
        priority: entry.priority,
        message,
    }
}

pub(super) async fn usage(State(api): State<Api>) -> Result<Json<JournalUsage>, ApiError> {
    let found = aside(move || {
        let usage = api.reader.usage().map_err(|error| internal(&error))?;
        let limits = JournalLimits::of_directory(api.reader.dir())
            .map_err(|error| ApiError::from_chain(ErrorCode::Internal, &error))?;
        Ok(JournalUsage {
            bytes: usage.bytes,
            segments: usage.segments,
            bytes_max: limits.total_bytes_max,
            keep_free: limits.keep_free_bytes,
        })
    });
    found.await?.map(Json)
}

/// The loop alone writes the journal, so it drops what is to go.
pub(super) async fn vacuum(
    State(api): State<Api>,
    Json(request): Json<VacuumRequest>,
) -> Result<Json<JournalUsage>, ApiError> {
    api.ask(|reply| Call::Vacuum { bytes: request.bytes, reply }).await?;
    usage(State(api)).await
}
