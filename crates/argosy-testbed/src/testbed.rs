//! The owner's side: a testbed lives as long as this value, and not longer than its process.

use std::fs::{DirBuilder, File};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::geteuid;

use crate::place::{LOG, Lock, Place};
use crate::wire::{self, Answer, Boot};
use crate::{Control, Mode, Refusal, TestbedConfig, TestbedError, leftovers, role};

/// How long a switch may take to make its network and try a machine, on a busy computer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A testbed that this process owns. Dropping it destroys it, as does the end of this process,
/// however it ends.
#[derive(Debug)]
pub struct Testbed {
    control: Control,
    mode: Mode,
    switch: Child,
    /// Its closing, by us or by the kernel, tells the switch to remove everything.
    lifeline: Option<OwnedFd>,
}

impl Testbed {
    /// Makes a testbed without machines, in the best of the accepted modes that works. What an
    /// earlier testbed of the same name left behind is removed first.
    pub fn create(config: TestbedConfig) -> Result<Testbed, TestbedError> {
        let place = Place::find(&config.name, config.base.as_deref())?;
        let program = config.program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let mut tried = Vec::new();
        for mode in config.wanted.modes(geteuid().is_root()) {
            let lock = place.lock()?;
            leftovers::remove(&place)?;
            let started = start(&place, &program, mode, &lock);
            if !matches!(started, Ok(Ok(_))) {
                leftovers::remove_all(&place, &lock)?;
            }
            match started? {
                Ok((switch, lifeline)) => {
                    let control = Control::at(&place);
                    return Ok(Testbed { control, mode, switch, lifeline: Some(lifeline) });
                }
                Err(why) => tried.push((mode, why)),
            }
        }
        Err(TestbedError::NoMode { tried })
    }

    /// How machines are kept apart.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What this testbed cannot show, one sentence each.
    pub fn limits(&self) -> Vec<&'static str> {
        self.mode.limits()
    }

    /// Every operation, for other threads and for later.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends all machines and removes everything; returns when nothing is left.
    pub fn destroy(mut self) -> Result<(), TestbedError> {
        let result = self.control.destroy();
        self.end();
        result
    }

    fn end(&mut self) {
        if self.lifeline.take().is_some() {
            // The switch ends by itself once the lifeline is closed; there is nobody to tell if
            // it cannot be waited for.
            drop(self.switch.wait());
        }
    }
}

impl Deref for Testbed {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.end();
    }
}

type Started = (Child, OwnedFd);

fn start(
    place: &Place,
    program: &Path,
    mode: Mode,
    lock: &Lock,
) -> Result<Result<Started, Refusal>, TestbedError> {
    let directory = place.directory();
    let file = |action, path: PathBuf| move |source| TestbedError::File { action, path, source };
    DirBuilder::new().mode(0o700).create(&directory).map_err(file("make", directory.clone()))?;
    let log_path = directory.join(LOG);
    let log = File::create(&log_path).map_err(file("make", log_path))?;
    let (ours, theirs) = wire::pair().map_err(|source| TestbedError::Talk { source })?;
    // A group of its own: the terminal's Ctrl-C is for the owner, which then ends the switch.
    let mut switch = Command::new(program)
        .arg0(role::NAME)
        .arg(role::SWITCH)
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(|source| TestbedError::StartSwitch { program: program.to_owned(), source })?;
    let boot = Boot {
        name: place.name.clone(),
        directory,
        lock: place.lock_path(),
        base: place.removable_base(),
        mode,
        owner_pid: std::process::id(),
    };
    let talk = || -> io::Result<Option<Answer>> {
        set_socket_timeout(&ours, Timeout::Recv, Some(ANSWER_LIMIT))?;
        wire::send(&ours, &boot, &[lock.file.as_fd()])?;
        Ok(wire::receive(&ours)?.map(|(answer, _)| answer))
    };
    let failed = match talk() {
        Ok(Some(Answer::Done)) => return Ok(Ok((switch, ours))),
        Ok(Some(Answer::Refused(why))) => Ok(Err(why)),
        _ => Err(TestbedError::NotASwitch { program: program.to_owned() }),
    };
    drop(ours);
    if failed.is_err() {
        // It may be any program, and wait for anything. One that has ended is fine.
        drop(switch.kill());
    }
    drop(switch.wait());
    failed
}
