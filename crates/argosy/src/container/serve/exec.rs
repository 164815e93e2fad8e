//! Processes that are executed in a container that runs: asked for first, and started then. What was
//! asked for lies beside the container's run, and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use argosy_container::{ContainerId, ExecSpec, Process, ProcessName, Streams};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::Server;
use super::answer::{Answer, Refusal, empty, json, with_status};
use super::attach::{hijacked, size};
use super::call::Call;
use super::child::not_run;
use super::containers::known;
use super::frames::{ERROR, OUTPUT, pass_on};
use super::line::Line;
use super::terminal::{self, OtherEnd, Terminal};
use crate::container::{Engine, helper, random_hex};

/// Of an id, behind that of the container: as many as tell all its processes apart.
const OWN_BYTES: usize = 16;
/// Digits of a container's id.
const CONTAINER: usize = 64;

/// Beginning of the names of files that say what was asked for.
const ASKED: &str = "asked-";
/// Of the name of the file that says that it was begun.
const BEGUN: &str = "begun";
/// How long it is known of a process that has ended how it did, as with docker.
const KEPT: Duration = Duration::from_secs(300);
/// Processes of a container's run that are known: some each second, for as long as they are kept.
const ASKED_MAX: usize = 4096;

/// docker's word of a process whose end nobody saw.
const LOST: i32 = 255;

/// A process that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    spec: ExecSpec,
    input: bool,
    output: bool,
    error: bool,
    begun: bool,
    /// The helper, which is its parent.
    helper: Option<ProcessName>,
    code: Option<i32>,
}

impl Asked {
    /// Tells whether it has begun and nobody has noted its end yet, nor ever will: `is_own` if this
    /// server waits for it. One that another server has waited for has ended with its helper.
    fn runs(&self, is_own: bool) -> bool {
        let is_there = || is_own || self.helper.is_some_and(|it| it.is_alive());
        self.begun && self.code.is_none() && is_there()
    }
}

/// What this server knows of processes that it has begun.
#[derive(Default)]
pub(super) struct Sessions {
    /// Terminals of those that run, each with its helper's number.
    terminals: Lock<BTreeMap<String, (OwnedFd, u32)>>,
    /// Those whose ends it notes.
    own: Lock<BTreeSet<String>>,
}

/// Where it lies what was asked for.
fn place(engine: &Engine, id: &str) -> Result<(ContainerId, PathBuf), Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, format!("No such exec instance: {id}"));
    let (container, own) = id.split_at_checked(CONTAINER).ok_or_else(none)?;
    if own.len() != 2 * OWN_BYTES || !id.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(none());
    }
    let container = ContainerId::new(container).map_err(|_| none())?;
    let path =
        engine.containers.run_dir.join(container.as_str()).join(format!("{ASKED}{own}.json"));
    Ok((container, path))
}

fn read(engine: &Engine, id: &str) -> Result<(ContainerId, PathBuf, Asked), Refusal> {
    let (container, path) = place(engine, id)?;
    let asked = fs::read(&path).ok().and_then(|it| serde_json::from_slice(&it).ok());
    let none = || Refusal::new(StatusCode::NOT_FOUND, format!("No such exec instance: {id}"));
    Ok((container, path, asked.ok_or_else(none)?))
}

/// Variables may be secrets: it is its owner's alone.
fn write(path: &PathBuf, asked: &Asked) -> Result<(), Refusal> {
    let next = path.with_extension("next");
    let text = serde_json::to_vec(asked).map_err(|error| Refusal::failed(error.to_string()))?;
    let mut options = fs::File::options();
    options.create(true).truncate(true).write(true).mode(0o600);
    let written = options
        .open(&next)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &text))
        .and_then(|()| fs::rename(&next, path));
    written.map_err(|error| Refusal::failed(format!("cannot write {}: {error}", path.display())))
}

/// What docker's clients say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    privileged: bool,
    user: Option<String>,
    working_dir: Option<String>,
}

pub(super) async fn create(server: &Server, call: Call, name: &str) -> Answer {
    let engine = &server.engine;
    let (id, inspection) = known(engine, name).await?;
    if !inspection.state.is_live() {
        return Err(Refusal::conflict(format!("Container {id} is not running")));
    }
    let body: Body = serde_json::from_value(call.json().await?)
        .map_err(|error| Refusal::bad(format!("the body is not understood: {error}")))?;
    let args = body.cmd.filter(|it| !it.is_empty());
    let process = Process {
        args: args.ok_or_else(|| Refusal::bad("No exec command specified"))?,
        env: body.env.unwrap_or_default(),
        cwd: body.working_dir.filter(|it| !it.is_empty()),
        user: body.user.unwrap_or_default(),
        groups: Vec::new(),
        tty: body.tty,
    };
    let asked = Asked {
        spec: ExecSpec { process, privileged: body.privileged },
        input: body.attach_stdin,
        output: body.attach_stdout,
        error: body.attach_stderr,
        begun: false,
        helper: None,
        code: None,
    };
    let exec = format!("{id}{}", random_hex::<OWN_BYTES>()?);
    let (_, path) = place(engine, &exec)?;
    forget(server, &id, &path)?;
    write(&path, &asked)?;
    Ok(with_status(StatusCode::CREATED, &json!({ "Id": exec })))
}

/// Forgets processes that ended a while ago, and those that nobody has started since they were asked
/// for; refuses to keep more than there may be.
fn forget(server: &Server, container: &ContainerId, new: &Path) -> Result<(), Refusal> {
    let mut kept = 0;
    for entry in new.parent().and_then(|it| fs::read_dir(it).ok()).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let own = name.strip_prefix(ASKED).and_then(|it| it.strip_suffix(".json"));
        let Some(own) = own else { continue };
        let is_own = server.sessions.own().contains(&format!("{container}{own}"));
        let age =
            entry.metadata().and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
        let asked = fs::read(&path).ok().and_then(|it| serde_json::from_slice::<Asked>(&it).ok());
        let runs = asked.is_some_and(|it| it.runs(is_own));
        if !runs && age.is_some_and(|age| age > KEPT) {
            // Somebody else may have been faster.
            drop(fs::remove_file(&path));
            drop(fs::remove_file(path.with_extension(BEGUN)));
        } else {
            kept += 1;
        }
    }
    match kept < ASKED_MAX {
        true => Ok(()),
        false => Err(Refusal::conflict(format!(
            "{ASKED_MAX} processes were executed in this container, or asked for, within {} s",
            KEPT.as_secs()
        ))),
    }
}

pub(super) fn inspect(server: &Server, id: &str) -> Answer {
    // First: one that ends meanwhile is noted before it is forgotten here.
    let is_own = server.sessions.own().contains(id);
    let (container, _, asked) = read(&server.engine, id)?;
    let runs = asked.runs(is_own);
    let process = &asked.spec.process;
    let (program, arguments) =
        process.args.split_first().map_or(("", &[][..]), |(it, rest)| (it, rest));
    Ok(json(&json!({
        "ID": id,
        "ContainerID": container,
        "Running": runs,
        // Nobody saw the end of one whose server and helper are gone.
        "ExitCode": asked.code.or((asked.begun && !runs).then_some(LOST)),
        "Pid": asked.helper.map_or(0, |it| it.pid),
        "CanRemove": false,
        "DetachKeys": "",
        "OpenStdin": asked.input,
        "OpenStdout": asked.output,
        "OpenStderr": asked.error,
        "ProcessConfig": {
            "entrypoint": program,
            "arguments": arguments,
            "tty": process.tty,
            "privileged": asked.spec.privileged,
            "user": process.user,
        },
    })))
}

pub(super) async fn start(server: &Arc<Server>, mut call: Call, id: &str) -> Answer {
    let (container, path, mut asked) = read(&server.engine, id)?;
    let started = || Refusal::conflict(format!("exec {id} has been started already"));
    if asked.begun {
        return Err(started());
    }
    // The connection goes on behind the body.
    let said = taken_body(&mut call).await?;
    let is_left = said["Detach"].as_bool().unwrap_or(false);
    let tty = asked.spec.process.tty;
    // Of two who start it at once, one does.
    fs::File::create_new(path.with_extension(BEGUN)).map_err(|_| started())?;
    let streams = Streams { interactive: asked.input && !is_left, attachable: !is_left };
    let request = server.engine.containers.exec_request(&container, &asked.spec, streams)?;
    let mut command = Command::from(helper(&request)?);
    let terminal = prepare(&mut command, &asked, is_left)
        .map_err(|error| Refusal::failed(format!("cannot make the process's streams: {error}")))?;
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    drop(command);
    let number = child.id().and_then(|it| i32::try_from(it).ok());
    (asked.begun, asked.helper) = (true, number.and_then(ProcessName::of));
    let noting = Noting::begin(server, id);
    write(&path, &asked)?;
    if is_left {
        server.tasks.spawn(async move {
            ended(&mut child, path, asked).await;
            drop(noting);
        });
        return Ok(empty(StatusCode::OK));
    }
    let (server_too, id) = (Arc::clone(server), id.to_owned());
    Ok(hijacked(server, call, tty, move |line| async move {
        let departure = line.departure();
        let (input, output) = split(line);
        let output = Mutex::new(output);
        let passed = async {
            match terminal {
                Some(Terminal { from, to, own }) => {
                    if let Some(number) = child.id() {
                        server_too.sessions.terminals().insert(id.clone(), (own, number));
                    }
                    at_terminal((input, &output), (from, to), asked.input).await;
                }
                None => drop(at_pipes((input, &output), &mut child).await),
            }
        };
        // As with docker, the process goes on when its client has left: what it prints then its helper
        // takes, and passes to nobody.
        match departure {
            Ok(departure) => tokio::select! {
                () = passed => {}
                () = departure.wait() => {}
            },
            Err(_) => passed.await,
        }
        server_too.sessions.terminals().remove(&id);
        // A client asks for the exit status as soon as nothing more comes.
        ended(&mut child, path, asked).await;
        drop(noting);
        drop(output.into_inner().shutdown().await);
    }))
}

/// For as long as this server waits for the end of a process, and notes it.
struct Noting {
    server: Arc<Server>,
    id: String,
}

impl Noting {
    fn begin(server: &Arc<Server>, id: &str) -> Noting {
        server.sessions.own().insert(id.to_owned());
        Noting { server: Arc::clone(server), id: id.to_owned() }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.server.sessions.own().remove(&self.id);
    }
}

/// Reads the body of a request whose connection goes on.
async fn taken_body(call: &mut Call) -> Result<Value, Refusal> {
    use http_body_util::{BodyExt, Limited};
    let body = Limited::new(call.request.body_mut(), BODY_MAX).collect().await;
    let body = body.map_err(|error| Refusal::bad(format!("the body cannot be read: {error}")))?;
    let bytes = body.to_bytes();
    match bytes.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::bad(format!("the body is not JSON: {error}"))),
    }
}

/// Largest of these bodies: two switches and a size.
const BODY_MAX: usize = 64 << 10;

/// Gives the helper its streams; returns our end of its terminal, if it has one.
fn prepare(
    command: &mut Command,
    asked: &Asked,
    is_left: bool,
) -> std::io::Result<Option<Terminal>> {
    if asked.spec.process.tty && !is_left {
        let (own, other): (Terminal, OtherEnd) = terminal::open()?;
        command.stdin(other.stream()?).stdout(other.stream()?).stderr(other.stream()?);
        return Ok(Some(own));
    }
    let pipe = |is_wanted: bool| if is_wanted && !is_left { Stdio::piped() } else { Stdio::null() };
    command.stdin(pipe(asked.input)).stdout(pipe(asked.output)).stderr(pipe(asked.error));
    Ok(None)
}

/// Waits for the end of a process and notes it.
async fn ended(child: &mut Child, path: PathBuf, asked: Asked) {
    let code = child.wait().await.ok().and_then(|it| it.code());
    let asked = Asked { code: Some(code.unwrap_or(LOST)), ..asked };
    // With the container's run it is gone, and nobody asks.
    if path.exists() {
        drop(write(&path, &asked));
    }
}

/// A client's connection, in its two directions.
type Sides<'a> = (ReadHalf<Line>, &'a Mutex<WriteHalf<Line>>);

async fn at_terminal(
    (mut input, output): Sides<'_>,
    (from, mut to): (Receiver, Sender),
    has_input: bool,
) {
    let fed = async {
        if has_input {
            drop(tokio::io::copy(&mut input, &mut to).await);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // A terminal ends with an error, when all its other ends are closed.
        printed = pass_on(from, output, OUTPUT, true) => drop(printed),
        () = fed => {}
    }
}

async fn at_pipes((mut input, output): Sides<'_>, child: &mut Child) -> std::io::Result<()> {
    let (stdout, stderr, stdin) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let printed = async {
        let out = async {
            match stdout {
                Some(stdout) => pass_on(stdout, output, OUTPUT, false).await,
                None => Ok(()),
            }
        };
        let error = async {
            match stderr {
                Some(stderr) => pass_on(stderr, output, ERROR, false).await,
                None => Ok(()),
            }
        };
        let (out, error) = tokio::join!(out, error);
        out.and(error)
    };
    let fed = async {
        if let Some(mut stdin) = stdin {
            // Its end closes the pipe, which is the end of the process's input.
            drop(tokio::io::copy(&mut input, &mut stdin).await);
            drop(stdin);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        printed = printed => printed,
        () = fed => Ok(()),
    }
}

/// Gives the terminal of a process that runs another size.
pub(super) fn resize(server: &Server, call: &Call, id: &str) -> Answer {
    read(&server.engine, id)?;
    let size = size(&call.query)?;
    let sessions = server.sessions.terminals();
    let Some((terminal, number)) = sessions.get(id) else {
        return Err(Refusal::conflict(format!("exec {id} has no terminal, or does not run")));
    };
    let failed = |error: std::io::Error| Refusal::failed(format!("cannot set the size: {error}"));
    terminal::set_size(terminal, size).map_err(failed)?;
    // Its helper asks for the size when it is told that there is another.
    let pid = i32::try_from(*number).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let told = rustix::process::kill_process(pid, rustix::process::Signal::WINCH);
        told.map_err(|error| failed(error.into()))?;
    }
    Ok(empty(StatusCode::OK))
}

impl Sessions {
    fn terminals(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (OwnedFd, u32)>> {
        self.terminals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
