//! Which socket a command speaks to, and unit names as people type them.

use std::path::Path;
use std::time::Duration;

use argosy_api::Client;
use argosy_model::UnitName;

use crate::args::{Command, Global, RUNTIME_DIR};
use crate::context;
use crate::failure::{Exit, Failure};
use crate::printer;

/// The daemon's socket below the runtime directory.
pub(crate) const API_SOCKET: &str = "api.sock";
/// The supervisor's socket below the runtime directory.
pub(crate) const SUPERVISOR_SOCKET: &str = "supervisor.sock";

/// How long a command waits for an answer that nothing has to happen for. A daemon that looks for a
/// leader, asks it and stores what was decided takes half of it at the most.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How much longer a command waits than the daemon was told to, so that its reason arrives.
const ANSWER_SLACK: Duration = Duration::from_secs(3);

/// Returns how long to wait for an answer that is given when something has happened, or after so
/// many seconds.
pub(crate) fn waits(seconds: u64) -> Duration {
    Duration::from_secs(seconds).saturating_add(ANSWER_SLACK)
}

/// Returns a client of the daemon, or of a machine of the cluster that a context names.
pub(crate) fn daemon(global: &Global) -> Result<Client, Failure> {
    Ok(client(global)?.with_notes(printer::note).with_limit(ANSWER_MAX))
}

fn client(global: &Global) -> Result<Client, Failure> {
    if let Some(socket) = &global.socket {
        return Ok(Client::new(socket));
    }
    if let Some(name) = &global.context {
        return context::client(name);
    }
    if let Some(directory) = &global.runtime_dir {
        return Ok(Client::new(directory.join(API_SOCKET)));
    }
    let usual = Path::new(RUNTIME_DIR).join(API_SOCKET);
    match context::current().filter(|_| !usual.exists()) {
        Some(name) => context::client(&name),
        None => Ok(Client::new(usual)),
    }
}

/// Returns a client of this machine's supervisor.
pub(crate) fn supervisor(global: &Global) -> Result<Client, Failure> {
    if let Some(name) = &global.context {
        let message = format!("--local speaks to one machine, context {name} is a cluster");
        return Err(Failure::new(Exit::BadInput, message)
            .with_help("name the machine with --runtime-dir, or leave --local out"));
    }
    let socket = || global.runtime_dir().join(SUPERVISOR_SOCKET);
    let client = Client::new(global.socket.clone().unwrap_or_else(socket));
    Ok(client.with_limit(ANSWER_MAX))
}

/// Reads a unit name; without a suffix it is a service, as for systemctl(1).
pub(crate) fn unit_name(text: &str) -> Result<UnitName, Failure> {
    UnitName::new(text)
        .or_else(|error| UnitName::new(format!("{text}.service")).map_err(|_| error))
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))
}

/// Reads the name of a template: `api` and `api@` are `api@.service`.
pub(crate) fn template_name(text: &str) -> Result<UnitName, Failure> {
    if text.contains(['@', '.']) {
        return unit_name(text);
    }
    unit_name(&format!("{text}@.service"))
}

/// Reads several unit names.
pub(crate) fn unit_names(texts: &[String]) -> Result<Vec<UnitName>, Failure> {
    texts.iter().map(|text| unit_name(text)).collect()
}

/// Refuses a command that only the supervisor understands when it goes to the cluster.
pub(crate) fn needs_local(global: &Global, command: &str) -> Result<(), Failure> {
    if global.local {
        return Ok(());
    }
    Err(Failure::new(Exit::BadInput, format!("{command} acts on this machine's supervisor only"))
        .with_help(format!("run `argosy --local {command} ...`")))
}

/// Refuses `--local` with a command that has no meaning without a cluster.
pub(crate) fn refuse_local(global: &Global, command: &Command) -> Result<(), Failure> {
    let name = match command {
        Command::Cluster(_) => "cluster",
        Command::Token(_) => "token",
        Command::Context(_) => "context",
        Command::ListMachines => "list-machines",
        Command::Submit(_) => "submit",
        Command::Apply(_) => "apply",
        Command::Destroy(_) => "destroy",
        Command::Scale(_) => "scale",
        Command::DaemonReexec(_) => "daemon-reexec",
        Command::Image(_) => "image",
        _ => return Ok(()),
    };
    if !global.local {
        return Ok(());
    }
    Err(Failure::new(Exit::BadInput, format!("{name} acts on the cluster and takes no --local")))
}
