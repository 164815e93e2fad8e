//! `argosy container run`: gets the image, makes the container, and becomes its monitor.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use argosy_container::{ContainerId, ContainerSpec, Root, State, Streams, process_of};
use argosy_image::{
    AuthFiles, Event, Image, Policy, Progress, PullOptions, Reference, Registries, RegistryClient,
    Store, When,
};

use super::record::EngineRecord;
use super::{Engine, become_helper, failed, options};
use crate::args::{ContainerRun, PullWhen};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// What a supervisor tells a unit's processes: which unit's they are.
const UNIT_VARIABLE: &str = "ARGOSY_UNIT";

/// docker's exit status for a container that could not be made.
const EXIT_NOT_MADE: u8 = 125;

pub(super) fn run(
    engine: &Engine,
    options: &ContainerRun,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    // It returns only if the container has not begun.
    let failure = match begin(engine, options, printer) {
        Err(failure) => failure,
        Ok(never) => match never {},
    };
    printer.failure(&failure);
    Ok(ExitCode::from(EXIT_NOT_MADE))
}

fn begin(
    engine: &Engine,
    options: &ContainerRun,
    printer: &Printer,
) -> Result<std::convert::Infallible, Failure> {
    let unit = std::env::var(UNIT_VARIABLE).ok();
    sweep(engine, unit.as_deref())?;
    let id = new_id()?;
    check_name(engine, options.name.as_deref())?;
    let store = engine.store()?;
    let wanted = &options.image_and_command[0];
    let image = image(&store, wanted, options.pull, &id, printer)?;
    let made = make(engine, options, unit, &id, &image);
    if made.is_err() {
        // Nothing half made is left.
        drop(engine.containers.delete(&id, true));
        drop(store.release(id.as_str()));
    }
    made?;
    if options.network.is_none() {
        printer.note(
            "note: there are no networks between containers yet: this one has only its loopback \
             device (--network host gives it the machine's, --network none says nothing)",
        );
    }
    let streams = Streams { interactive: options.interactive, attachable: false };
    Err(become_helper(&engine.containers.run_request(&id, streams, options.rm)))
}

fn make(
    engine: &Engine,
    options: &ContainerRun,
    unit: Option<String>,
    id: &ContainerId,
    image: &Image,
) -> Result<(), Failure> {
    let short: String = id.as_str().chars().take(12).collect();
    let hostname = options.hostname.clone().unwrap_or_else(|| short.clone());
    let overrides = options::overrides(options)?;
    let process = process_of(Some(&image.config), &overrides, &hostname)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let mut spec = ContainerSpec::new(id.clone(), Root::Layers(image.layers.clone()), process);
    let stop_signal = image.config.config().as_ref().and_then(|it| it.stop_signal().clone());
    spec.stop_signal = stop_signal.as_deref().map(options::signal).transpose()?;
    let by_image = spec.stop_signal;
    options::apply(options, engine, &mut spec)?;
    spec.stop_signal = spec.stop_signal.or(by_image);
    let record = EngineRecord {
        name: options.name.clone().unwrap_or(short),
        image: options.image_and_command[0].clone(),
        manifest: image.manifest.to_string(),
        created_ms: now_ms(),
        unit,
        labels: options::pairs(&options.label)?,
    };
    engine.containers.create(&spec).map_err(|error| failed(&error))?;
    record.write(&engine.containers, id).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot write the record of container {id}: {error}"))
    })
}

/// Removes what earlier commands have left: a unit keeps its last container until it starts the next,
/// and an image is held only by containers that are there.
fn sweep(engine: &Engine, unit: Option<&str>) -> Result<(), Failure> {
    let ids = engine.containers.list().map_err(|error| failed(&error))?;
    for id in &ids {
        let record = EngineRecord::read(&engine.containers, id);
        let same_unit = record.is_some_and(|it| it.unit.is_some() && it.unit.as_deref() == unit);
        let ended = || {
            let state = engine.containers.inspect(id).map(|it| it.state);
            matches!(state, Ok(State::Exited(_) | State::Lost | State::Created))
        };
        if same_unit && ended() {
            engine.remove(id, false)?;
        }
    }
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
    let maker = holder.get(..8).and_then(|it| u32::from_str_radix(it, 16).ok());
    let Some(maker) = maker.filter(|_| holder.len() == 64) else { return false };
    let is_made = engine.containers.data_dir.join(id.as_str()).exists();
    !is_made && !std::path::Path::new("/proc").join(maker.to_string()).exists()
}

/// Makes an id as docker has them, 64 hexadecimal digits; the first eight are this process's number.
fn new_id() -> Result<ContainerId, Failure> {
    let mut bytes = [0_u8; 28];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
        |error| Failure::new(Exit::BadInput, format!("cannot get random bytes: {error}")),
    )?;
    let random: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("{:08x}{random}", std::process::id());
    ContainerId::new(text).map_err(|error| Failure::from_error(Exit::BadInput, &error))
}

fn check_name(engine: &Engine, name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    ContainerId::new(name).map_err(|error| {
        Failure::from_error(Exit::BadInput, &error).with_help("choose another --name")
    })?;
    match engine.find(name) {
        Ok(id) => {
            let message = format!("container {} has the name {name} already", id.as_str());
            Err(Failure::new(Exit::Refused, message).with_help(format!(
                "remove it: argosy container rm {name}; or choose another --name"
            )))
        }
        Err(_) => Ok(()),
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the image, held for the container that is to be.
fn image(
    store: &Store,
    wanted: &str,
    pull: PullWhen,
    id: &ContainerId,
    printer: &Printer,
) -> Result<Image, Failure> {
    let images = |error: argosy_image::Error| {
        Failure::from_error(Exit::BadInput, &error).with_help("list images: argosy image list")
    };
    // By an id, or one that is here: no registry is asked.
    if pull != PullWhen::Always
        && let Ok(image) = store.find(wanted)
        && store.hold(&image.manifest, id.as_str()).is_ok()
    {
        return Ok(image);
    }
    if pull == PullWhen::Never {
        return Err(Failure::new(Exit::BadInput, format!("there is no image {wanted:?} here"))
            .with_help(format!("get it: argosy image pull {wanted}")));
    }
    let reference: Reference = wanted.parse().map_err(|error: argosy_image::ReferenceError| {
        Failure::from_error(Exit::BadInput, &error)
    })?;
    let policy =
        Policy::of_this_machine().map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let variable = |name: &str| std::env::var_os(name).map(Into::into);
    let auth = AuthFiles::usual(variable, rustix::process::getuid().as_raw());
    let client = RegistryClient::new(Registries::default(), auth);
    let options = PullOptions { holder: Some(id.as_str().to_owned()), ..PullOptions::default() };
    let options = PullOptions {
        when: if pull == PullWhen::Always { When::Always } else { When::Missing },
        ..options
    };
    printer.progress(&format!("pulling {reference} ..."));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    runtime
        .block_on(argosy_image::pull(store, &client, &policy, &reference, &options, told()))
        .map_err(images)
}

/// Says what a person who waits wants to know; the journal of a unit has it, too.
fn told() -> Progress {
    Arc::new(|event| match event {
        Event::Resolved { layers, bytes, .. } => {
            crate::printer::note(&format!("{layers} layers, {} MiB", bytes >> 20));
        }
        Event::Retried { layer, error } => {
            crate::printer::note(&format!("layer {}: {error}; tried again", layer.short()));
        }
        _ => {}
    })
}
