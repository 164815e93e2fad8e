//! `argosy container run`: gets the image, makes the container, and becomes its monitor.

use std::process::ExitCode;

use argosy_api::UnitContainer;
use argosy_container::{
    ContainerId, ContainerSpec, Lasting, Mount, MountKind, Ready, Root, RunOptions, Streams,
    process_of,
};
use argosy_image::Image;
use argosy_network::CompanionRequest;

use super::background::{Output, start_in_background};
use super::ids::new_id;
use super::names::{naming, take_name};
use super::options::Wanted;
use super::pod::{self, Joined};
use super::record::{self, EngineRecord};
use super::sweep::sweep;
use super::volumes::Volume;
use super::{Engine, become_helper, failed, images, network, now_ms, options};
use crate::args::{ContainerRun, NotifyWhen};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session::API_SOCKET;

/// What a supervisor tells a unit's processes: which unit's they are.
pub(super) const UNIT_VARIABLE: &str = "ARGOSY_UNIT";

/// Where the supervisor's socket is in a container that speaks to it itself.
const NOTIFY_INSIDE: &str = "/run/notify.sock";

/// docker's exit status for a container that could not be made.
pub(crate) const EXIT_NOT_MADE: u8 = 125;

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
    engine.make_private()?;
    let store = engine.store()?;
    sweep(engine, &store, unit.as_deref());
    let pod = pod::joined(engine, options, unit.is_some(), printer)?;
    let id = new_id()?;
    let socket = engine.runtime_dir.join(API_SOCKET);
    let image = images::image(&store, &socket, options, &id, printer)?;
    // Until this container is on record, nobody else takes its name.
    let naming = naming(engine)?;
    take_name(engine, options)?;
    let made = make(engine, options, pod.as_ref(), unit.clone(), &id, &image)
        .and_then(|()| write_id(options, &id));
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
        keeps_output: unit.is_some(),
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
        true => {
            let output = if unit.is_some() { Output::Kept } else { Output::Nobodys };
            let code = start_in_background(&request, output, EXIT_NOT_MADE)?;
            if code == ExitCode::SUCCESS {
                printer.line(id.as_str())?;
            }
            Ok(code)
        }
        false => Err(become_helper(&request)),
    }
}

fn make(
    engine: &Engine,
    options: &ContainerRun,
    pod: Option<&Joined>,
    unit: Option<String>,
    id: &ContainerId,
    image: &Image,
) -> Result<(), Failure> {
    let own = options.hostname.clone().or_else(|| pod.map(Joined::hostname));
    let hostname = own.unwrap_or_else(|| id.short());
    let overrides = options::overrides(options)?;
    let process = process_of(Some(&image.config), &overrides, &hostname)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let mut spec = ContainerSpec::new(id.clone(), Root::Layers(image.layers.clone()), process);
    let stop_signal = image.config.config().as_ref().and_then(|it| it.stop_signal().clone());
    spec.stop_signal = stop_signal.as_deref().map(options::signal).transpose()?;
    spec.health = images::health(image);
    let mut wanted = options::apply(options, engine, &mut spec)?;
    if let Some(pod) = pod {
        pod.enter(&mut spec, &mut wanted)?;
    }
    add_image_volumes(image, &mut spec, &mut wanted);
    pass_notify_socket(options, &mut spec)?;
    let name = options.name.clone().unwrap_or_else(|| id.short());
    let request = match pod {
        Some(_) => None,
        None => {
            let published = network::publish_with(options, image)?;
            network::connect(&options.into(), published, engine, &name, &mut spec)?
        }
    };
    let named: Vec<String> = wanted.iter().filter_map(|it| it.name.clone()).collect();
    let goes_with = options.rm.is_on().then_some(id);
    let new = options::make_volumes(&engine.volumes, wanted, &mut spec, goes_with)?;
    let nameless: Vec<String> = new.iter().map(|it| it.name.clone()).collect();
    let record = EngineRecord {
        name,
        image: options.image_and_command[0].clone(),
        manifest: image.manifest.to_string(),
        created_ms: now_ms(),
        unit,
        labels: images::labels(image, &options.label)?,
        annotations: options::pairs(&options.annotation)?,
        exposed: options.expose.clone(),
        volumes: named.into_iter().chain(nameless.iter().cloned()).collect(),
        nameless,
        stop_timeout: options.stop_timeout,
        remove: options.rm.is_on(),
        pod: pod.map(|it| it.pod.id.clone()),
    };
    keep(engine, &spec, &record, (request.as_ref(), &new))?;
    tell_supervisor(engine, &record, id);
    Ok(())
}

/// Puts a container on the disk with all that is known of it, and then what is made for it: whoever
/// finds that knows whose it is.
pub(super) fn keep(
    engine: &Engine,
    spec: &ContainerSpec,
    record: &EngineRecord,
    (request, volumes): (Option<&CompanionRequest>, &[Volume]),
) -> Result<(), Failure> {
    let text = |error: serde_json::Error| Failure::from_error(Exit::BadInput, &error);
    let mut files = vec![(record::FILE, serde_json::to_vec(record).map_err(text)?)];
    if let Some(request) = request {
        files.push((network::REQUEST, serde_json::to_vec(request).map_err(text)?));
    }
    // Nobody asks for one after the machine lost its power that its end would have taken away.
    let lasting = if record.remove { Lasting::Boot } else { Lasting::Always };
    engine.containers.create_with(spec, &files, lasting).map_err(|error| failed(&error))?;
    engine.tell_of(&spec.id, Some(record), "create", &[]);
    volumes.iter().try_for_each(|volume| engine.volumes.keep(volume))
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
