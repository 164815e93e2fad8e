//! `argosy container run`: gets the image, makes the container, and becomes its monitor.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use argosy_api::UnitContainer;
use argosy_container::{
    ContainerId, ContainerSpec, Mount, MountKind, Ready, Root, RunOptions, STARTED, State, Streams,
    process_of,
};
use argosy_image::Image;

use super::options::Wanted;
use super::record::EngineRecord;
use super::{
    Engine, become_helper, cannot_run, failed, helper, images, network, now_ms, options, random_hex,
};
use crate::args::{ContainerRun, NotifyWhen};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// What a supervisor tells a unit's processes: which unit's they are.
const UNIT_VARIABLE: &str = "ARGOSY_UNIT";

/// Where the supervisor's socket is in a container that speaks to it itself.
const NOTIFY_INSIDE: &str = "/run/notify.sock";

/// What is locked while a container gets its name.
const NAMING: &str = "container-names.lock";

/// docker's exit status for a container that could not be made.
const EXIT_NOT_MADE: u8 = 125;

pub(super) fn run(
    engine: &Engine,
    options: &ContainerRun,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    // In the foreground it returns only if the container has not begun.
    match begin(engine, options, printer) {
        Ok(code) => Ok(code),
        Err(failure) => {
            printer.failure(&failure);
            Ok(ExitCode::from(EXIT_NOT_MADE))
        }
    }
}

fn begin(engine: &Engine, options: &ContainerRun, printer: &Printer) -> Result<ExitCode, Failure> {
    let unit = std::env::var(UNIT_VARIABLE).ok();
    for note in options::check(options, unit.is_some())? {
        printer.note(&note);
    }
    if let Err(error) = engine.containers.end_unwatched() {
        printer
            .note(&format!("cannot end what runs without a monitor: {}", failed(&error).message));
    }
    sweep(engine, unit.as_deref())?;
    let id = new_id()?;
    let image = images::image(&engine.store()?, options, &id, printer)?;
    // Until this container is on record, nobody else takes its name.
    let naming = naming(engine)?;
    take_name(engine, options)?;
    let made =
        make(engine, options, unit.clone(), &id, &image).and_then(|()| write_id(options, &id));
    if let Err(failure) = made {
        // Nothing half made is left.
        let record = engine.record(&id);
        drop(engine.containers.delete(&id, true));
        drop(engine.release(&id, record));
        return Err(failure);
    }
    drop(naming);
    let run = RunOptions {
        streams: Streams { interactive: options.interactive, attachable: false },
        remove: options.rm.is_on(),
        background: options.detach,
        // A unit's output is in the journal; of what somebody sees and throws away nothing is kept.
        log: unit.is_none() && (options.detach || !options.rm.is_on()),
        ready: match options.sdnotify {
            Some(NotifyWhen::Started) => Some(Ready::Started),
            Some(NotifyWhen::Healthy) => Some(Ready::Healthy),
            Some(NotifyWhen::Container) | None => None,
        },
        supervised: unit.is_some(),
    };
    let request = engine.containers.run_request(&id, run);
    match options.detach {
        true => start_in_background(&request, &id, printer),
        false => Err(become_helper(&request)),
    }
}

/// Starts the monitor and waits until the container runs.
fn start_in_background(
    request: &argosy_container::HelperRequest,
    id: &ContainerId,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let mut command = helper(request)?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let cannot = |error: std::io::Error| cannot_run(&command, &error);
    let mut child = spawned.map_err(cannot)?;
    let mut line = String::new();
    if let Some(from) = child.stdout.take() {
        BufReader::new(from).read_line(&mut line).map_err(cannot)?;
    }
    if line == STARTED {
        printer.line(id.as_str())?;
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why on the standard error, which is ours.
    let status = child.wait().map_err(cannot)?;
    let code = status.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(EXIT_NOT_MADE);
    Ok(ExitCode::from(code))
}

fn make(
    engine: &Engine,
    options: &ContainerRun,
    unit: Option<String>,
    id: &ContainerId,
    image: &Image,
) -> Result<(), Failure> {
    let hostname = options.hostname.clone().unwrap_or_else(|| id.short());
    let overrides = options::overrides(options)?;
    let process = process_of(Some(&image.config), &overrides, &hostname)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let mut spec = ContainerSpec::new(id.clone(), Root::Layers(image.layers.clone()), process);
    let stop_signal = image.config.config().as_ref().and_then(|it| it.stop_signal().clone());
    spec.stop_signal = stop_signal.as_deref().map(options::signal).transpose()?;
    spec.health = images::health(image);
    let mut wanted = options::apply(options, engine, &mut spec)?;
    add_image_volumes(image, &mut spec, &mut wanted);
    pass_notify_socket(options, &mut spec)?;
    let name = options.name.clone().unwrap_or_else(|| id.short());
    let request = network::connect(options, engine, image, &name, &mut spec)?;
    let named: Vec<String> = wanted.iter().filter_map(|it| it.name.clone()).collect();
    let nameless = options::make_volumes(
        &engine.volumes,
        wanted,
        &mut spec,
        options.rm.is_on().then_some(id),
    )?;
    let record = EngineRecord {
        name,
        image: options.image_and_command[0].clone(),
        manifest: image.manifest.to_string(),
        created_ms: now_ms(),
        unit,
        labels: options::pairs(&options.label)?,
        annotations: options::pairs(&options.annotation)?,
        exposed: options.expose.clone(),
        volumes: named.into_iter().chain(nameless.iter().cloned()).collect(),
        nameless,
        stop_timeout: options.stop_timeout,
        remove: options.rm.is_on(),
    };
    engine.containers.create(&spec).map_err(|error| failed(&error))?;
    if let Some(request) = request {
        network::write_request(engine, id, &request)?;
    }
    tell_supervisor(engine, &record, id);
    record.write(&engine.containers, id).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot write the record of container {id}: {error}"))
    })
}

/// Tells the supervisor whose lines the unit's are from now on. Without it they lack that, no more.
fn tell_supervisor(engine: &Engine, record: &EngineRecord, id: &ContainerId) {
    let Some((unit, invocation)) = record.unit.clone().zip(std::env::var("INVOCATION_ID").ok())
    else {
        return;
    };
    let told = UnitContainer {
        invocation,
        id: id.to_string(),
        name: record.name.clone(),
        image: record.image.clone(),
    };
    if let Err(error) = told.write(&engine.runtime_dir, &unit) {
        crate::printer::note(&format!("cannot tell the supervisor about the container: {error}"));
    }
}

/// Adds the volumes that the image asks for, where the user mounts nothing of his own.
fn add_image_volumes(image: &Image, spec: &mut ContainerSpec, wanted: &mut Vec<Wanted>) {
    for target in images::volumes(image) {
        let is_taken = spec.mounts.iter().any(|it| it.is_at(&target));
        if !is_taken && target.starts_with('/') && !target.trim_end_matches('/').is_empty() {
            wanted.push(Wanted { name: None, place: spec.mounts.len(), copy: true });
            spec.mounts.push(Mount::bind("", target));
        }
    }
}

/// Gives the container the supervisor's socket, if it is to speak for itself.
fn pass_notify_socket(options: &ContainerRun, spec: &mut ContainerSpec) -> Result<(), Failure> {
    if options.sdnotify != Some(NotifyWhen::Container) {
        return Ok(());
    }
    let Some(socket) = std::env::var("NOTIFY_SOCKET").ok().filter(|it| !it.is_empty()) else {
        return Ok(());
    };
    if !socket.starts_with('/') {
        let message =
            format!("the notify socket {socket:?} is no file that a container can be given");
        return Err(Failure::new(Exit::BadInput, message));
    }
    let mut mount = Mount::bind(socket, NOTIFY_INSIDE);
    if let MountKind::Bind { make_source, .. } = &mut mount.kind {
        *make_source = false;
    }
    spec.mounts.push(mount);
    spec.process.env.push(format!("NOTIFY_SOCKET={NOTIFY_INSIDE}"));
    Ok(())
}

fn write_id(options: &ContainerRun, id: &ContainerId) -> Result<(), Failure> {
    let Some(path) = &options.cidfile else { return Ok(()) };
    std::fs::write(path, id.as_str()).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot write {}: {error}", path.display()))
    })
}

/// Removes what earlier commands have left: a unit keeps its last container until it starts the next,
/// and an image is held only by containers that are there.
fn sweep(engine: &Engine, unit: Option<&str>) -> Result<(), Failure> {
    for id in &engine.ids()? {
        let Some(record) = engine.record(id) else { continue };
        let same_unit = record.unit.is_some() && record.unit.as_deref() == unit;
        if !same_unit && !record.remove {
            continue;
        }
        let Ok(inspection) = engine.containers.inspect(id) else { continue };
        // Its monitor was killed before it could take it away.
        let left_over = record.remove && inspection.state == State::Lost;
        if (same_unit && !inspection.state.is_live()) || left_over {
            engine.remove(id, false, true)?;
        }
    }
    for volume in engine.volumes.list()? {
        if volume.goes_with.as_ref().is_some_and(|id| is_gone(engine, id)) {
            engine.volumes.remove(engine, &volume.name)?;
        }
    }
    network::sweep(engine)?;
    let store = engine.store()?;
    let leases = store.leases().map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    for lease in leases.iter().filter(|lease| is_orphan(engine, &lease.holder)) {
        store
            .release(&lease.holder)
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    }
    Ok(())
}

/// Tells whether a lease's container is gone: one whose command is still at work has none yet, but has
/// its process's number in its id.
fn is_orphan(engine: &Engine, holder: &str) -> bool {
    let Ok(id) = ContainerId::new(holder) else { return false };
    maker_of(&id).is_some() && is_gone(engine, &id)
}

/// Tells whether a container neither is there nor is being made.
fn is_gone(engine: &Engine, id: &ContainerId) -> bool {
    !engine.containers.data_dir.join(id.as_str()).exists() && !is_being_made(id)
}

/// Returns the process that makes, or made, a container.
fn maker_of(id: &ContainerId) -> Option<u32> {
    let id = id.as_str();
    (id.len() == 64).then(|| u32::from_str_radix(id.get(..8)?, 16).ok()).flatten()
}

/// Tells whether the process that makes a container runs.
pub(super) fn is_being_made(id: &ContainerId) -> bool {
    let is_there = |pid: u32| std::path::Path::new("/proc").join(pid.to_string()).exists();
    maker_of(id).is_some_and(is_there)
}

/// Makes an id as docker has them, 64 hexadecimal digits; the first eight are this process's number.
fn new_id() -> Result<ContainerId, Failure> {
    let own = argosy_container::own_number()
        .ok_or_else(|| Failure::new(Exit::BadInput, "/proc does not tell of this process"))?;
    let text = format!("{own:08x}{}", random_hex::<28>()?);
    ContainerId::new(text).map_err(|error| Failure::from_error(Exit::BadInput, &error))
}

/// Held by whoever gives a container its name.
fn naming(engine: &Engine) -> Result<File, Failure> {
    let path = engine.runtime_dir.join(NAMING);
    let lock = || {
        std::fs::create_dir_all(&engine.runtime_dir)?;
        let file = File::options().create(true).append(true).open(&path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(file)
    };
    lock().map_err(|error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot lock {}: {error}", path.display()))
    })
}

/// Sees to it that nobody else has the name.
fn take_name(engine: &Engine, options: &ContainerRun) -> Result<(), Failure> {
    let Some(name) = options.name.as_deref() else { return Ok(()) };
    ContainerId::new(name).map_err(|error| {
        Failure::from_error(Exit::BadInput, &error).with_help("choose another --name")
    })?;
    match engine.find(name) {
        Ok(id) if options.replace => engine.remove(&id, true, true),
        Ok(id) => {
            let message = format!("container {} has the name {name} already", id.as_str());
            Err(Failure::new(Exit::Refused, message).with_help(format!(
                "remove it: argosy container rm {name}; or choose another --name, or --replace"
            )))
        }
        Err(_) => Ok(()),
    }
}
