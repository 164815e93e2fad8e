//! `argosy container exec`: one more process in a container that runs.

use std::process::ExitCode;

use argosy_container::{ExecSpec, Process, Streams};

use super::background::{Output, start_in_background};
use super::{Engine, become_helper, failed, options};
use crate::args::ContainerExec;
use crate::failure::{Exit, Failure};

/// docker's exit status for a process that could not be made.
const EXIT_NOT_MADE: u8 = 126;

pub(super) fn exec(engine: &Engine, options: &ContainerExec) -> Result<ExitCode, Failure> {
    let [name, command @ ..] = &options.container_and_command[..] else {
        return Err(Failure::new(Exit::BadInput, "name a container and a command"));
    };
    let id = engine.find(name)?;
    let mut env = options::variable_files(&options.env_file)?;
    env.extend(options::variables(&options.env)?);
    let process = Process {
        args: command.to_vec(),
        env,
        cwd: options.workdir.clone(),
        user: options.user.clone().unwrap_or_default(),
        groups: Vec::new(),
        tty: options.tty,
    };
    let exec = ExecSpec { process, privileged: options.privileged };
    // Nobody is there to write to one that is left.
    let interactive = options.interactive && !options.detach;
    let streams = Streams { interactive, attachable: options.detach };
    let request = engine.containers.exec_request(&id, &exec, streams).map_err(|e| failed(&e))?;
    match options.detach {
        true => start_in_background(&request.in_background(), Output::Nobodys, EXIT_NOT_MADE, None),
        false => Err(become_helper(&request)),
    }
}
