//! `argosy container start` and `restart`: another run of a container that is on record.
//!
//! Whoever starts one holds its lock from before it is looked at until its monitor has it: of several
//! who start one container at once one does, and a removal comes before or after.

use std::process::ExitCode;
use std::time::Duration;

use argosy_container::{
    ContainerId, HelperRequest, Inspection, PodPart, RunOptions, State, Streams, Taken,
};

use super::background::{Output, start_in_background};
use super::create::{UNIT_VARIABLE, tell_supervisor};
use super::options::bad;
use super::record::EngineRecord;
use super::run::EXIT_NOT_MADE;
use super::sweep::sweep;
use super::{Engine, attach, become_helper, each, failed, network, pod};
use crate::args::{ContainerAttach, ContainerStart};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// What a start that reports ends with if the container runs already, or somebody else starts it just
/// now: it has its output elsewhere.
pub(super) const EXIT_THERE: u8 = 3;

/// How the next run of a container is begun.
#[derive(Debug, Clone, Copy)]
struct How {
    background: bool,
    /// Whether the caller's standard input is the container's.
    interactive: bool,
    keeps_output: bool,
}

/// Of a background start: nobody's streams.
const LEFT_ALONE: How = How { background: true, interactive: false, keeps_output: false };

pub(super) fn start(
    engine: &Engine,
    options: &ContainerStart,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    engine.make_private()?;
    sweep(engine, &engine.store()?, None);
    let names = &options.names.containers;
    let how = How { keeps_output: options.keep_output, ..LEFT_ALONE };
    match (options.attach || options.interactive, &names[..]) {
        (false, [name]) if options.report => start_in(engine, name, how),
        (false, names) => each(names, printer, |name| start_one(engine, name, how)),
        (true, [name]) => start_attached(engine, name, options, printer),
        (true, _) => Err(bad("--attach is for one container", "start the others without it")),
    }
}

pub(super) fn restart(
    engine: &Engine,
    time: Option<Duration>,
    names: &[String],
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    engine.make_private()?;
    sweep(engine, &engine.store()?, None);
    each(names, printer, |name| {
        let id = engine.find(name)?;
        refuse(engine, &id, Verb::Restart)?;
        engine.stop(id.as_str(), time, false)?;
        start_one(engine, id.as_str(), LEFT_ALONE)?;
        engine.tell(&id, "restart", &[]);
        Ok(())
    })
}

/// Starts a container in the background, if it does not run.
fn start_one(engine: &Engine, name: &str, how: How) -> Result<(), Failure> {
    // It says itself why it did not start.
    match start_in(engine, name, how)? {
        code if code == ExitCode::SUCCESS || code == ExitCode::from(EXIT_THERE) => Ok(()),
        _ => Err(Failure::new(Exit::BadInput, format!("container {name} did not start"))),
    }
}

/// The same; returns how the monitor has ended if it did not start, and [`EXIT_THERE`] if it was there.
fn start_in(engine: &Engine, name: &str, how: How) -> Result<ExitCode, Failure> {
    let id = engine.find(name)?;
    let Some((taken, request)) = take(engine, &id, how)? else {
        return Ok(ExitCode::from(EXIT_THERE));
    };
    let output = if how.keeps_output { Output::Kept } else { Output::Nobodys };
    let started = start_in_background(&request, output, EXIT_NOT_MADE, Some(taken));
    started.inspect_err(|_| discard(engine, &id))
}

/// Becomes the monitor of a container, or attaches to one that runs.
fn start_attached(
    engine: &Engine,
    name: &str,
    options: &ContainerStart,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let id = engine.find(name)?;
    let how = How { background: false, interactive: options.interactive, keeps_output: false };
    match take(engine, &id, how)? {
        Some((taken, request)) => {
            let failure = become_helper(&request);
            drop(taken);
            discard(engine, &id);
            Err(failure)
        }
        None => {
            let container = name.to_owned();
            let no_stdin = !options.interactive;
            attach::attach(
                engine,
                &ContainerAttach { no_stdin, sig_proxy: true, container },
                printer,
            )
        }
    }
}

/// Takes a container for a start and makes it ready for its next run; `None` if it runs, or somebody
/// starts it just now.
fn take(
    engine: &Engine,
    id: &ContainerId,
    how: How,
) -> Result<Option<(Taken, HelperRequest)>, Failure> {
    refuse(engine, id, Verb::Start)?;
    if look(engine, id)?.state.is_live() {
        return Ok(None);
    }
    let Some(taken) = engine.containers.take(id).map_err(|error| failed(&error))? else {
        return Ok(None);
    };
    // As it is now that nobody else changes it.
    let record = refuse(engine, id, Verb::Start)?;
    match prepare(engine, id, how, &record, &taken) {
        Ok(request) => Ok(Some((taken, request))),
        Err(failure) => {
            drop(taken);
            discard(engine, id);
            Err(failure)
        }
    }
}

/// Removes a container whose end would take it away, and that has not come so far as to have one.
fn discard(engine: &Engine, id: &ContainerId) {
    if engine.record(id).is_some_and(|it| it.remove) {
        // One that somebody else has by now is his. Why it did not start is what is told.
        drop(engine.remove(id, false, true));
    }
}

/// Makes a container ready for its next run.
fn prepare(
    engine: &Engine,
    id: &ContainerId,
    how: How,
    record: &EngineRecord,
    taken: &Taken,
) -> Result<HelperRequest, Failure> {
    let mut spec = look(engine, id)?.spec;
    let connected = network::connect_again(engine, record, &mut spec)?;
    if let Some(connected) = &connected {
        let text = serde_json::to_vec(connected)
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
        let files = [(network::REQUEST, text)];
        engine.containers.renew(taken, &spec, &files).map_err(|error| failed(&error))?;
    }
    let unit = std::env::var(UNIT_VARIABLE).ok();
    if let Some(unit) = &unit {
        tell_supervisor(engine, record, unit, id);
    }
    let run = RunOptions {
        streams: Streams {
            interactive: record.runs.interactive && (how.background || how.interactive),
            attachable: false,
        },
        remove: record.remove,
        background: how.background,
        keeps_output: how.keeps_output,
        // It is no unit's, also if one starts it: what it prints is kept for `logs`.
        log: true,
        ready: record.runs.ready,
        supervised: unit.is_some() && !how.background,
        lock: None,
    };
    taken.request(&engine.containers, run).map_err(|error| failed(&error))
}

fn look(engine: &Engine, id: &ContainerId) -> Result<Inspection, Failure> {
    engine.containers.inspect(id).map_err(|error| failed(&error))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Start,
    Restart,
}

/// Refuses what somebody else starts, or nobody can; returns the record of any other container.
fn refuse(engine: &Engine, id: &ContainerId, verb: Verb) -> Result<EngineRecord, Failure> {
    let Some(record) = engine.record(id) else {
        let message = format!("container {} has lost its record", id.short());
        return Err(bad(message, "remove it: argosy container rm --force"));
    };
    let (name, refused) = (&record.name, |message| Failure::new(Exit::Refused, message));
    let word = if verb == Verb::Start { "start" } else { "restart" };
    if let Some(unit) = &record.unit {
        return Err(refused(format!("container {name} is one run of the unit {unit}"))
            .with_help(format!("let the unit run another: argosy {word} {unit}")));
    }
    pod::keep_holder_to_pod(engine, id, word)?;
    let Inspection { spec, state, .. } = look(engine, id)?;
    if record.remove && (verb == Verb::Restart || !(state == State::Created || state.is_live())) {
        return Err(refused(format!("container {name} was made with --rm: its end takes it away"))
            .with_help("make it without --rm, or run another one: argosy container run"));
    }
    if let Some(PodPart::Member { of }) = &spec.pod {
        let holds = engine.containers.inspect(of).is_ok_and(|it| it.state == State::Running);
        if !holds {
            let pod = record.pod.as_deref().unwrap_or_default();
            let message = format!(
                "container {name} is in the namespaces of a run of its pod {pod} which has ended"
            );
            return Err(refused(message).with_help(format!(
                "make it anew in the pod's next run: argosy container run --replace --name {name} --pod ..."
            )));
        }
    }
    Ok(record)
}
