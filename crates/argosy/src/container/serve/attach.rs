//! Where a container prints and reads, over a connection that becomes nothing else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argosy_container::ContainerId;
use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::time::{sleep, timeout};

use super::super::attach::connect;
use super::Server;
use super::answer::{Answer, Body, Refusal, empty, in_thread, stream, typed};
use super::call::{Call, Query};
use super::containers::{known, look};
use super::frames::{
    CHUNK, ERROR, OUTPUT, SIZE, Wanted, frame, pass_input_on, pass_on, pass_words_on,
};
use super::line::Line;
use super::waiting::Begun;

/// How often it is looked whether a container that somebody waits for is still there.
const LOOK: Duration = Duration::from_secs(1);
/// How long a monitor that has just begun may take until it listens.
const LISTEN_MAX: Duration = Duration::from_secs(10);
const LISTEN_LOOK: Duration = Duration::from_millis(10);

/// docker's names of what goes over such a connection.
const RAW: &str = "application/vnd.docker.raw-stream";
const FRAMES: &str = "application/vnd.docker.multiplexed-stream";

/// Returns docker's name of a container's stream.
pub(super) fn kind(tty: bool) -> &'static str {
    if tty { RAW } else { FRAMES }
}

/// Answers a request whose connection goes on as a stream, and serves that with `session`. A client
/// that does not ask for the connection gets the output as the body.
pub(super) fn hijacked<F>(
    server: &Server,
    call: Call,
    tty: bool,
    session: impl FnOnce(Line) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrades = call.upgrades();
    let Call { mut request, place, .. } = call;
    if !upgrades {
        let (sender, response) = stream(kind(tty));
        server.tasks.spawn(async move {
            let (ours, mut theirs) = duplex(CHUNK);
            let line = Line::Body(ours, sender.clone());
            // With its end the session hears that its client has left.
            let passed = async move {
                let mut bytes = vec![0; CHUNK];
                while let Ok(length) = theirs.read(&mut bytes).await {
                    let piece = Bytes::copy_from_slice(&bytes[..length]);
                    if length == 0 || sender.send(piece).await.is_err() {
                        break;
                    }
                }
            };
            tokio::join!(passed, keeping(place, session(line)));
        });
        return response;
    }
    let upgrade = hyper::upgrade::on(&mut request);
    server.tasks.spawn(async move {
        // A client that has left meanwhile wants nothing any more.
        if let Some(line) = upgrade.await.ok().and_then(Line::of) {
            keeping(place, session(line)).await;
        }
    });
    let mut response = typed(empty(StatusCode::SWITCHING_PROTOCOLS), kind(tty));
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    response
}

async fn keeping(place: Arc<OwnedSemaphorePermit>, session: impl Future<Output = ()>) {
    session.await;
    drop(place);
}

/// Returns what is asked for.
fn wanted(query: &Query) -> Wanted {
    Wanted {
        input: query.is_on("stdin"),
        output: query.is_on("stdout"),
        error: query.is_on("stderr"),
    }
}

pub(super) async fn attach(server: &Arc<Server>, call: Call, name: &str) -> Answer {
    let (id, inspection) = known(&server.engine, name).await?;
    if call.query.is_on("logs") {
        return Err(Refusal::not_there("attach with logs=1: ask for logs first"));
    }
    let (wanted, tty) = (wanted(&call.query), inspection.spec.process.tty);
    let path = server.engine.containers.attach_path(&id);
    if inspection.state.is_live() {
        let socket = connect(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Refusal::conflict(format!(
                "as many have attached to container {name} as its monitor serves"
            )),
            _ => Refusal::conflict(format!(
                "container {name} prints where it was run, and nobody else hears it; what a unit's \
                 container prints is in the journal"
            )),
        })?;
        return Ok(hijacked(server, call, tty, move |line| async move {
            let Ok(departure) = line.departure() else { return };
            let (from, to) = socket.into_split();
            // Whoever is gone, or has ended, needs no word.
            tokio::select! {
                passed = both_ways(line, from, to, wanted, tty) => drop(passed),
                () = departure.wait() => {}
            }
        }));
    }
    let (begins, server_too) = (server.waiting.enter(&id), Arc::clone(server));
    Ok(hijacked(server, call, tty, move |line| async move {
        let Some(begun) = wait(&server_too, &id, &line, begins).await else { return };
        let Ok(departure) = line.departure() else { return };
        let passed = async {
            match begun {
                Begun::Here(stdout, stderr) => {
                    printed_here(line, (stdout, stderr), path, wanted, tty).await
                }
                Begun::There => {
                    let (from, to) = listening(&path).await?.into_split();
                    both_ways(line, from, to, wanted, tty).await
                }
            }
        };
        // Whoever is gone, or has ended, needs no word.
        tokio::select! {
            passed = passed => drop(passed),
            () = departure.wait() => {}
        }
    }))
}

/// Waits for the start of a container; nothing if there will be none.
async fn wait(
    server: &Server,
    id: &ContainerId,
    line: &Line,
    mut begins: tokio::sync::oneshot::Receiver<Begun>,
) -> Option<Begun> {
    loop {
        tokio::select! {
            begun = &mut begins => return begun.ok(),
            () = sleep(LOOK) => {
                if line.is_left() {
                    return None;
                }
                // Another command may have started it, or removed it.
                let (engine, id) = (server.engine.clone(), id.clone());
                let state = in_thread(move || Ok(look(&engine, &id)?.state)).await.ok()?;
                if state.is_live() {
                    return Some(Begun::There);
                }
            }
        }
    }
}

/// Connects to a monitor that has just begun.
async fn listening(path: &std::path::Path) -> io::Result<tokio::net::UnixStream> {
    let tries = async {
        loop {
            match connect(path) {
                Ok(socket) => return socket,
                Err(_) => sleep(LISTEN_LOOK).await,
            }
        }
    };
    timeout(LISTEN_MAX, tries).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

/// Serves a connection from a monitor's socket until the container has ended, or the client is gone.
async fn both_ways(
    line: Line,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    wanted: Wanted,
    tty: bool,
) -> io::Result<()> {
    let (input, mut output) = split(line);
    let passed = pass_words_on(from, &mut output, wanted, tty);
    until_printed(passed, feeding(input, to, wanted)).await?;
    output.shutdown().await
}

/// Serves a connection from the monitor's own output.
async fn printed_here(
    line: Line,
    (stdout, stderr): (ChildStdout, ChildStderr),
    path: PathBuf,
    wanted: Wanted,
    tty: bool,
) -> io::Result<()> {
    let (input, output) = split(line);
    let output = Mutex::new(output);
    let printed = async {
        // What is not wanted is read all the same: the container is to go on.
        let out = async {
            match wanted.output {
                true => pass_on(stdout, &output, OUTPUT, tty).await,
                false => pass_on(stdout, &Mutex::new(tokio::io::sink()), OUTPUT, true).await,
            }
        };
        let error = async {
            match wanted.error {
                true => pass_on(stderr, &output, ERROR, tty).await,
                false => pass_on(stderr, &Mutex::new(tokio::io::sink()), ERROR, true).await,
            }
        };
        let (out, error) = tokio::join!(out, error);
        out.and(error)
    };
    let fed = async {
        if !wanted.input {
            return Ok(());
        }
        let (from, to) = listening(&path).await?.into_split();
        // The same words come that way, too.
        let (heard, fed) = tokio::join!(
            async { tokio::io::copy(&mut { from }, &mut tokio::io::sink()).await },
            feeding(input, to, wanted)
        );
        heard.map(drop).and(fed)
    };
    until_printed(printed, fed).await?;
    output.into_inner().shutdown().await
}

async fn feeding(
    input: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    wanted: Wanted,
) -> io::Result<()> {
    match wanted.input {
        true => pass_input_on(input, to).await,
        false => Ok(()),
    }
}

/// Goes on until all is printed; the end of the input is not the end.
async fn until_printed(
    printed: impl Future<Output = io::Result<()>>,
    fed: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let fed = async {
        // A container that takes no more input may go on to print.
        drop(fed.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        printed = printed => printed,
        () = fed => Ok(()),
    }
}

/// Gives a container's terminal another size.
pub(super) async fn resize(server: &Server, call: &Call, name: &str) -> Answer {
    let (id, _) = known(&server.engine, name).await?;
    let (rows, columns) = size(&call.query)?;
    let not_running = || Refusal::conflict(format!("container {name} is not running"));
    let mut socket =
        connect(&server.engine.containers.attach_path(&id)).map_err(|_| not_running())?;
    let text = format!("{rows} {columns}");
    socket.write_all(&frame(SIZE, text.as_bytes())).await.map_err(|_| not_running())?;
    Ok(empty(StatusCode::OK))
}

/// Returns the rows and columns that are asked for.
pub(super) fn size(query: &Query) -> Result<(u16, u16), Refusal> {
    let side = |name: &str| {
        let missing = || Refusal::bad(format!("the parameter {name} is missing"));
        query.number::<u16>(name)?.ok_or_else(missing)
    };
    Ok((side("h")?, side("w")?))
}
