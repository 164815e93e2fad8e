//! What the switch knows of one machine.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use std::{fs, io};

use rustix::process::Pid;

use crate::MachineState;
use crate::network::Port;

/// The first process of a running machine.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) socket: OwnedFd,
}

/// One machine, running or not.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) port: Port,
    pub(super) state: MachineState,
    pub(super) files: Files,
    pub(super) machine_id: String,
    init: Option<Init>,
    /// The init's number for threads that carry connections into the machine; 0 while it is down.
    pub(super) init_pid: Arc<AtomicI32>,
    /// Whether it has never been ready: then a failure removes it.
    pub(super) is_new: bool,
    /// Why its start failed, as its init told.
    pub(super) failure: Option<crate::Refusal>,
    /// Clients that wait for it to be up or down.
    pub(super) waiting: Vec<u64>,
    /// Clients that wait for the end of what they spawned.
    pub(super) spawned: Vec<u64>,
    /// What a pause stopped one by one.
    pub(super) stopped: Vec<Pid>,
    /// When an end in order becomes a kill.
    pub(super) deadline: Option<Duration>,
}

impl Machine {
    pub(super) fn new(port: Port, files: Files) -> io::Result<Machine> {
        let machine_id = random_hex()?;
        Ok(Machine {
            port,
            state: MachineState::Stopped,
            files,
            machine_id,
            init: None,
            init_pid: Arc::default(),
            is_new: true,
            failure: None,
            waiting: Vec::new(),
            spawned: Vec::new(),
            stopped: Vec::new(),
            deadline: None,
        })
    }

    pub(super) fn init(&self) -> Option<&Init> {
        self.init.as_ref()
    }

    pub(super) fn set_init(&mut self, init: Init) {
        self.init_pid.store(init.pid.as_raw_nonzero().get(), Ordering::Release);
        self.init = Some(init);
    }

    pub(super) fn drop_init(&mut self) {
        self.init_pid.store(0, Ordering::Release);
        self.init = None;
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }
}

/// A machine's files outside.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) root: PathBuf,
}

impl Files {
    pub(super) fn new(testbed: &Path, machine: &str) -> Files {
        Files { root: testbed.join("machines").join(machine) }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn runtime(&self) -> PathBuf {
        self.root.join("run")
    }

    pub(super) fn plain_proc(&self) -> PathBuf {
        self.root.join("proc")
    }

    pub(super) fn machine_id(&self) -> PathBuf {
        self.root.join("machine-id")
    }

    pub(super) fn boot_id(&self) -> PathBuf {
        self.root.join("boot-id")
    }

    /// Makes what a start needs: an empty runtime directory and a new boot id, as after a boot.
    pub(super) fn prepare(&self, machine_id: &str) -> io::Result<()> {
        fs::create_dir_all(self.data())?;
        fs::create_dir_all(self.plain_proc())?;
        match fs::remove_dir_all(self.runtime()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(self.runtime())?;
        fs::write(self.machine_id(), format!("{machine_id}\n"))?;
        let hex = random_hex()?;
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        fs::write(self.boot_id(), format!("{}\n", parts.join("-")))
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.root)
    }
}

/// 32 random digits, as in machine-id(5).
fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
