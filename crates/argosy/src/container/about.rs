//! `docker version` and `docker info`: what answers to that name, for programs that ask.

use argosy_container::State;
use serde_json::{Value, json};

use super::{Engine, inspect};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// docker's interface that the commands follow.
pub(super) const API_VERSION: &str = "1.43";

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn version(format: Option<&str>, printer: &Printer) -> Result<(), Failure> {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    // There is no engine process: who asks and who answers are one program.
    let side = json!({
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "Os": "linux",
        "Arch": docker_arch(),
        "KernelVersion": kernel,
    });
    let whole = json!({ "Client": side, "Server": side, "Engine": "argosy" });
    match format {
        Some(_) => inspect::show(&[whole], format, printer),
        None => printer.show(&whole, |_| {
            format!(
                "argosy {VERSION}, in docker's place (commands of its interface {API_VERSION})\n\
                 linux/{}, kernel {kernel}; there is no engine process",
                docker_arch()
            )
        }),
    }
}

/// Returns docker's name of this processor.
pub(super) fn docker_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns what is known of the engine, in docker's fields.
pub(super) fn info_value(engine: &Engine) -> Result<Value, Failure> {
    let mut counts = [0_u32; 3];
    for id in engine.ids()? {
        let Ok(inspection) = engine.containers.inspect(&id) else { continue };
        counts[match inspection.state {
            State::Running | State::Unwatched => 0,
            State::Paused => 1,
            _ => 2,
        }] += 1;
    }
    let [running, paused, stopped] = counts;
    let usage = engine.store()?.usage();
    let images = usage.map_err(|error| Failure::from_error(Exit::BadInput, &error))?.images.len();
    let uname = rustix::system::uname();
    let root = engine.containers.data_dir.parent().unwrap_or(&engine.containers.data_dir);
    let cgroups =
        if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "2" } else { "1" };
    Ok(json!({
        "Containers": running + paused + stopped,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped,
        "Images": images,
        "Driver": "overlay",
        "CgroupVersion": cgroups,
        "KernelVersion": uname.release().to_string_lossy(),
        "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(),
        "Name": uname.nodename().to_string_lossy(),
        "DockerRootDir": root,
        "ServerVersion": VERSION,
        "Rootless": !rustix::process::geteuid().is_root(),
    }))
}

pub(super) fn info(
    engine: &Engine,
    format: Option<&str>,
    printer: &Printer,
) -> Result<(), Failure> {
    let whole = info_value(engine)?;
    match format {
        Some(_) => inspect::show(&[whole], format, printer),
        None => printer.show(&whole, |whole| {
            let word = |key: &str| match &whole[key] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let keys = [
                "Containers",
                "ContainersRunning",
                "ContainersPaused",
                "ContainersStopped",
                "Images",
                "CgroupVersion",
                "KernelVersion",
                "DockerRootDir",
                "ServerVersion",
                "Rootless",
            ];
            keys.map(|key| format!("{key}: {}", word(key))).join("\n")
        }),
    }
}
