//! `argosy container`: docker's commands over the images and containers of this machine. There is no
//! engine process: each command works on the files, and a container's monitor is the command that
//! runs it.

mod options;
mod record;
mod run;
mod show;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use argosy_container::{ContainerError, ContainerId, Containers, ExecSpec, HelperRequest, Streams};
use argosy_image::{Limits, Store};
use argosy_model::signal_number;

use crate::args::{Container, ContainerAction, ContainerExec, Global};
use crate::failure::{Exit, Failure, chain};
use crate::printer::Printer;
use crate::program;
use record::EngineRecord;

/// The hidden command with which the program becomes a container's monitor.
pub(crate) const HELPER: &str = "container-helper";

/// Where the engine keeps things.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    containers: Containers,
    images: PathBuf,
}

impl Engine {
    pub(crate) fn of(global: &Global, data_dir: &Path) -> Engine {
        let containers = Containers {
            run_dir: global.runtime_dir().join("containers"),
            data_dir: data_dir.join("containers"),
        };
        Engine { containers, images: data_dir.join("images") }
    }

    fn store(&self) -> Result<Store, Failure> {
        Store::open(&self.images, Limits::default())
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))
    }

    /// Returns the container that a user means: by name, id, or the beginning of one.
    fn find(&self, wanted: &str) -> Result<ContainerId, Failure> {
        let ids = self.containers.list().map_err(|error| failed(&error))?;
        let named = |id: &&ContainerId| {
            id.as_str() == wanted
                || EngineRecord::read(&self.containers, id).is_some_and(|it| it.name == wanted)
        };
        if let Some(id) = ids.iter().find(named) {
            return Ok(id.clone());
        }
        let mut begun = ids.iter().filter(|id| id.as_str().starts_with(wanted));
        match (begun.next(), begun.next()) {
            (Some(id), None) if !wanted.is_empty() => Ok(id.clone()),
            (Some(_), Some(_)) => {
                let message = format!("{wanted:?} begins the ids of several containers");
                Err(Failure::new(Exit::BadInput, message).with_help("give more of it"))
            }
            _ => Err(Failure::new(Exit::BadInput, format!("there is no container {wanted:?}"))
                .with_help("list them: argosy container ps --all")),
        }
    }

    /// Removes a container and lets go of its image.
    fn remove(&self, id: &ContainerId, force: bool) -> Result<(), Failure> {
        match self.containers.delete(id, force) {
            Ok(()) => {}
            Err(ContainerError::Running { .. }) => {
                let name = EngineRecord::name_of(&self.containers, id);
                return Err(Failure::new(Exit::Refused, format!("container {name} runs")).with_help(
                    "stop it first: argosy container stop; or remove it all the same with --force",
                ));
            }
            Err(error) => return Err(failed(&error)),
        }
        self.store()?
            .release(id.as_str())
            .map_err(|error| Failure::from_error(Exit::BadInput, &error))
    }
}

pub(crate) fn failed(error: &ContainerError) -> Failure {
    let exit = match error {
        ContainerError::NotRunning { .. } | ContainerError::Running { .. } => Exit::Refused,
        _ => Exit::BadInput,
    };
    Failure::new(exit, chain(error))
}

pub(crate) fn main(
    options: &Container,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let engine = Engine::of(global, &options.data.data_dir);
    match &options.action {
        ContainerAction::Run(options) => return run::run(&engine, options, printer),
        ContainerAction::Exec(options) => return exec(&engine, options),
        ContainerAction::Ps { all, quiet } => show::list(&engine, *all, *quiet, printer)?,
        ContainerAction::Inspect { containers } => show::inspect(&engine, containers, printer)?,
        ContainerAction::Top { container } => show::top(&engine, container, printer)?,
        ContainerAction::Stats { containers } => show::stats(&engine, containers, printer)?,
        ContainerAction::Stop { time, containers } => {
            let grace = Duration::from_secs(*time);
            return each(containers, printer, |name| {
                engine.containers.stop(&engine.find(name)?, grace).map_err(|error| failed(&error))
            });
        }
        ContainerAction::Kill { signal, containers } => {
            let number = signal_number(signal).ok_or_else(|| {
                Failure::new(Exit::BadInput, format!("there is no signal {signal:?}"))
                    .with_help("name it as in kill(1): SIGTERM, TERM or 15")
            })?;
            return each(containers, printer, |name| {
                engine.containers.kill(&engine.find(name)?, number).map_err(|error| failed(&error))
            });
        }
        ContainerAction::Rm { force, containers } => {
            return each(containers, printer, |name| match engine.find(name) {
                // As docker has it: it is gone, which is what was wanted.
                Err(_) if *force => Ok(()),
                found => engine.remove(&found?, *force),
            });
        }
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

fn exec(engine: &Engine, options: &ContainerExec) -> Result<ExitCode, Failure> {
    let [name, command @ ..] = &options.container_and_command[..] else {
        return Err(Failure::new(Exit::BadInput, "name a container and a command"));
    };
    let id = engine.find(name)?;
    let process = argosy_container::Process {
        args: command.to_vec(),
        env: options::variables(&options.env)?,
        cwd: options.workdir.clone(),
        user: options.user.clone().unwrap_or_default(),
        groups: Vec::new(),
        tty: options.tty,
    };
    let exec = ExecSpec { process, privileged: options.privileged };
    let streams = Streams { interactive: options.interactive, attachable: false };
    let request = engine.containers.exec_request(&id, &exec, streams).map_err(|e| failed(&e))?;
    Err(become_helper(&request))
}

/// Becomes the helper that carries a request out. Returns only if that fails.
fn become_helper(request: &HelperRequest) -> Failure {
    let argument = match request.argument() {
        Ok(argument) => argument,
        Err(error) => return failed(&error),
    };
    let program = program::on_disk();
    let error = Command::new(&program).arg0("argosy").args([HELPER, &argument]).exec();
    Failure::new(Exit::BadInput, format!("cannot run {}: {error}", program.display()))
}

/// Is the helper, if the command line asks for it.
pub(crate) fn hidden_role() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let is_helper = arguments.next().is_some_and(|first| first == HELPER);
    is_helper.then(|| argosy_container::helper_main(arguments))
}

/// Under the name `docker` the program takes docker's commands.
pub(crate) fn as_docker(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(|it| Path::new(it).file_name() == Some("docker".as_ref()));
    if name == Some(true) {
        arguments.insert(1, "container".into());
    }
    arguments
}
