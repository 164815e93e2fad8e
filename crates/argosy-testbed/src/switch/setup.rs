//! Making a testbed, step by step, so that a mode that does not work here is known at once.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::{Pid, PidfdFlags, getegid, geteuid, getpid, pidfd_open, set_child_subreaper};

use super::Switch;
use super::machine::{Files, Machine};
use super::relay::Relay;
use crate::cgroup::Cgroups;
use crate::network::PROBE_PORT;
use crate::place::SOCKET;
use crate::wire::Boot;
use crate::{MachineState, Mode, Refusal, sys};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// The seed of losses and jitter: the same in each testbed, so that a run can be repeated as far
/// as its programs allow.
const SEED: u64 = 77;
/// What the first machine of a mode may take to get ready or to end, on a busy computer.
const PROBE_LIMIT: Duration = Duration::from_secs(20);
/// The name of that machine. Not a name that a caller can give.
const PROBE: &str = ".probe";

/// Makes a testbed in the wanted mode and tries it with a machine that is ended again.
pub(super) fn switch(
    boot: Boot,
    lifeline: OwnedFd,
    signals: OwnedFd,
    lock: OwnedFd,
) -> Result<Switch, Refusal> {
    let owner = Pid::from_raw(boot.owner_pid.cast_signed());
    let owner = owner.ok_or(rustix::io::Errno::SRCH);
    let owner = owner.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let owner = owner.map_err(|error| Refusal::system("watch the owner", &error.into()))?;
    let cgroups = match boot.mode {
        Mode::Loopback => Cgroups::default(),
        Mode::Root | Mode::User => Cgroups::find(&boot.name),
    };
    isolate(boot.mode)?;
    let relay = match boot.mode {
        Mode::Loopback => None,
        Mode::Root | Mode::User => Some(
            Relay::new(SEED)
                .map_err(|error| Refusal::system("make the switch's network", &error))?,
        ),
    };
    let listener = control_socket(&boot)
        .map_err(|error| Refusal::system("listen on the control socket", &error))?;
    let mut switch = Switch {
        boot,
        started: Instant::now(),
        lifeline,
        owner,
        signals,
        _lock: lock,
        listener,
        clients: super::Clients::default(),
        machines: std::collections::BTreeMap::new(),
        relay,
        cgroups,
        forwards: super::Forwards::default(),
        ending: None,
    };
    // Before the first cgroup is made, so that the next start can find them all.
    switch.save().map_err(|error| Refusal::system("write the state file", &error))?;
    switch.cgroups.make();
    switch.write_hosts();
    let probed = switch.probe();
    if probed.is_err() {
        // The caller removes what stays.
        drop(switch.cgroups.remove());
    }
    probed.map(|()| switch)
}

fn isolate(mode: Mode) -> Result<(), Refusal> {
    let step =
        |what: &str, result: io::Result<()>| result.map_err(|error| Refusal::system(what, &error));
    let (user, group) = (geteuid(), getegid());
    match mode {
        Mode::Loopback => {
            step("collect orphans", set_child_subreaper(Some(getpid())).map_err(io::Error::from))
        }
        Mode::Root => step("make a network namespace", sys::unshare_network(false)),
        Mode::User => {
            let made = sys::unshare_network(true);
            made.map_err(|error| match error.raw_os_error() {
                // Over a limit of zero, says namespaces(7).
                Some(libc::ENOSPC | libc::EPERM) => Refusal::NamespacesDenied,
                _ => Refusal::system("make a user and a network namespace", &error),
            })?;
            // user_namespaces(7): one's own user and group only, and setgroups given up first.
            let maps = fs::write("/proc/self/setgroups", "deny")
                .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw())))
                .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw())));
            step("map the user of the namespace", maps)
        }
    }
}

fn control_socket(boot: &Boot) -> io::Result<OwnedFd> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let listener = socket_with(kind.0, kind.1, kind.2, None)?;
    bind(&listener, &SocketAddrUnix::new(boot.directory.join(SOCKET))?)?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

impl Switch {
    /// Starts a machine and ends it again.
    fn probe(&mut self) -> Result<(), Refusal> {
        let made = Machine::new(PROBE_PORT, Files::new(&self.boot.directory, PROBE))
            .map_err(|error| Refusal::system("make a machine id", &error))?;
        self.machines.insert(PROBE.to_owned(), made);
        let started = self.launch(PROBE);
        if started.is_ok() {
            self.probe_wait(|probe| &probe.socket)?;
            self.hear_init(PROBE);
        }
        let ready = self.machines.get_mut(PROBE).map(|it| (it.state, it.failure.clone()));
        if self.machines.get(PROBE).is_some_and(|it| it.init().is_some()) {
            self.kill(PROBE)?;
            self.probe_wait(|probe| &probe.pidfd)?;
        }
        if let Some(machine) = self.machines.get_mut(PROBE) {
            // So that it is forgotten with its directories.
            machine.is_new = true;
        }
        self.init_ended(PROBE);
        started?;
        match ready {
            Some((MachineState::Running, _)) => Ok(()),
            Some((_, Some(why))) => Err(why),
            _ => Err(Refusal::InitEnded { machine: "of the trial".to_owned() }),
        }
    }

    fn probe_wait(&self, what: impl Fn(&super::machine::Init) -> &OwnedFd) -> Result<(), Refusal> {
        let Some(init) = self.machines.get(PROBE).and_then(Machine::init) else { return Ok(()) };
        let mut fds = [PollFd::new(what(init), PollFlags::IN)];
        let limit = Timespec::try_from(PROBE_LIMIT).ok();
        match rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref())) {
            Ok(0) => Err(Refusal::system("try a machine", &io::ErrorKind::TimedOut.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::system("try a machine", &error.into())),
        }
    }
}
