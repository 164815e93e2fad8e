//! `GET /v1/journal`: entries as JSON lines, with following.

use argosy_api::journal_line::{JournalLine, JournalQuery};
use argosy_api::{ApiError, ErrorCode};
use argosy_journal::{Cursor, InvalidCursor, Query, ReadError, Stored};
use argosy_model::UnixMicros;
use axum::extract::{Query as UrlQuery, State};
use axum::response::Response;
use tokio::sync::mpsc;

use super::{Api, LINES_MAX, json_line, lines_response};
use crate::output::chain;

/// Entries read from disk at once.
const BATCH: usize = 1000;

type Lines = mpsc::Sender<Result<Vec<u8>, serde_json::Error>>;

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
    let lines_wanted = query.lines.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut search = Query {
        unit: query.unit,
        last: lines_wanted,
        after,
        since: query.since.map(UnixMicros),
        until: query.until.map(UnixMicros),
    };
    if let Some(last) = search.last.take_if(|last| *last > BATCH) {
        // They would not all fit into memory, so they are read from the first of them on.
        let before = before_last(&api, search.clone(), last)
            .await
            .map_err(|error| ApiError::new(ErrorCode::Internal, chain(&error)))?;
        search.after = before.or(search.after);
    }
    // The first batch is read before the answer begins, so that an error is an error.
    let first = batch(&api, search.clone())
        .await
        .map_err(|error| ApiError::new(ErrorCode::Internal, chain(&error)))?;
    let (lines, stream) = mpsc::channel(LINES_MAX);
    tokio::spawn(send(api, search, first, query.follow, lines));
    Ok(lines_response(stream))
}

async fn send(
    api: Api,
    mut search: Query,
    first: (Vec<Stored>, Option<Cursor>),
    follow: bool,
    lines: Lines,
) {
    let mut ends = api.journal_end.clone();
    // Without following, what is written after the question is no part of the answer: a unit may
    // print faster than anybody reads.
    let until = (!follow).then(|| *ends.borrow());
    // What was written since the first batch was read is looked for at once.
    ends.mark_changed();
    let (mut found, mut reached) = first;
    loop {
        let full = search.last.is_none() && found.len() >= BATCH;
        for stored in found {
            if until.is_some_and(|until| stored.cursor >= until) {
                return;
            }
            if lines.send(json_line(&line(&api, stored))).await.is_err() {
                return;
            }
        }
        search.last = None;
        search.after = reached.or(search.after);
        if !full {
            if !follow {
                return;
            }
            tokio::select! {
                changed = ends.changed() => if changed.is_err() { return },
                () = lines.closed() => return,
            }
        }
        (found, reached) = match batch(&api, search.clone()).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(error = %chain(&error), "cannot read the journal");
                return;
            }
        };
    }
}

async fn before_last(api: &Api, query: Query, last: usize) -> Result<Option<Cursor>, ReadError> {
    let reader = api.reader.clone();
    let search = tokio::task::spawn_blocking(move || reader.before_last(&query, last));
    // As below.
    search.await.unwrap_or(Ok(None))
}

async fn batch(api: &Api, query: Query) -> Result<(Vec<Stored>, Option<Cursor>), ReadError> {
    let reader = api.reader.clone();
    let limit = query.last.unwrap_or(BATCH);
    match tokio::task::spawn_blocking(move || reader.read(&query, limit)).await {
        Ok(result) => result,
        // The runtime is ending; nobody will read the answer.
        Err(_) => Ok((Vec::new(), None)),
    }
}

fn line(api: &Api, stored: Stored) -> JournalLine {
    let Stored { cursor, entry } = stored;
    JournalLine {
        cursor: cursor.to_string(),
        realtime: entry.realtime.0,
        monotonic: entry.monotonic,
        machine: api.machine.clone(),
        unit: entry.unit,
        invocation: entry.invocation.map(|id| id.to_string()),
        transport: entry.transport.as_str().to_owned(),
        pid: entry.pid,
        identifier: entry.identifier,
        priority: entry.priority,
        message: String::from_utf8_lossy(&entry.message).into_owned(),
    }
}
