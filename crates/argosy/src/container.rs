//! `argosy container`: docker's commands over the images and containers of this machine. There is no
//! engine process: each command works on the files, and a container's monitor is the command that
//! runs it.

mod about;
mod attach;
mod background;
mod commit;
mod copy;
mod create;
mod docker;
mod events;
mod exec;
mod filter;
mod ids;
mod images;
mod inspect;
mod list;
mod logs;
mod names;
mod network;
mod network_commands;
mod options;
mod places;
mod pod;
mod private;
mod record;
mod rename;
mod run;
mod serve;
mod shape;
mod show;
mod start;
mod status;
mod sweep;
mod volume;
mod volumes;
mod witness;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argosy_container::{ContainerError, ContainerId, Containers, HelperRequest, State};
use argosy_image::Store;
use argosy_network::{NetworkError, Networks};

use crate::args::{Container, ContainerAction, DiskMarks, Global, Names};
use crate::failure::{Exit, Failure, chain};
use crate::printer::Printer;
use crate::program;
pub(crate) use docker::{as_docker, is_run};
use events::Events;
pub(crate) use inspect::show;
pub(crate) use places::data_dir;
use record::EngineRecord;
pub(crate) use run::EXIT_NOT_MADE;
pub(crate) use serve::spoken;
pub(crate) use sweep::let_images_go;
pub(crate) use volume::main as volume;
use volumes::Volumes;

pub(crate) use network_commands::main as network;
pub(crate) use pod::main as pod;
pub(crate) use witness::hidden_role;

/// Between the stop signal and SIGKILL when nothing is said, as with docker.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The hidden command with which the program becomes a container's monitor.
pub(crate) const HELPER: &str = "container-helper";

/// The directories of containers, within what lasts and within what does not.
const CONTAINERS: &str = "containers";

/// Where the engine keeps things.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    containers: Containers,
    images: PathBuf,
    volumes: Volumes,
    networks: Networks,
    pods: PathBuf,
    events: Events,
    runtime_dir: PathBuf,
}

impl Engine {
    /// Returns the engine of this machine, or of the ordinary user whose process this is.
    pub(crate) fn of(global: &Global, data_dir: &Path) -> Result<Engine, Failure> {
        let data_dir = places::data_dir(data_dir)?;
        Ok(Engine::at(&places::runtime_dir(global, &data_dir), &data_dir))
    }

    fn at(runtime_dir: &Path, data_dir: &Path) -> Engine {
        let containers = Containers {
            run_dir: runtime_dir.join(CONTAINERS),
            data_dir: data_dir.join(CONTAINERS),
        };
        let volumes = Volumes::at(data_dir.join("volumes"));
        let networks = network::networks(runtime_dir, data_dir);
        let (images, pods) = (data_dir.join("images"), data_dir.join("pods"));
        let (events, runtime_dir) = (Events::at(data_dir.join("events")), runtime_dir.to_owned());
        Engine { containers, images, volumes, networks, pods, events, runtime_dir }
    }

    /// Returns the engine whose containers these are.
    fn around(containers: &Containers) -> Option<Engine> {
        Some(Engine::at(containers.run_dir.parent()?, containers.data_dir.parent()?))
    }

    fn store(&self) -> Result<Store, Failure> {
        Store::open(&self.images, DiskMarks::usual().limits())
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))
    }

    /// Returns the container that has a name or id, and not only the beginning of it.
    fn named(&self, wanted: &str) -> Result<Option<ContainerId>, Failure> {
        let mut ids = self.ids()?.into_iter();
        let named = |id: &ContainerId| {
            id.as_str() == wanted || self.record(id).is_some_and(|it| it.name == wanted)
        };
        Ok(ids.find(named))
    }

    /// Returns the container that a user means: by name, id, or the beginning of one.
    fn find(&self, wanted: &str) -> Result<ContainerId, Failure> {
        match self.meant(wanted)? {
            Meant::One(id) => Ok(id),
            Meant::Several => {
                let message = format!("{wanted:?} begins the ids of several containers");
                Err(Failure::new(Exit::BadInput, message).with_help("give more of it"))
            }
            Meant::Nobody => {
                Err(Failure::new(Exit::BadInput, format!("there is no container {wanted:?}"))
                    .with_help("list them: argosy container ps --all"))
            }
        }
    }

    /// Looks which containers may be meant.
    fn meant(&self, wanted: &str) -> Result<Meant, Failure> {
        if let Some(id) = self.named(wanted)? {
            return Ok(Meant::One(id));
        }
        let ids = self.ids()?;
        let mut begun = ids.iter().filter(|id| id.as_str().starts_with(wanted));
        Ok(match (begun.next(), begun.next()) {
            (Some(id), None) if !wanted.is_empty() => Meant::One(id.clone()),
            (Some(_), Some(_)) => Meant::Several,
            _ => Meant::Nobody,
        })
    }

    /// Stops a container: SIGKILL after a time, or after what it was run with.
    fn stop(&self, name: &str, time: Option<Duration>, ignore: bool) -> Result<(), Failure> {
        let id = match self.find(name) {
            Err(_) if ignore => return Ok(()),
            found => found?,
        };
        let own = || self.record(&id).and_then(|it| it.stop_timeout).map(Duration::from_secs);
        let grace = time.or_else(own).unwrap_or(STOP_GRACE);
        let record = self.record(&id);
        let is_live = self.containers.inspect(&id).is_ok_and(|it| it.state.is_live());
        match self.containers.stop(&id, grace) {
            Err(ContainerError::NotFound { .. }) if ignore => Ok(()),
            result => {
                result.map_err(|error| failed(&error))?;
                if is_live {
                    self.tell_of(&id, record.as_ref(), "stop", &[]);
                }
                Ok(())
            }
        }
    }

    /// Removes a container, with `force` one that runs, and lets go of its image; with `volumes`
    /// also those that were made for it.
    fn remove(&self, id: &ContainerId, force: bool, volumes: bool) -> Result<(), Failure> {
        let record = self.record(id);
        match self.containers.delete(id, force) {
            Ok(true) => self.tell_of(id, record.as_ref(), "destroy", &[]),
            Ok(false) => {}
            // Its own end was faster.
            Err(ContainerError::NotFound { .. }) if force => {}
            Err(ContainerError::Running { .. }) => {
                let name = EngineRecord::name_of(&self.containers, id);
                return Err(Failure::new(Exit::Refused, format!("container {name} runs")).with_help(
                    "stop it first: argosy container stop; or remove it all the same with --force",
                ));
            }
            Err(error) => return Err(failed(&error)),
        }
        self.release(id, record.filter(|it| volumes || it.remove))
    }

    /// Lets go of what a container has had that is gone: its image, and the volumes that were
    /// made for it.
    fn release(&self, id: &ContainerId, record: Option<EngineRecord>) -> Result<(), Failure> {
        for name in record.iter().flat_map(|it| &it.nameless) {
            // Somebody may have named it, and use it, or have removed it.
            drop(self.volumes.remove(self, name));
        }
        match self.networks.release(id.as_str()) {
            Ok(()) | Err(NetworkError::NeedsRoot) => {}
            Err(error) => return Err(network::failed(&error)),
        }
        self.store()?
            .release(id.as_str())
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))
    }

    fn ids(&self) -> Result<Vec<ContainerId>, Failure> {
        self.containers.list().map_err(|error| failed(&error))
    }

    fn record(&self, id: &ContainerId) -> Option<EngineRecord> {
        EngineRecord::read(&self.containers, id)
    }
}

/// Who is meant by a name, an id, or the beginning of one.
enum Meant {
    One(ContainerId),
    Several,
    Nobody,
}

pub(crate) fn failed(error: &ContainerError) -> Failure {
    let exit = match error {
        ContainerError::NotRunning { .. }
        | ContainerError::Running { .. }
        | ContainerError::Held { .. } => Exit::Refused,
        _ => Exit::BadInput,
    };
    Failure::new(exit, chain(error))
}

pub(crate) fn main(
    options: &Container,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir)?;
    let containers = &engine.containers;
    let each = |names: &Names, act: &dyn Fn(&ContainerId) -> Result<(), ContainerError>| {
        each(&names.containers, printer, |name| act(&engine.find(name)?).map_err(|it| failed(&it)))
    };
    match &options.action {
        ContainerAction::Run(options) => return run::run(&engine, options, printer),
        ContainerAction::Create(options) => return create::create(&engine, options, printer),
        ContainerAction::Serve { listen } => {
            return serve::serve(&engine, listen.as_ref(), printer);
        }
        ContainerAction::Start(options) => return start::start(&engine, options, printer),
        ContainerAction::Restart { time, containers: names } => {
            let time = time.map(Duration::from_secs);
            return start::restart(&engine, time, &names.containers, printer);
        }
        ContainerAction::Exec(options) => return exec::exec(&engine, options),
        ContainerAction::Attach(options) => return attach::attach(&engine, options, printer),
        ContainerAction::Commit(options) => commit::commit(&engine, options, printer)?,
        ContainerAction::Cp(options) => copy::copy(&engine, options)?,
        ContainerAction::Logs(options) => logs::show(&engine, options, printer)?,
        ContainerAction::Events(options) => events::show(&engine, options, printer)?,
        ContainerAction::Ps(options) => list::list(&engine, options, printer)?,
        ContainerAction::Inspect(options) => inspect::inspect(&engine, options, printer)?,
        ContainerAction::Port { container } => show::ports(&engine, container, printer)?,
        ContainerAction::Top { container } => show::top(&engine, container, printer)?,
        ContainerAction::Stats { format, no_stream: _, containers } => {
            show::stats(&engine, containers, format.as_deref(), printer)?;
        }
        ContainerAction::Version { format } => about::version(format.as_deref(), printer)?,
        ContainerAction::Info { format } => about::info(&engine, format.as_deref(), printer)?,
        ContainerAction::Pause { containers: names } => {
            return each(names, &|id| {
                containers.pause(id).inspect(|()| engine.tell(id, "pause", &[]))
            });
        }
        ContainerAction::Unpause { containers: names } => {
            return each(names, &|id| {
                containers.resume(id).inspect(|()| engine.tell(id, "unpause", &[]))
            });
        }
        ContainerAction::Wait { containers: names } => {
            return wait(&engine, &names.containers, printer);
        }
        ContainerAction::Stop { time, ignore, containers } => {
            return self::each(&containers.containers, printer, |name| {
                engine.stop(name, time.map(Duration::from_secs), *ignore)
            });
        }
        ContainerAction::Kill { signal, containers: names } => {
            let number = options::signal(signal)?;
            return each(names, &|id| {
                let (record, signal) = (engine.record(id), [("signal", number.to_string())]);
                let killed = containers.kill(id, number);
                killed.inspect(|()| engine.tell_of(id, record.as_ref(), "kill", &signal))
            });
        }
        ContainerAction::Rename { container, name } => rename::rename(&engine, container, name)?,
        ContainerAction::Prune { force: _ } => {
            for id in engine.ids()? {
                let inspection = engine.containers.inspect(&id);
                let is_over = inspection.is_ok_and(|it| match it.state {
                    State::Exited(_) | State::Lost => true,
                    State::Created => !ids::is_being_made(&id),
                    _ => false,
                });
                if is_over {
                    engine.remove(&id, false, false)?;
                    printer.line(id.as_str())?;
                }
            }
        }
        ContainerAction::Rm { force, ignore, volumes, containers } => {
            return self::each(&containers.containers, printer, |name| match engine.find(name) {
                // As docker has it: it is gone, which is what was wanted.
                Err(_) if *force || *ignore => Ok(()),
                found => {
                    let id = found?;
                    pod::keep_holder(&engine, &id)?;
                    engine.remove(&id, *force, *volumes)
                }
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the end of each container and prints its exit status.
fn wait(engine: &Engine, names: &[String], printer: &Printer) -> Result<ExitCode, Failure> {
    for name in names {
        let exit = engine.containers.wait(&engine.find(name)?).map_err(|error| failed(&error))?;
        // One whose end nobody saw has no status.
        printer.line(&exit.map_or_else(|| "unknown".to_owned(), |exit| exit.code.to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something with each container, names those it was done with, and goes on after a failure.
fn each(
    names: &[String],
    printer: &Printer,
    act: impl Fn(&str) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match act(name) {
            Ok(()) => printer.line(name)?,
            Err(failure) => code = printer.failure(&failure),
        }
    }
    Ok(code)
}

/// Returns the command of the helper that carries a request out.
fn helper(request: &HelperRequest) -> Result<Command, Failure> {
    let argument = request.argument().map_err(|error| failed(&error))?;
    let mut command = Command::new(program::on_disk());
    command.arg0("argosy").args([HELPER, &argument]);
    Ok(command)
}

fn cannot_run(command: &Command, error: &std::io::Error) -> Failure {
    let program = Path::new(command.get_program()).display();
    Failure::new(Exit::BadInput, format!("cannot run {program}: {error}"))
}

/// Becomes the helper that carries a request out. Returns only if that fails.
fn become_helper(request: &HelperRequest) -> Failure {
    if let Ok(argument) = request.argument() {
        // Not everybody may; then the program is executed as any other.
        drop(argosy_container::become_sealed(&["argosy", HELPER, &argument]));
    }
    match helper(request) {
        Ok(mut command) => {
            let error = command.exec();
            cannot_run(&command, &error)
        }
        Err(failure) => failure,
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Returns as many random bytes as hexadecimal digits.
fn random_hex<const BYTES: usize>() -> Result<String, Failure> {
    let mut bytes = [0_u8; BYTES];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
        |error| Failure::new(Exit::BadInput, format!("cannot get random bytes: {error}")),
    )?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
