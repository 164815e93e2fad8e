//! Containers: which there are, and what is done with them.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use argosy_container::{ContainerId, Inspection, State};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::super::list::found;
use super::super::start::EXIT_THERE;
use super::super::{STOP_GRACE, ids, inspect, options, pod, rename as renaming};
use super::answer::{Answer, Refusal, done, empty, in_thread, json, with_status};
use super::call::Call;
use super::child::{command, not_run, run, run_unseen, why};
use super::waiting::Begun;
use super::{Server, listed};
use crate::args::{ContainerList, Output};
use crate::container::{Engine, Meant};
use crate::printer::Printer;

/// Longest grace of a stop: docker's -1 waits for ever, which nobody does.
const GRACE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Most that is read of why a container did not start.
const REASON_MAX: u64 = 64 << 10;

/// Finds the container that a client means.
pub(super) fn find(engine: &Engine, name: &str) -> Result<ContainerId, Refusal> {
    let wanted = name.trim_start_matches('/');
    match engine.meant(wanted).map_err(|failure| Refusal::failed(failure.message))? {
        Meant::One(id) => Ok(id),
        Meant::Several => {
            Err(Refusal::bad(format!("{wanted:?} begins the ids of several containers")))
        }
        Meant::Nobody => Err(Refusal::no_container(name)),
    }
}

/// Finds the container that a client means, and looks what it does.
pub(super) async fn known(
    engine: &Engine,
    name: &str,
) -> Result<(ContainerId, Inspection), Refusal> {
    let (engine, name) = (engine.clone(), name.to_owned());
    in_thread(move || {
        let id = find(&engine, &name)?;
        let inspection = look(&engine, &id)?;
        Ok((id, inspection))
    })
    .await
}

pub(super) fn look(engine: &Engine, id: &ContainerId) -> Result<Inspection, Refusal> {
    Ok(engine.containers.inspect(id)?)
}

pub(super) async fn list(server: &Server, call: &Call) -> Answer {
    let engine = server.engine.clone();
    let options = ContainerList {
        all: call.query.is_on("all"),
        quiet: false,
        filter: call.query.filters()?,
        format: None,
        // docker's 0 and -1 are all.
        last: call
            .query
            .number::<i64>("limit")?
            .and_then(|it| usize::try_from(it).ok())
            .filter(|it| *it > 0),
        latest: false,
        no_trunc: true,
    };
    in_thread(move || {
        let found = found(&engine, &options, &Printer::new(Output::Table))?;
        let list: Vec<Value> = found.iter().map(|it| listed::listed(&engine, it)).collect();
        Ok(json(&list.into()))
    })
    .await
}

pub(super) async fn inspect(server: &Server, name: &str) -> Answer {
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || Ok(json(&inspect::container(&engine, &find(&engine, &name)?)?))).await
}

/// The only form of ps(1) that is understood: docker's default.
const PS: [&str; 2] = ["", "-ef"];

pub(super) async fn top(server: &Server, call: &Call, name: &str) -> Answer {
    let how = call.query.get("ps_args").unwrap_or_default();
    if !PS.contains(&how) {
        return Err(Refusal::not_there(&format!("top with ps_args={how}")));
    }
    let (engine, name) = (server.engine.clone(), name.to_owned());
    in_thread(move || {
        let processes = engine.containers.top(&find(&engine, &name)?)?;
        let rows: Vec<[String; 4]> = processes
            .into_iter()
            .map(|it| [it.uid.to_string(), it.pid.to_string(), it.parent.to_string(), it.command])
            .collect();
        Ok(json(&json!({ "Titles": ["UID", "PID", "PPID", "CMD"], "Processes": rows })))
    })
    .await
}

/// Starts a container. Those who have attached before get all that it prints.
pub(super) async fn start(server: &Arc<Server>, name: &str) -> Answer {
    let (id, inspection) = known(&server.engine, name).await?;
    if inspection.state == State::Paused {
        return Err(Refusal::conflict("cannot start a paused container, try unpause instead"));
    }
    if inspection.state.is_live() {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    let mut waiting = server.waiting.take(&id).into_iter();
    let Some(first) = waiting.next() else {
        let ended = run(&server.engine, &["start", "--report", id.as_str()]).await?;
        return match ended.code {
            0 => Ok(done()),
            code if code == i32::from(EXIT_THERE) => Ok(empty(StatusCode::NOT_MODIFIED)),
            code => Err(not_started(code, &ended.stderr)),
        };
    };
    let words = ["start", "--report", "--keep-output", id.as_str()];
    let mut command = command(&server.engine, &words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    let pipes = child.stdout.take().zip(child.stderr.take());
    // What the container prints meanwhile waits in the pipes.
    let status = child.wait().await.map_err(|error| not_run(&error))?;
    let Some((stdout, stderr)) = pipes else {
        return Err(Refusal::failed("the start has no output"));
    };
    if status.code() == Some(i32::from(EXIT_THERE)) {
        // Somebody else was faster, and has its output.
        drop(first.send(Begun::There));
        waiting.for_each(|it| drop(it.send(Begun::There)));
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    if !status.success() {
        let mut said = Vec::new();
        // Why it failed is said all the same.
        drop(stderr.take(REASON_MAX).read_to_end(&mut said).await);
        let code = status.code().unwrap_or(i32::from(u8::MAX));
        return Err(not_started(code, &String::from_utf8_lossy(&said)));
    }
    // Who has left meanwhile needs no word.
    drop(first.send(Begun::Here(stdout, stderr)));
    waiting.for_each(|it| drop(it.send(Begun::There)));
    Ok(done())
}

/// Says why a container did not start; docker's client finds its exit status in these words.
fn not_started(code: i32, said: &str) -> Refusal {
    let said = why(said);
    match code {
        127 => Refusal::bad(format!("{said}: executable file not found")),
        126 => Refusal::bad(format!("{said}: permission denied")),
        2 => Refusal::conflict(said),
        _ => Refusal::failed(said),
    }
}

fn grace(call: &Call) -> Result<Option<Duration>, Refusal> {
    let read = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds) => Duration::from_secs(seconds).min(GRACE_MAX),
        Err(_) => GRACE_MAX,
    };
    Ok(call.query.number::<i64>("t")?.map(read))
}

pub(super) async fn stop(server: &Server, call: &Call, name: &str) -> Answer {
    let (engine, grace) = (server.engine.clone(), grace(call)?);
    let (id, inspection) = known(&engine, name).await?;
    if !inspection.state.is_live() {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    // As long as a whole grace: a request that is given up does not give up the stop.
    in_thread(move || Ok(engine.stop(id.as_str(), grace, true)?)).await?;
    Ok(done())
}

pub(super) async fn restart(server: &Server, call: &Call, name: &str) -> Answer {
    let (id, _) = known(&server.engine, name).await?;
    let record = server.engine.record(&id);
    let own = record.and_then(|it| it.stop_timeout).map(Duration::from_secs);
    let grace = grace(call)?.or(own).unwrap_or(STOP_GRACE).as_secs().to_string();
    let ended = run(&server.engine, &["restart", "--time", &grace, id.as_str()]).await?;
    match ended.code {
        0 => Ok(done()),
        code => Err(not_started(code, &ended.stderr)),
    }
}

/// Makes an image of what a container has written.
pub(super) async fn commit(server: &Server, call: Call) -> Answer {
    let query = &call.query;
    let name =
        query.get("container").ok_or_else(|| Refusal::bad("the parameter container is missing"))?;
    let (id, _) = known(&server.engine, name).await?;
    let mut words = vec!["commit".to_owned()];
    words.push(format!("--pause={}", query.get("pause").is_none() || query.is_on("pause")));
    words.extend(query.get("author").map(|it| format!("--author={it}")));
    words.extend(query.get("comment").map(|it| format!("--message={it}")));
    words.extend(query.all("changes").map(|it| format!("--change={it}")));
    words.extend(["--".to_owned(), id.to_string()]);
    words.extend(query.get("repo").map(|repo| match query.get("tag") {
        Some(tag) => format!("{repo}:{tag}"),
        None => repo.to_owned(),
    }));
    let body = call.json().await?;
    if body.as_object().is_some_and(|it| !it.is_empty()) {
        return Err(Refusal::not_there(
            "commit with a configuration in the body: say it in changes",
        ));
    }
    let ended = run_unseen(&server.engine, &words).await?;
    match ended.code {
        0 => Ok(with_status(StatusCode::CREATED, &json!({ "Id": ended.stdout }))),
        2 => Err(Refusal::conflict(ended.why())),
        _ => Err(Refusal::bad(ended.why())),
    }
}

pub(super) async fn kill(server: &Server, call: &Call, name: &str) -> Answer {
    let engine = server.engine.clone();
    let (id, inspection) = known(&engine, name).await?;
    let number = options::signal(call.query.get("signal").unwrap_or("SIGKILL"))?;
    in_thread(move || {
        if !inspection.state.is_live() {
            return Err(Refusal::conflict(format!("Container {id} is not running")));
        }
        let record = engine.record(&id);
        engine.containers.kill(&id, number)?;
        engine.tell_of(&id, record.as_ref(), "kill", &[("signal", number.to_string())]);
        Ok(done())
    })
    .await
}

pub(super) async fn pause(server: &Server, name: &str, stands: bool) -> Answer {
    let engine = server.engine.clone();
    let (id, _) = known(&engine, name).await?;
    in_thread(move || {
        match stands {
            true => engine.containers.pause(&id)?,
            false => engine.containers.resume(&id)?,
        }
        engine.tell(&id, if stands { "pause" } else { "unpause" }, &[]);
        Ok(done())
    })
    .await
}

pub(super) async fn rename(server: &Server, call: &Call, name: &str) -> Answer {
    let engine = server.engine.clone();
    let (id, _) = known(&engine, name).await?;
    let new =
        call.query.get("name").ok_or_else(|| Refusal::bad("the parameter name is missing"))?;
    let new = new.trim_start_matches('/').to_owned();
    in_thread(move || Ok(renaming::rename(&engine, id.as_str(), &new)?)).await?;
    Ok(done())
}

pub(super) async fn remove(server: &Server, call: &Call, name: &str) -> Answer {
    let engine = server.engine.clone();
    if call.query.is_on("link") {
        return Err(Refusal::not_there("links between containers"));
    }
    let (force, volumes) = (call.query.is_on("force"), call.query.is_on("v"));
    let name = name.to_owned();
    in_thread(move || {
        // Also one that has lost its records.
        let id = find(&engine, &name)?;
        pod::keep_holder(&engine, &id)?;
        Ok(engine.remove(&id, force, volumes)?)
    })
    .await?;
    Ok(done())
}

pub(super) async fn prune(server: &Server, call: &Call) -> Answer {
    if let Some(filter) = call.query.filters()?.first() {
        return Err(Refusal::not_there(&format!("containers prune with the filter {filter}")));
    }
    let engine = server.engine.clone();
    in_thread(move || {
        let mut removed = Vec::new();
        for id in engine.ids().map_err(Refusal::from)? {
            if is_over(&engine, &id) {
                match engine.remove(&id, false, false) {
                    Ok(()) => removed.push(id),
                    // The others go all the same.
                    Err(failure) => crate::printer::note(&failure.message),
                }
            }
        }
        Ok(json(&json!({ "ContainersDeleted": removed, "SpaceReclaimed": 0 })))
    })
    .await
}

fn is_over(engine: &Engine, id: &ContainerId) -> bool {
    engine.containers.inspect(id).is_ok_and(|it| match it.state {
        State::Exited(_) | State::Lost => true,
        State::Created => !ids::is_being_made(id),
        _ => false,
    })
}
