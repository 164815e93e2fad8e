//! Machines going up and down.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::machine::{Init, Machine};
use super::{Switch, relay};
use crate::init::BOOT_ID;
use crate::wire::{self, Answer, Configure, FromInit, Isolation, ToInit};
use crate::{Counters, Exit, MachineInfo, MachineState, Mode, Refusal, descendants, role, sys};

/// When a kill that failed is tried again: what it could not end may need a moment.
const KILL_INTERVAL: Duration = Duration::from_millis(100);
/// What an init may take to end by itself after the grace it was given, until it is killed.
const STOP_MARGIN: Duration = Duration::from_secs(2);

impl Switch {
    /// Starts a machine that is down. It is ready when its init says so.
    pub(super) fn launch(&mut self, name: &str) -> Result<(), Refusal> {
        let step = |what: &str| {
            let what = format!("{what} of machine {name}");
            move |error: io::Error| Refusal::system(what, &error)
        };
        let Some(machine) = self.machines.get_mut(name) else {
            return Err(Refusal::NoSuchMachine { machine: name.to_owned() });
        };
        machine.files.prepare(&machine.machine_id).map_err(step("make the directories"))?;
        let (port, files) = (machine.port, machine.files.clone());
        let (socket, theirs) = wire::pair().map_err(step("make a socket for the init"))?;
        let isolated = self.relay.is_some();
        let number =
            sys::start_again(role::INIT, &theirs, isolated).map_err(step("start the init"))?;
        drop(theirs);
        let pid = Pid::from_raw(number).ok_or_else(|| Refusal::system("start", &no_process()))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| step("watch the init")(error.into()))?;
        machine.set_init(Init { pid, pidfd, socket });
        machine.state = MachineState::Starting;
        machine.failure = None;
        let cgroups = self.cgroups.place(name, pid);
        let isolation = match &mut self.relay {
            None => None,
            Some(relay) => {
                relay.attach_machine(port, number).map_err(step("lay the cable"))?;
                let shown = |path: &str, own| (own, PathBuf::from(path));
                let plain_proc = files.plain_proc();
                let files = vec![
                    shown("/etc/hosts", self.boot.directory.join("hosts")),
                    shown("/etc/machine-id", files.machine_id()),
                    shown(BOOT_ID, files.boot_id()),
                ];
                let address = relay::address(port).octets();
                Some(Isolation { address, cgroups, plain_proc, files })
            }
        };
        let configure = ToInit::Configure(Configure { host_name: name.to_owned(), isolation });
        let init = self.machines.get(name).and_then(Machine::init);
        let sent = init.map(|init| wire::send(&init.socket, &configure, &[]));
        sent.unwrap_or_else(|| Err(no_process())).map_err(step("configure the init"))
    }

    /// Takes one thing that an init has to say; tells whether there was one.
    pub(super) fn hear_init(&mut self, name: &str) -> bool {
        let Some(machine) = self.machines.get_mut(name) else { return false };
        let Some(init) = machine.init() else { return false };
        // Its end is told by its pidfd.
        let Ok(Some((message, fds))) = wire::receive::<FromInit>(&init.socket) else {
            return false;
        };
        match message {
            FromInit::Ready if machine.state == MachineState::Starting => {
                machine.state = MachineState::Running;
                machine.is_new = false;
                let waiting = std::mem::take(&mut machine.waiting);
                if let Some(machine) = self.machines.get(name) {
                    let info = self.info(name, machine);
                    self.answer_all(waiting, &Answer::Machine(info));
                }
                self.saved();
            }
            FromInit::Ready => {}
            FromInit::Failed(why) => machine.failure = Some(why),
            FromInit::Spawned { id } => {
                let fds: Vec<_> = fds.iter().map(std::os::fd::AsFd::as_fd).collect();
                self.clients.answer(id, &Answer::Spawned, &fds);
            }
            FromInit::SpawnFailed { id, why } => {
                machine.spawned.retain(|it| *it != id);
                self.clients.answer(id, &Answer::Refused(why), &[]);
            }
            FromInit::Exited { id, exit } => {
                machine.spawned.retain(|it| *it != id);
                self.clients.answer(id, &Answer::Exited(exit), &[]);
            }
        }
        true
    }

    /// Clears up after an init that has ended, and all its machine with it.
    pub(super) fn init_ended(&mut self, name: &str) {
        // What it said last, such as why it failed or what ended first, is still in its socket.
        while self.hear_init(name) {}
        let Some(machine) = self.machines.get_mut(name) else { return };
        machine.drop_init();
        machine.deadline = None;
        machine.stopped.clear();
        let was = std::mem::replace(&mut machine.state, MachineState::Stopped);
        let (port, is_new) = (machine.port, machine.is_new);
        let waiting = std::mem::take(&mut machine.waiting);
        let spawned = std::mem::take(&mut machine.spawned);
        let failure = machine.failure.take();
        // At the end all cables go with the namespace they are in, without waiting for each.
        let relay = self.relay.as_mut().filter(|_| self.ending.is_none());
        let cable = relay.map_or(Ok(()), |relay| relay.detach(port));
        let cleared = cable.and_then(|()| self.cgroups.remove_machine(name));
        self.answer_all(spawned, &Answer::Exited(Exit::MachineLost));
        let answer = match (was, cleared) {
            (MachineState::Starting, _) => Answer::Refused(
                failure.unwrap_or_else(|| Refusal::InitEnded { machine: name.to_owned() }),
            ),
            (_, Err(error)) => {
                Answer::Refused(Refusal::system(format!("clear up after {name}"), &error))
            }
            _ => Answer::Done,
        };
        self.answer_all(waiting, &answer);
        if is_new {
            self.forget_machine(name);
        }
        self.saved();
    }

    /// Forgets a machine that never was ready, with its directories.
    fn forget_machine(&mut self, name: &str) {
        if let Some(machine) = self.machines.remove(name) {
            // What stays goes with the testbed.
            drop(machine.files.remove());
        }
        self.write_hosts();
    }

    /// Takes a machine down in order.
    pub(super) fn stop(&mut self, name: &str, grace_ms: u64) -> Result<(), Refusal> {
        let now = self.now();
        let machine = self.up(name)?;
        let grace = Duration::from_millis(grace_ms);
        machine.state = MachineState::Stopping;
        machine.deadline = now.checked_add(grace).and_then(|it| it.checked_add(STOP_MARGIN));
        let init =
            machine.init().map(|init| wire::send(&init.socket, &ToInit::Stop { grace_ms }, &[]));
        init.unwrap_or(Ok(())).map_err(|error| Refusal::system(format!("stop {name}"), &error))
    }

    /// Ends a machine as a loss of power does: nothing leaves it from this moment on.
    pub(super) fn kill(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(machine) = self.machines.get_mut(name) else {
            return Err(Refusal::NoSuchMachine { machine: name.to_owned() });
        };
        if let Some(relay) = &self.relay {
            relay.silence(machine.port);
        }
        let (port, isolated) = (machine.port, self.boot.mode != Mode::Loopback);
        let Some(init) = machine.init() else {
            return Err(Refusal::NotRunning { machine: name.to_owned() });
        };
        let killed = if isolated {
            pidfd_send_signal(&init.pidfd, Signal::KILL).map_err(io::Error::from)
        } else {
            descendants::kill(init.pid, true)
        };
        killed.map_err(|error| Refusal::system(format!("kill {name} (port {port})"), &error))?;
        if machine.state != MachineState::Starting {
            machine.state = MachineState::Stopping;
        }
        machine.deadline = None;
        Ok(())
    }

    /// Ends a machine that nobody waits for to hear of a failure: it is tried again until the machine
    /// is down.
    pub(super) fn kill_or_retry(&mut self, name: &str) {
        let retry = match self.kill(name) {
            Ok(()) | Err(Refusal::NotRunning { .. } | Refusal::NoSuchMachine { .. }) => None,
            Err(_) => self.now().checked_add(KILL_INTERVAL),
        };
        if let Some(machine) = self.machines.get_mut(name) {
            machine.deadline = retry;
        }
    }

    /// Freezes all of a machine.
    pub(super) fn pause(&mut self, name: &str) -> Result<(), Refusal> {
        let step = |error: io::Error| Refusal::system(format!("pause {name}"), &error);
        self.up(name)?;
        let frozen = self.cgroups.freeze(name, true).map_err(step)?;
        let machine = self.up(name)?;
        if let (false, Some(init)) = (frozen, machine.init()) {
            machine.stopped = descendants::stop(init.pid, true).map_err(step)?;
        }
        machine.state = MachineState::Paused;
        self.saved();
        Ok(())
    }

    /// Lets a frozen machine go on.
    pub(super) fn resume(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(machine) = self.machines.get_mut(name) else {
            return Err(Refusal::NoSuchMachine { machine: name.to_owned() });
        };
        match machine.state {
            MachineState::Paused => {}
            // It goes on already.
            MachineState::Running => return Ok(()),
            _ => return Err(Refusal::NotRunning { machine: name.to_owned() }),
        }
        descendants::resume(&std::mem::take(&mut machine.stopped));
        machine.state = MachineState::Running;
        let thawed = self.cgroups.freeze(name, false);
        thawed.map_err(|error| Refusal::system(format!("resume {name}"), &error))?;
        self.saved();
        Ok(())
    }

    /// Kills machines that did not end in time.
    pub(super) fn enforce_deadlines(&mut self) {
        let now = self.now();
        let late = |(name, machine): (&String, &Machine)| {
            machine.deadline.is_some_and(|deadline| deadline <= now).then(|| name.clone())
        };
        let late: Vec<String> = self.machines.iter().filter_map(late).collect();
        for name in late {
            self.kill_or_retry(&name);
        }
    }

    /// A machine that runs and is not paused.
    pub(super) fn up(&mut self, name: &str) -> Result<&mut Machine, Refusal> {
        let machine = name.to_owned();
        match self.machines.get_mut(name) {
            None => Err(Refusal::NoSuchMachine { machine }),
            Some(found) => match found.state {
                MachineState::Running => Ok(found),
                MachineState::Paused => Err(Refusal::IsPaused { machine }),
                _ => Err(Refusal::NotRunning { machine }),
            },
        }
    }

    pub(super) fn address(&self, machine: &Machine) -> Ipv4Addr {
        match self.relay {
            Some(_) => relay::address(machine.port),
            None => Ipv4Addr::new(127, 0, 77, machine.port),
        }
    }

    pub(super) fn info(&self, name: &str, machine: &Machine) -> MachineInfo {
        let report = self.relay.as_ref().map(|relay| relay.report(machine.port));
        let (counters, link_up) = report.unwrap_or((Counters::default(), true));
        MachineInfo {
            name: name.to_owned(),
            state: machine.state,
            address: self.address(machine),
            link_up,
            init_pid: machine.init().map(|init| init.pid.as_raw_nonzero().get().unsigned_abs()),
            machine_id: machine.machine_id.clone(),
            data_directory: machine.files.data(),
            runtime_directory: machine.files.runtime(),
            counters,
        }
    }

    /// Writes the names and addresses of all machines where the machines see them, in place, so
    /// that those that run see it too.
    pub(super) fn write_hosts(&self) {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for (name, machine) in &self.machines {
            text.push_str(&format!("{} {name}\n", self.address(machine)));
        }
        // Names are a comfort; addresses do without them.
        drop(fs::write(self.boot.directory.join("hosts"), text));
    }

    pub(super) fn answer_all(&mut self, clients: Vec<u64>, answer: &Answer) {
        for client in clients {
            self.clients.answer(client, answer, &[]);
        }
    }

    /// Writes the state file. Other terminals ask the socket; the file is for the next start,
    /// which needs only what was written before the first machine was made.
    pub(super) fn saved(&self) {
        drop(self.save());
    }
}

fn no_process() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}
