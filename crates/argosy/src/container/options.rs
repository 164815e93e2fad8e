//! From the options of `run` to what a container is. Nothing here changes the machine: what has to be
//! looked up on it is variables, files that are named, and other containers.

mod health;
mod limits;
mod mounts;
mod process;
mod security;

use std::collections::BTreeMap;

use argosy_container::{ContainerId, ContainerSpec, IdRange, Namespace, UserNamespace};
use argosy_model::signal_number;

use super::Engine;
use super::volumes::{Volume, Volumes};
use crate::args::{ContainerRun, NotifyWhen};
use crate::failure::{Exit, Failure};

pub(super) use health::{listed, span};
pub(super) use limits::bytes;
pub(super) use mounts::{Wanted, add_shared};
pub(super) use process::{overrides, variable_files, variables};

pub(super) fn bad(message: impl Into<String>, help: &str) -> Failure {
    Failure::new(Exit::BadInput, message).with_help(help.to_owned())
}

/// Puts everything that the options say into a container, but for its process.
pub(super) fn apply(
    options: &ContainerRun,
    engine: &Engine,
    spec: &mut ContainerSpec,
) -> Result<Vec<Wanted>, Failure> {
    spec.hostname.clone_from(&options.hostname);
    spec.root_read_only = options.read_only.is_on();
    spec.security = security::security(options)?;
    let (mounts, wanted) = mounts::mounts(options)?;
    spec.mounts = mounts;
    spec.devices = mounts::devices(options)?;
    spec.limits = limits::limits(options)?;
    spec.ulimits = limits::ulimits(&options.ulimit)?;
    spec.sysctls = pairs(&options.sysctl)?;
    spec.shm_bytes = options.shm_size.as_deref().map(bytes).transpose()?;
    spec.init = options.init.is_on();
    spec.oom_score_adj = options.oom_score_adj;
    if let Some(text) = &options.stop_signal {
        spec.stop_signal = Some(signal(text)?);
    }
    spec.health = health::health(options, spec.health.take())?;
    if options.sdnotify == Some(NotifyWhen::Healthy) && spec.health.is_none() {
        let help = "add --health-cmd, or leave it to --sdnotify=started";
        return Err(bad(
            "--sdnotify=healthy, and neither image nor options check its health",
            help,
        ));
    }
    namespaces(options, engine, spec)?;
    Ok(wanted)
}

fn namespaces(
    options: &ContainerRun,
    engine: &Engine,
    spec: &mut ContainerSpec,
) -> Result<(), Failure> {
    let choose = |option: &Option<String>, what| match option {
        Some(text) => namespace(text, what, engine),
        None => Ok(Namespace::Private),
    };
    spec.namespaces.pid = choose(&options.pid, "pid")?;
    spec.namespaces.ipc = choose(&options.ipc, "ipc")?;
    spec.namespaces.uts = choose(&options.uts, "uts")?;
    spec.namespaces.user = match options.userns.as_deref() {
        None | Some("host" | "") => UserNamespace::Host,
        Some(text) => {
            let help = "choose host, or name the ids with --uidmap and --gidmap";
            return Err(bad(format!("--userns {text} is not there yet"), help));
        }
    };
    if !options.uidmap.is_empty() || !options.gidmap.is_empty() {
        let map = |texts: &[String]| texts.iter().map(|text| ids(text)).collect::<Result<_, _>>();
        let uids: Vec<IdRange> = map(&options.uidmap)?;
        let gids: Vec<IdRange> = map(&options.gidmap)?;
        // As podman has it: one of them stands for both.
        spec.namespaces.user = UserNamespace::Mapped {
            uids: if uids.is_empty() { gids.clone() } else { uids.clone() },
            gids: if gids.is_empty() { uids } else { gids },
        };
    }
    Ok(())
}

fn ids(text: &str) -> Result<IdRange, Failure> {
    let wrong = || {
        bad(format!("{text:?} is no map of ids"), "write it INSIDE:OUTSIDE:COUNT: 0:100000:65536")
    };
    let mut parts = text.split(':').map(|it| it.parse::<u32>().map_err(|_| wrong()));
    let mut next = || parts.next().transpose();
    let (Some(inside), Some(outside)) = (next()?, next()?) else { return Err(wrong()) };
    let count = next()?.unwrap_or(1);
    if count == 0 || next()?.is_some() {
        return Err(wrong());
    }
    Ok(IdRange { inside, outside, count })
}

fn namespace(text: &str, what: &str, engine: &Engine) -> Result<Namespace, Failure> {
    match text.split_once(':') {
        None if text == "host" => Ok(Namespace::Host),
        None if matches!(text, "private" | "shareable") => Ok(Namespace::Private),
        Some(("container", name)) => Ok(Namespace::Container(engine.find(name)?)),
        Some(("ns", path)) => Ok(Namespace::Path(path.into())),
        _ => {
            let help = "choose private, host, container:NAME or ns:PATH";
            Err(bad(format!("--{what} {text} is not there yet"), help))
        }
    }
}

pub(super) fn signal(text: &str) -> Result<i32, Failure> {
    let unknown = || {
        bad(format!("there is no signal {text:?}"), "name it as in kill(1): SIGTERM, TERM or 15")
    };
    signal_number(text).ok_or_else(unknown)
}

/// Reads pairs; one without `=` has an empty value.
pub(super) fn pairs(entries: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |entry: &String| match entry.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        None if !entry.is_empty() => Ok((entry.clone(), String::new())),
        _ => Err(bad(format!("{entry:?} has no name"), "write it NAME=VALUE")),
    };
    entries.iter().map(pair).collect()
}

/// Refuses what can be read and not done.
pub(super) fn check(options: &ContainerRun, in_unit: bool) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    match options.restart.as_deref() {
        None | Some("no") => {}
        Some(policy) if in_unit => notes.push(format!(
            "note: --restart {policy} is left to the unit: Restart= in [Service] says when it runs again"
        )),
        Some(policy) => {
            let help = "write a unit file with Restart=always; argosy apply keeps it running";
            return Err(bad(format!("--restart {policy} needs somebody who stays"), help));
        }
    }
    Ok(notes)
}

/// Puts volumes where they are wanted, and makes those that have a name. Returns the nameless ones,
/// which are still to be made.
pub(super) fn make_volumes(
    volumes: &Volumes,
    wanted: Vec<Wanted>,
    spec: &mut ContainerSpec,
    goes_with: Option<&ContainerId>,
) -> Result<Vec<Volume>, Failure> {
    let mut nameless = Vec::new();
    for Wanted { name, place, copy } in wanted {
        let volume = match &name {
            Some(name) => volumes.make_if_missing(name)?,
            None => Volume::nameless(goes_with)?,
        };
        mounts::mount_volume(&volume, volumes, &mut spec.mounts[place], copy)?;
        if name.is_none() {
            nameless.push(volume);
        }
    }
    Ok(nameless)
}

#[cfg(test)]
mod tests;
