//! `argosy container exec`: one more process in a container that runs.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use argosy_container::{ExecSpec, HelperRequest, Process, STARTED, Streams};

use super::{Engine, become_helper, cannot_run, failed, helper, options};
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
        true => leave(&request.in_background()),
        false => Err(become_helper(&request)),
    }
}

/// Starts the helper and waits until it has executed the process.
fn leave(request: &HelperRequest) -> Result<ExitCode, Failure> {
    let mut command = helper(request)?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let cannot = |error: std::io::Error| cannot_run(&command, &error);
    let mut child = spawned.map_err(cannot)?;
    let mut line = String::new();
    if let Some(from) = child.stdout.take() {
        BufReader::new(from).read_line(&mut line).map_err(cannot)?;
    }
    if line == STARTED {
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why on the standard error, which is ours.
    let status = child.wait().map_err(cannot)?;
    let code = status.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(EXIT_NOT_MADE);
    Ok(ExitCode::from(code))
}
