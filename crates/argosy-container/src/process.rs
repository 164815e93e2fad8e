//! From an image's configuration and what the user asked for to the process, by docker's rules.

use oci_spec::image::ImageConfiguration;

use crate::spec::Process;

/// The path of programs where an image names none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `docker run` was given beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--entrypoint`; an empty text takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// What stands behind the image's name.
    pub command: Vec<String>,
    /// `-e NAME=value`, in order. `-e NAME` is resolved by the caller: with the caller's value, or
    /// left as `NAME`, which takes the variable away.
    pub env: Vec<String>,
    /// `-u`.
    pub user: Option<String>,
    /// `--group-add`.
    pub groups: Vec<String>,
    /// `-w`.
    pub cwd: Option<String>,
    /// `-t`.
    pub tty: bool,
}

/// An image and a command line name no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no command specified: the image has none, so name one behind it")]
pub struct NoCommand;

/// Decides what runs. `hostname` becomes a variable, as docker has it.
pub fn process_of(
    image: Option<&ImageConfiguration>,
    overrides: &Overrides,
    hostname: &str,
) -> Result<Process, NoCommand> {
    let config = image.and_then(|image| image.config().as_ref());
    let own = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    let (image_entrypoint, image_command) = (
        own(config.and_then(|it| it.entrypoint().as_ref())),
        own(config.and_then(|it| it.cmd().as_ref())),
    );
    let (entrypoint, command) = match &overrides.entrypoint {
        // An entrypoint of the user's brings its own arguments: the image's are not for it.
        Some(entrypoint) => (entrypoint.clone(), overrides.command.clone()),
        None if overrides.command.is_empty() => (image_entrypoint, image_command),
        None => (image_entrypoint, overrides.command.clone()),
    };
    let entrypoint = entrypoint.into_iter().filter(|it| !it.is_empty());
    let args: Vec<String> = entrypoint.chain(command).collect();
    if args.is_empty() {
        return Err(NoCommand);
    }
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    if overrides.tty {
        env.push("TERM=xterm".to_owned());
    }
    let image_env = own(config.and_then(|it| it.env().as_ref()));
    for entry in image_env.iter().chain(&overrides.env) {
        set_variable(&mut env, entry);
    }
    let text = |value: Option<&String>| value.cloned().filter(|it| !it.is_empty());
    Ok(Process {
        args,
        env,
        cwd: overrides
            .cwd
            .clone()
            .or_else(|| text(config.and_then(|it| it.working_dir().as_ref()))),
        user: overrides
            .user
            .clone()
            .or_else(|| text(config.and_then(|it| it.user().as_ref())))
            .unwrap_or_default(),
        groups: overrides.groups.clone(),
        tty: overrides.tty,
    })
}

/// Sets, replaces or, without `=`, removes a variable.
pub(crate) fn set_variable(env: &mut Vec<String>, entry: &str) {
    let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
    let wanted = name(entry);
    let place = env.iter().position(|it| name(it) == wanted);
    match (place, entry.contains('=')) {
        (Some(place), true) => entry.clone_into(&mut env[place]),
        (Some(place), false) => drop(env.remove(place)),
        (None, true) => env.push(entry.to_owned()),
        (None, false) => {}
    }
}

/// Returns the value of a variable.
pub(crate) fn variable<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests;
