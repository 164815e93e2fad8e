//! `argosy container commit`: an image of what a container has written, upon the image that it runs.

mod change;
mod layer;
mod thaw;

use std::sync::mpsc::sync_channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use argosy_container::{ContainerError, ContainerId, Root, State, Taken, UserNamespace};
use argosy_image::{CommitOptions, Image, Reference, commit as make_image};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::options::bad;
use super::record::EngineRecord;
use super::{Engine, failed, inspect};
use crate::args::ContainerCommit;
use crate::commands::image::failed as image_failed;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use change::Change;
use layer::{Ids, Whole};
use thaw::Thaw;

pub(super) fn commit(
    engine: &Engine,
    options: &ContainerCommit,
    printer: &Printer,
) -> Result<(), Failure> {
    let changes =
        options.change.iter().map(|it| Change::read(it)).collect::<Result<Vec<_>, _>>()?;
    let name = options.name.as_deref().map(str::parse::<Reference>).transpose();
    let name = name.map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let id = engine.find(&options.container)?;
    let record = engine.record(&id).ok_or_else(|| {
        bad(
            format!("container {} has lost its record", id.short()),
            "there is no way back to its image",
        )
    })?;
    let image = of_container(engine, &id, &record)?;
    let mut run = run_config(engine, &id, &image)?;
    changes.iter().for_each(|it| it.apply(&mut run));
    let made = CommitOptions {
        base: image.manifest.clone(),
        name,
        run,
        created: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        author: options.author.clone(),
        comment: options.message.clone(),
        created_by: engine
            .containers
            .inspect(&id)
            .map_err(|error| failed(&error))?
            .spec
            .process
            .args
            .join(" "),
    };
    let image = packed(engine, &id, options.pause, &made)?;
    let more = [
        ("comment", options.message.clone().unwrap_or_default()),
        ("imageID", image.id.to_string()),
    ];
    engine.tell_of(&id, Some(&record), "commit", &more);
    printer.line(&image.id.to_string())
}

/// Returns the image that a container runs; refuses what has none, or what cannot be read here.
fn of_container(
    engine: &Engine,
    id: &ContainerId,
    record: &EngineRecord,
) -> Result<Image, Failure> {
    if !rustix::process::geteuid().is_root() {
        let help = "commit it as root of the machine, in root's engine";
        return Err(bad("what a container has written is its own users' to read", help));
    }
    let spec = engine.containers.inspect(id).map_err(|error| failed(&error))?.spec;
    if !matches!(spec.root, Root::Layers(_)) {
        let help = "commit one of the pod's containers";
        return Err(bad(format!("container {} runs no image", record.name), help));
    }
    engine
        .store()?
        .find(&record.manifest)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))
}

/// Returns how containers of the new image run: as this one does.
fn run_config(
    engine: &Engine,
    id: &ContainerId,
    image: &Image,
) -> Result<Map<String, Value>, Failure> {
    let whole: Value = serde_json::from_str(&image.config_text)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let mut run = whole["config"].as_object().cloned().unwrap_or_default();
    let mut own = inspect::container(engine, id)?["Config"].take();
    if let Some(env) = own["Env"].as_array_mut() {
        // Each container has a host name of its own.
        env.retain(|it| !it.as_str().is_some_and(|it| it.starts_with("HOSTNAME=")));
    }
    for key in ["Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Labels", "ExposedPorts"] {
        match &own[key] {
            Value::Null => drop(run.remove(key)),
            Value::String(text) if text.is_empty() => drop(run.remove(key)),
            value => drop(run.insert(key.to_owned(), value.clone())),
        }
    }
    Ok(run)
}

/// How long a container that begins or ends just now is waited for.
const STILL_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Keeps a container's files as they are while they are read; it goes on when this is dropped.
struct Still {
    _thaw: Thaw,
    _taken: Option<Taken>,
}

impl Still {
    fn begin(engine: &Engine, id: &ContainerId, pauses: bool) -> Result<Still, Failure> {
        let thaw = Thaw::begin(engine, id).map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot listen for signals: {error}"))
        })?;
        let until = Instant::now() + STILL_MAX;
        loop {
            let taken = engine.containers.take(id).map_err(|error| failed(&error))?;
            let state = engine.containers.inspect(id).map_err(|error| failed(&error))?.state;
            // One that somebody has paused stays so.
            if taken.is_some() || !pauses || state == State::Paused {
                return Ok(Still { _thaw: thaw, _taken: taken });
            }
            match thaw.pause() {
                Ok(()) => return Ok(Still { _thaw: thaw, _taken: None }),
                // It ends just now, or does not run yet.
                Err(ContainerError::NotRunning { .. }) if Instant::now() < until => sleep(LOOK),
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

/// Makes the image of what the container has written until now.
fn packed(
    engine: &Engine,
    id: &ContainerId,
    pauses: bool,
    made: &CommitOptions,
) -> Result<Image, Failure> {
    let still = Still::begin(engine, id, pauses)?;
    let spec = engine.containers.inspect(id).map_err(|error| failed(&error))?.spec;
    let ids = match &spec.namespaces.user {
        UserNamespace::Host => Ids::Same,
        UserNamespace::Mapped { uids, gids } => Ids::Mapped(uids.clone(), gids.clone()),
    };
    let store = engine.store()?;
    let written = engine.containers.written(id);
    let (source, sink) = std::io::pipe()
        .map_err(|error| Failure::new(Exit::BadInput, format!("cannot make a pipe: {error}")))?;
    let (packed, verdict) = sync_channel(1);
    let image = std::thread::scope(|scope| {
        // Whoever reads hears how it went; one that reads no more knows why.
        scope.spawn(|| drop(packed.send(layer::pack(&written, &ids, sink))));
        make_image(&store, Whole::of(source, verdict), made)
    });
    drop(still);
    image.map_err(image_failed)
}
