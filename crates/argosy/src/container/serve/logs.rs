//! What a container has printed.

use argosy_container::LogLine;
use bytes::Bytes;

use super::super::logs::follow;
use super::Server;
use super::answer::{Answer, Refusal, in_thread, stream};
use super::attach::kind;
use super::call::Call;
use super::containers::known;
use super::frames::{ERROR, OUTPUT, Wanted, frame};
use crate::args::{ContainerLogs, Tail};

pub(super) async fn logs(server: &Server, call: &Call, name: &str) -> Answer {
    let query = &call.query;
    let wanted =
        Wanted { input: false, output: query.is_on("stdout"), error: query.is_on("stderr") };
    if !wanted.output && !wanted.error {
        return Err(Refusal::bad("Bad parameters: you must choose at least one stream"));
    }
    let engine = server.engine.clone();
    let (id, inspection) = known(&engine, name).await?;
    let tty = inspection.spec.process.tty;
    let time = |name: &str| query.get(name).filter(|it| *it != "0").map(str::to_owned);
    let options = ContainerLogs {
        follow: query.is_on("follow"),
        tail: match query.get("tail") {
            None | Some("all") => Tail::All,
            // docker's -1 is all.
            Some(_) => query
                .number::<i64>("tail")?
                .and_then(|it| usize::try_from(it).ok())
                .map_or(Tail::All, Tail::Last),
        },
        timestamps: query.is_on("timestamps"),
        since: time("since"),
        until: time("until"),
        container: id.to_string(),
    };
    if let Some(unit) = engine.record(&id).and_then(|it| it.unit) {
        let message = format!("what {name} prints is in the journal: argosy journal {unit}");
        return Err(Refusal::not_there(&message));
    }
    let (sender, response) = stream(kind(tty));
    let timestamps = options.timestamps;
    server.tasks.spawn(async move {
        let told = in_thread(move || {
            let followed = follow(&engine, &options, &mut |line| match line {
                None => Ok(!sender.is_closed()),
                Some(line) => {
                    let stream = if line.is_error { ERROR } else { OUTPUT };
                    if !wanted.has(stream) {
                        return Ok(true);
                    }
                    let text = text(line, timestamps);
                    let piece = if tty { text } else { frame(stream, &text) };
                    Ok(sender.blocking_send(Bytes::from(piece)).is_ok())
                }
            });
            Ok(followed?)
        });
        // The answer has begun: all that can be told of a failure is its end.
        if let Err(refusal) = told.await {
            crate::printer::note(&format!("a log breaks off: {}", refusal.message));
        }
    });
    Ok(response)
}

fn text(line: &LogLine, timestamps: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if timestamps {
        text.extend_from_slice(line.time.as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(&line.text);
    if line.whole {
        text.push(b'\n');
    }
    text
}
