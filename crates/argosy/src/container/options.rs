//! From the options of `run` to what a container is. Nothing here asks the machine, but for the values
//! of variables and the numbers of files that were named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use argosy_container::{
    ContainerSpec, Device, Limits, Mount, MountKind, Namespace, Overrides, Propagation,
    SeccompChoice, Security, Ulimit,
};
use argosy_model::signal_number;

use super::Engine;
use crate::args::ContainerRun;
use crate::failure::{Exit, Failure};

fn bad(message: String, help: &str) -> Failure {
    Failure::new(Exit::BadInput, message).with_help(help.to_owned())
}

/// Returns variables as they are set: one without a value has the caller's, if there is one.
pub(super) fn variables(entries: &[String]) -> Result<Vec<String>, Failure> {
    let value = |entry: &String| match entry.split_once('=') {
        Some(("", _)) => Err(bad(format!("{entry:?} is no variable"), "write it NAME=VALUE")),
        Some(_) => Ok(entry.clone()),
        None => {
            Ok(std::env::var(entry).map_or_else(|_| entry.clone(), |it| format!("{entry}={it}")))
        }
    };
    entries.iter().map(value).collect()
}

/// Reads files of variables, docker's format: NAME=VALUE or NAME a line, comments begin with `#`.
fn variable_files(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()))
        })?;
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        all.extend(variables(&lines.map(str::to_owned).collect::<Vec<_>>())?);
    }
    Ok(all)
}

/// Returns what is said of the process.
pub(super) fn overrides(options: &ContainerRun) -> Result<Overrides, Failure> {
    let mut env = variable_files(&options.env_file)?;
    env.extend(variables(&options.env)?);
    Ok(Overrides {
        entrypoint: options.entrypoint.as_ref().map(|it| vec![it.clone()]),
        command: options.image_and_command[1..].to_vec(),
        env,
        user: options.user.clone(),
        groups: options.group_add.clone(),
        cwd: options.workdir.clone(),
        tty: options.tty,
    })
}

/// Puts everything else into the spec.
pub(super) fn apply(
    options: &ContainerRun,
    engine: &Engine,
    spec: &mut ContainerSpec,
) -> Result<(), Failure> {
    spec.hostname.clone_from(&options.hostname);
    spec.root_read_only = options.read_only;
    spec.security = security(options)?;
    spec.mounts = mounts(options)?;
    spec.devices = options.device.iter().map(|text| device(text)).collect::<Result<_, _>>()?;
    spec.limits = limits(options)?;
    spec.ulimits = options.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?;
    spec.sysctls = pairs(&options.sysctl)?;
    spec.shm_bytes = options.shm_size.as_deref().map(bytes).transpose()?;
    spec.init = options.init;
    spec.stop_signal = options.stop_signal.as_deref().map(signal).transpose()?;
    let namespace = |option: &Option<String>, what| match option {
        Some(text) => namespace(text, what, engine),
        None => Ok(Namespace::Private),
    };
    spec.namespaces.net = match options.network.as_deref() {
        None | Some("none") => Namespace::Private,
        Some(text) => self::namespace(text, "network", engine)?,
    };
    spec.namespaces.pid = namespace(&options.pid, "pid")?;
    spec.namespaces.ipc = namespace(&options.ipc, "ipc")?;
    spec.namespaces.uts = namespace(&options.uts, "uts")?;
    Ok(())
}

fn namespace(text: &str, what: &str, engine: &Engine) -> Result<Namespace, Failure> {
    match text.split_once(':') {
        None if text == "host" => Ok(Namespace::Host),
        None if text == "private" => Ok(Namespace::Private),
        Some(("container", name)) => Ok(Namespace::Container(engine.find(name)?)),
        Some(("ns", path)) => Ok(Namespace::Path(path.into())),
        _ => Err(bad(
            format!("--{what} {text} is not there yet"),
            "choose none, host, container:NAME or ns:PATH",
        )),
    }
}

pub(super) fn signal(text: &str) -> Result<i32, Failure> {
    let unknown = || {
        bad(format!("there is no signal {text:?}"), "name it as in kill(1): SIGTERM, TERM or 15")
    };
    signal_number(text).ok_or_else(unknown)
}

fn security(options: &ContainerRun) -> Result<Security, Failure> {
    let mut security = Security {
        cap_add: options.cap_add.clone(),
        cap_drop: options.cap_drop.clone(),
        privileged: options.privileged,
        ..Security::default()
    };
    for option in &options.security_opt {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, "true"));
        match (name, value) {
            ("no-new-privileges", "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", path) => security.seccomp = SeccompChoice::File(path.into()),
            _ => {
                let help = "there are no-new-privileges, seccomp=unconfined and seccomp=FILE";
                return Err(bad(format!("--security-opt {option} is not supported"), help));
            }
        }
    }
    Ok(security)
}

fn mounts(options: &ContainerRun) -> Result<Vec<Mount>, Failure> {
    let binds = options.volume.iter().map(|text| bind(text));
    let temporary = options.tmpfs.iter().map(|text| {
        let (target, more) = text.split_once(':').unwrap_or((text, ""));
        let mut mount = Mount::tmpfs(target);
        if let MountKind::Tmpfs { options } = &mut mount.kind
            && !more.is_empty()
        {
            options.extend(more.split(',').map(str::to_owned));
        }
        Ok(mount)
    });
    binds.chain(temporary).collect()
}

fn bind(text: &str) -> Result<Mount, Failure> {
    let mut parts = text.splitn(3, ':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        let help = "a volume without a source is not there yet; write SOURCE:TARGET";
        return Err(bad(format!("--volume {text} names no source"), help));
    };
    if !source.starts_with('/') && !source.starts_with('.') {
        let help = "volumes by name are not there yet; give a directory";
        return Err(bad(format!("{source:?} in --volume {text} is no path"), help));
    }
    if !target.starts_with('/') {
        let help = "the place in the container begins with a slash";
        return Err(bad(format!("{target:?} in --volume {text} is no path"), help));
    }
    let source = std::path::absolute(source).unwrap_or_else(|_| source.into());
    let mut mount = Mount::bind(source, target);
    for option in parts.next().unwrap_or_default().split(',').filter(|it| !it.is_empty()) {
        let MountKind::Bind { propagation, recursive, .. } = &mut mount.kind else { continue };
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "private" | "rprivate" => *propagation = Propagation::Private,
            "slave" | "rslave" => *propagation = Propagation::Slave,
            "shared" | "rshared" => *propagation = Propagation::Shared,
            "bind" => *recursive = false,
            "rbind" => *recursive = true,
            // Labels of SELinux, which is not used here.
            "z" | "Z" => {}
            _ => {
                let help =
                    "there are ro, rw, z, Z, bind, rbind and [r]private, [r]slave, [r]shared";
                return Err(bad(format!("{option:?} in --volume {text} is no option"), help));
            }
        }
    }
    Ok(mount)
}

fn device(text: &str) -> Result<Device, Failure> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or_default();
    let (target, access) = match (parts.next(), parts.next()) {
        (None, _) => (source, "rwm"),
        (Some(target), Some(access)) => (target, access),
        (Some(last), None) if last.starts_with('/') => (last, "rwm"),
        (Some(access), None) => (source, access),
    };
    if !source.starts_with('/') || access.is_empty() || access.chars().any(|it| !"rwm".contains(it))
    {
        let help = "write it /dev/fuse, /dev/fuse:/dev/fuse or /dev/fuse:/dev/fuse:rwm";
        return Err(bad(format!("--device {text} is no device"), help));
    }
    Ok(Device { source: source.into(), target: target.to_owned(), access: access.to_owned() })
}

fn limits(options: &ContainerRun) -> Result<Limits, Failure> {
    let milli_cpus = match options.cpus {
        Some(cpus) if cpus.is_finite() && cpus > 0.0 => Some((cpus * 1_000.0).round() as u64),
        Some(cpus) => {
            return Err(bad(format!("--cpus {cpus} is no number of processors"), "write 1.5"));
        }
        None => None,
    };
    let memory_swap = match options.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        Some(text) => Some(i64::try_from(bytes(text)?).unwrap_or(i64::MAX)),
        None => None,
    };
    Ok(Limits {
        memory: options.memory.as_deref().map(bytes).transpose()?,
        memory_swap,
        milli_cpus,
        cpu_shares: options.cpu_shares,
        cpuset_cpus: options.cpuset_cpus.clone(),
        pids: options.pids_limit.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0),
        ..Limits::default()
    })
}

/// Reads a size as docker writes it: bytes, or with k, m, g or t (powers of 1024), and perhaps a b.
fn bytes(text: &str) -> Result<u64, Failure> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, shift) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 10),
        Some('m') => (&number[..number.len() - 1], 20),
        Some('g') => (&number[..number.len() - 1], 30),
        Some('t') => (&number[..number.len() - 1], 40),
        _ => (number, 0),
    };
    let found = number.parse::<u64>().ok().and_then(|it| it.checked_mul(1 << shift));
    found.ok_or_else(|| bad(format!("{text:?} is no size"), "write it 512m or 2g"))
}

fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let wrong =
        || bad(format!("--ulimit {text} is no limit"), "write it nofile=1024 or nofile=1024:4096");
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    };
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

pub(super) fn pairs(entries: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |entry: &String| match entry.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        None if !entry.is_empty() => Ok((entry.clone(), String::new())),
        _ => Err(bad(format!("{entry:?} has no name"), "write it NAME=VALUE")),
    };
    entries.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
