//! Starts the keeper, and the supervisor process that the keeper starts.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use argosy_keeper::{KeeperConfig, KeeperError};
use argosy_native::NativeError;

use crate::args::{Global, Supervisor, SupervisorProcess};
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::program;

/// What to do where another supervisor is.
const HELD_HELP: &str =
    "stop the other one, or choose places of your own with --data-dir and --runtime-dir";

/// Runs the keeper in this process, which has one thread.
pub(crate) fn supervisor(global: &Global, options: &Supervisor) -> Result<ExitCode, Failure> {
    let runtime_dir = global.runtime_dir();
    let places = |words: &[&str]| -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec!["argosy".into()];
        argv.extend(words.iter().map(OsString::from));
        argv.extend(["--runtime-dir".into(), runtime_dir.clone().into_os_string()]);
        argv.extend(["--data-dir".into(), options.data.data_dir.clone().into_os_string()]);
        argv
    };
    check(global, options)?;
    let mut supervisor = places(&["supervisor-process"]);
    for directory in &options.units.unit_path {
        supervisor.extend(["--unit-path".into(), directory.clone().into_os_string()]);
    }
    let mut config = KeeperConfig::new(runtime_dir.clone(), supervisor);
    config.program = program::on_disk();
    config.process_trees = options.process_trees;
    config.longest_backoff =
        Duration::try_from_secs_f64(options.restart_delay_max).map_err(|_| {
            let message = format!("{} is no number of seconds to wait", options.restart_delay_max);
            Failure::new(Exit::BadInput, message)
        })?;
    if !options.no_daemon {
        let mut daemon = places(&["daemon"]);
        for address in &options.client.client_listen {
            daemon.extend(["--client-listen".into(), address.to_string().into()]);
        }
        daemon.extend(["--peer-port".into(), options.peer.peer_port.to_string().into()]);
        daemon.extend(options.disk.arguments());
        config.daemon_argv = Some(daemon);
        let mut proxy = places(&["proxy-process"]);
        proxy.extend(["--proxy-listen".into(), options.proxy.proxy_listen.to_string().into()]);
        config.proxy_argv = Some(proxy);
    }
    argosy_keeper::run(config).map_err(|error| {
        let help = match error {
            KeeperError::NoGroupMode { .. } => {
                "run as root, or, if processes that hide are no worry here, with --process-trees"
            }
            KeeperError::Held { .. } => HELD_HELP,
            // Root has every right, and needs another place.
            _ if rustix::process::geteuid().is_root() => "choose another place with --runtime-dir",
            _ => "run as root, or choose a place of your own with --runtime-dir",
        };
        Failure::from_error(Exit::BadInput, &error).with_help(help)
    })
}

/// Says now what would keep the supervisor process from starting again and again.
fn check(global: &Global, options: &Supervisor) -> Result<(), Failure> {
    let config = argosy_native::NativeConfig {
        runtime_dir: global.runtime_dir(),
        data_dir: options.data.data_dir.clone(),
        unit_dirs: options.units.unit_path.clone(),
    };
    argosy_native::check_places(&config).map_err(|error| {
        let help = match error {
            NativeError::Locked { .. } => HELD_HELP,
            _ if rustix::process::geteuid().is_root() => {
                "choose other places with --data-dir and --runtime-dir"
            }
            _ => "run as root, or choose places of your own with --data-dir and --runtime-dir",
        };
        Failure::from_error(Exit::BadInput, &error).with_help(help)
    })
}

/// Runs the supervisor process.
pub(crate) fn supervisor_process(
    global: &Global,
    options: SupervisorProcess,
) -> Result<ExitCode, Failure> {
    logging::begin();
    let config = argosy_native::NativeConfig {
        runtime_dir: global.runtime_dir(),
        data_dir: options.data.data_dir,
        unit_dirs: options.units.unit_path,
    };
    argosy_native::supervisor_main(config)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))
}
