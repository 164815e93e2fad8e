//! `argosy container create`: gets the image, and makes the container up to its record. `run` begins
//! with the same.

use std::process::ExitCode;

use argosy_api::UnitContainer;
use argosy_container::{
    ContainerId, ContainerSpec, Lasting, Mount, MountKind, Ready, Root, process_of,
};
use argosy_image::Image;
use argosy_network::CompanionRequest;

use super::ids::new_id;
use super::names::{naming, take_name};
use super::options::{Wanted, bad};
use super::pod::{self, Joined};
use super::record::{self, EngineRecord, Runs};
use super::sweep::sweep;
use super::volumes::Volume;
use super::{Engine, failed, images, network, now_ms, options};
use crate::args::{ContainerRun, NotifyWhen};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session::API_SOCKET;

/// What a supervisor tells a unit's processes: which unit's they are.
pub(super) const UNIT_VARIABLE: &str = "ARGOSY_UNIT";

/// Where the supervisor's socket is in a container that speaks to it itself.
const NOTIFY_INSIDE: &str = "/run/notify.sock";

/// What a container is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// This process runs it at once, in a unit or not.
    Run { unit: Option<&'a str> },
    /// Somebody starts it later. It is no unit's, whoever makes it: a unit that starts it keeps it
    /// over its own runs, as with docker.
    Wait,
}

impl Purpose<'_> {
    fn unit(self) -> Option<String> {
        match self {
            Purpose::Run { unit } => unit.map(str::to_owned),
            Purpose::Wait => None,
        }
    }
}

pub(super) fn create(
    engine: &Engine,
    options: &ContainerRun,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    if options.detach {
        let help = "leave it out: argosy container start leaves the container when it has started";
        return Err(bad("--detach is an option of run", help));
    }
    if options.sdnotify == Some(NotifyWhen::Container) {
        let help = "take --sdnotify=started or healthy, or run it: argosy container run";
        return Err(bad(
            "--sdnotify=container does not go with create: the socket is that of the unit which starts \
             the container",
            help,
        ));
    }
    let id = new_container(engine, options, Purpose::Wait, printer)?;
    printer.line(id.as_str())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a container, whole or not at all.
pub(super) fn new_container(
    engine: &Engine,
    options: &ContainerRun,
    purpose: Purpose<'_>,
    printer: &Printer,
) -> Result<ContainerId, Failure> {
    let unit = purpose.unit();
    let in_unit = std::env::var_os(UNIT_VARIABLE).is_some();
    for note in options::check(options, in_unit)? {
        printer.note(&note);
    }
    engine.make_private()?;
    let store = engine.store()?;
    sweep(engine, &store, unit.as_deref());
    let pod = pod::joined(engine, options, in_unit, printer)?;
    let id = new_id()?;
    let passing = options.rm.is_on() && purpose != Purpose::Wait;
    let socket = engine.runtime_dir.join(API_SOCKET);
    let image = images::image(&store, &socket, options, (&id, passing), printer)?;
    // Until this container is on record, nobody else takes its name.
    let naming = naming(engine)?;
    take_name(engine, options)?;
    let made = make(engine, options, pod.as_ref(), purpose, &id, &image)
        .and_then(|()| write_id(options, &id));
    if let Err(failure) = made {
        // Nothing half made is left.
        let record = engine.record(&id);
        drop(engine.containers.delete(&id, true));
        drop(engine.release(&id, record));
        return Err(failure);
    }
    drop(naming);
    Ok(id)
}

/// Whether and when a supervisor is told by the engine that the container has started.
pub(super) fn ready(options: &ContainerRun) -> Option<Ready> {
    match options.sdnotify {
        Some(NotifyWhen::Started) => Some(Ready::Started),
        Some(NotifyWhen::Healthy) => Some(Ready::Healthy),
        Some(NotifyWhen::Container) | None => None,
    }
}

fn make(
    engine: &Engine,
    options: &ContainerRun,
    pod: Option<&Joined>,
    purpose: Purpose<'_>,
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
        unit: purpose.unit(),
        labels: images::labels(image, &options.label)?,
        annotations: options::pairs(&options.annotation)?,
        exposed: options.expose.clone(),
        volumes: named.into_iter().chain(nameless.iter().cloned()).collect(),
        nameless,
        stop_timeout: options.stop_timeout,
        remove: options.rm.is_on(),
        pod: pod.map(|it| it.pod.id.clone()),
        runs: Runs {
            interactive: options.interactive,
            ready: ready(options),
            wiring: request.is_some().then(|| options.into()),
            waits: purpose == Purpose::Wait,
        },
    };
    keep(engine, &spec, &record, (request.as_ref(), &new))?;
    match purpose {
        Purpose::Run { unit: Some(unit) } => tell_supervisor(engine, &record, unit, id),
        Purpose::Run { unit: None } => {}
        // Its start asks for addresses; until then nobody else has to do without.
        Purpose::Wait => network::let_go(engine, id)?,
    }
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
    let passes = record.remove && !record.runs.waits;
    let lasting = if passes { Lasting::Boot } else { Lasting::Always };
    engine.containers.create_with(spec, &files, lasting).map_err(|error| failed(&error))?;
    engine.tell_of(&spec.id, Some(record), "create", &[]);
    volumes.iter().try_for_each(|volume| engine.volumes.keep(volume))
}

/// Tells the supervisor whose lines the unit's are from now on. Without it they lack that, no more.
pub(super) fn tell_supervisor(
    engine: &Engine,
    record: &EngineRecord,
    unit: &str,
    id: &ContainerId,
) {
    let Ok(invocation) = std::env::var("INVOCATION_ID") else { return };
    let told = UnitContainer {
        invocation,
        id: id.to_string(),
        name: record.name.clone(),
        image: record.image.clone(),
    };
    if let Err(error) = told.write(&engine.runtime_dir, unit) {
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
