//! What the integration tests start: a keeper, supervisors and units, by the first argument.

mod collect;
mod unit_programs;

use std::error::Error;
use std::ffi::OsString;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use argosy_keeper::{GroupMode, KeeperClient, KeeperConfig};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["keeper", runtime_dir, mode, spool_limit, supervisor @ ..] => {
            keeper(runtime_dir, mode, spool_limit, supervisor)
        }
        ["relay", runtime_dir] => relay(Path::new(runtime_dir)),
        ["daemon", directory] => daemon(Path::new(directory)),
        ["collect", runtime_dir, output, units @ ..] => {
            collect::run(Path::new(runtime_dir), Path::new(output), units)
        }
        ["lines", name, count, per_second] => unit_programs::lines(name, count, per_second),
        ["notify", text] => unit_programs::notify(text),
        ["notify-flood", count] => unit_programs::notify_flood(count),
        other => Err(format!("no such part: {other:?}").into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn keeper(
    runtime_dir: &str,
    mode: &str,
    spool_limit: &str,
    supervisor: &[&str],
) -> Result<ExitCode, Box<dyn Error>> {
    let argv = |words: &[&str]| -> Vec<OsString> {
        std::iter::once("keeper-stand").chain(words.iter().copied()).map(OsString::from).collect()
    };
    let mut config = KeeperConfig::new(runtime_dir, argv(supervisor));
    config.group_mode = match mode {
        "v2" => Some(GroupMode::V2),
        "hybrid" => Some(GroupMode::Hybrid),
        "v1" => Some(GroupMode::V1),
        "pid" => Some(GroupMode::PidNamespace),
        "tree" => Some(GroupMode::ProcessTree),
        _ => None,
    };
    config.spool_limit = spool_limit.parse()?;
    // A name that the test knows how to look for.
    let stand = std::env::var("STAND")?;
    config.group_parent = Some(format!("keeper-{stand}").replace('/', "-"));
    config.longest_backoff = Duration::from_millis(50);
    if let Ok(directory) = std::env::var("STAND_DAEMON") {
        config.daemon_argv = Some(argv(&["daemon", &directory]));
    }
    Ok(argosy_keeper::run(config)?)
}

/// A supervisor that hands its socket on to the test and does nothing else.
fn relay(runtime_dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let keeper = KeeperClient::from_environment()?;
    let test = UnixStream::connect(runtime_dir.with_extension("test"))?;
    let pid = std::process::id().to_string();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [keeper.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&test, &[IoSlice::new(pid.as_bytes())], &mut control, SendFlags::empty())?;
    loop {
        std::thread::park();
    }
}

/// A daemon that says that it lives by a file of its PID.
fn daemon(directory: &Path) -> Result<ExitCode, Box<dyn Error>> {
    std::fs::write(directory.join(std::process::id().to_string()), "")?;
    loop {
        std::thread::park();
    }
}
