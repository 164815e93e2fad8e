//! What clients ask for.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::Switch;
use super::machine::{Files, Machine};
use crate::config::is_name;
use crate::network::{Delay, HOST_NAME, HOST_PORT, MACHINES_MAX, Port};
use crate::wire::{self, Answer, Request, ToInit};
use crate::{DelayScope, ForwardInfo, ForwardTarget, MachineState, Refusal};

/// The longest delay: more is a partition.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// The longest grace, an hour: a sum with a clock must not overflow.
const GRACE_MS_MAX: u64 = 3_600_000;

/// When a request is answered.
enum Reply {
    Now(Answer),
    /// As soon as a machine is up or down, or its init has answered.
    Later,
}

impl Switch {
    /// Serves a client that has something to say.
    pub(super) fn serve(&mut self, id: u64) {
        let Some(client) = self.clients.get(id) else { return };
        let Ok(Some((request, fds))) = wire::receive::<Request>(client) else {
            self.clients.close(id);
            return;
        };
        match self.request(id, request, fds) {
            Ok(Reply::Later) => {}
            Ok(Reply::Now(answer)) => self.clients.answer(id, &answer, &[]),
            Err(why) => self.clients.answer(id, &Answer::Refused(why), &[]),
        }
    }

    fn request(&mut self, id: u64, request: Request, fds: Vec<OwnedFd>) -> Result<Reply, Refusal> {
        match request {
            Request::Status => return Ok(Reply::Now(Answer::Status(self.status()))),
            Request::Destroy => {
                self.begin_end(Some(id));
                return Ok(Reply::Later);
            }
            _ if self.ending.is_some() => return Err(Refusal::Ending),
            Request::AddMachine { machine } => return self.add(id, &machine),
            Request::Start { machine } => return self.start(id, &machine),
            Request::Stop { machine, grace_ms } => {
                self.stop(&machine, grace_ms.min(GRACE_MS_MAX))?;
                return Ok(self.wait_for(id, &machine));
            }
            Request::Kill { machine } => {
                self.kill(&machine)?;
                return Ok(self.wait_for(id, &machine));
            }
            Request::Spawn { machine, command } => {
                return self.spawn(id, &machine, command, &fds);
            }
            Request::Pause { machine } => self.pause(&machine)?,
            Request::Resume { machine } => self.resume(&machine)?,
            Request::Link { machine, up } => self.link(&machine, up)?,
            Request::Delay { scope, delay_us, jitter_us } => {
                self.delay(&scope, Duration::from_micros(delay_us), jitter_us)?;
            }
            Request::Loss { a, b, percent } => self.loss(&a, &b, percent)?,
            Request::Cut { from, to } => {
                let (from, to) = self.two_ports(&from, &to)?;
                self.relay("cut a way")?.cut(from, to);
            }
            Request::Partition { groups } => self.partition(&groups)?,
            Request::Heal => {
                let healed = self.relay("be healed, as it has no faults")?.heal();
                healed.map_err(|error| Refusal::system("heal", &error))?;
            }
            Request::Forward { machine, port, target } => {
                self.forward(&machine, port, target, fds)?;
            }
        }
        Ok(Reply::Now(Answer::Done))
    }

    fn wait_for(&mut self, id: u64, machine: &str) -> Reply {
        if let Some(machine) = self.machines.get_mut(machine) {
            machine.waiting.push(id);
        }
        Reply::Later
    }

    fn add(&mut self, id: u64, name: &str) -> Result<Reply, Refusal> {
        let machine = name.to_owned();
        if !is_name(name) || name == HOST_NAME {
            return Err(Refusal::BadName { machine });
        }
        if self.machines.contains_key(name) {
            return Err(Refusal::MachineExists { machine });
        }
        let taken: BTreeSet<Port> = self.machines.values().map(|it| it.port).collect();
        let port = (1..=MACHINES_MAX as Port).find(|port| !taken.contains(port));
        let port = port.ok_or(Refusal::TooManyMachines { limit: MACHINES_MAX })?;
        let made = Machine::new(port, Files::new(&self.boot.directory, name))
            .map_err(|error| Refusal::system("make a machine id", &error))?;
        self.machines.insert(machine, made);
        self.write_hosts();
        self.start(id, name)
    }

    fn start(&mut self, id: u64, name: &str) -> Result<Reply, Refusal> {
        let machine = name.to_owned();
        match self.machines.get(name).map(|it| it.state) {
            None => return Err(Refusal::NoSuchMachine { machine }),
            Some(MachineState::Stopped) => {}
            Some(_) => return Err(Refusal::NotStopped { machine }),
        }
        if let Err(why) = self.launch(name) {
            let started = self.machines.get_mut(name).is_some_and(|it| {
                it.failure = Some(why.clone());
                it.init().is_some()
            });
            if !started {
                self.init_ended(name);
                return Err(why);
            }
            // Its end is answered with the failure.
            self.kill(name)?;
        }
        Ok(self.wait_for(id, name))
    }

    fn spawn(
        &mut self,
        id: u64,
        name: &str,
        command: wire::Command,
        fds: &[OwnedFd],
    ) -> Result<Reply, Refusal> {
        let machine = self.up(name)?;
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let message = ToInit::Spawn { id, command };
        let sent = machine.init().map(|init| wire::send(&init.socket, &message, &fds));
        sent.unwrap_or(Ok(()))
            .map_err(|error| Refusal::system(format!("order a spawn from {name}"), &error))?;
        machine.spawned.push(id);
        Ok(Reply::Later)
    }

    fn link(&mut self, name: &str, up: bool) -> Result<(), Refusal> {
        let port = self.port(name)?;
        let plugged = self.relay("unplug a machine")?.plug(port, up);
        plugged.map_err(|error| Refusal::system(format!("plug the cable of {name}"), &error))?;
        self.saved();
        Ok(())
    }

    fn delay(&mut self, scope: &DelayScope, base: Duration, jitter: u64) -> Result<(), Refusal> {
        let jitter = Duration::from_micros(jitter);
        if base.max(jitter) > DELAY_MAX {
            let what = format!("a delay is at most {} seconds", DELAY_MAX.as_secs());
            return Err(Refusal::Meaningless { what });
        }
        let delay = Delay { base, jitter };
        match scope {
            DelayScope::Machine(name) => {
                let port = self.port(name)?;
                self.relay("delay frames")?.delay_port(port, delay);
            }
            DelayScope::Pair(a, b) => {
                let (a, b) = self.two_ports(a, b)?;
                self.relay("delay frames")?.delay_pair(a, b, delay);
            }
        }
        Ok(())
    }

    fn loss(&mut self, a: &str, b: &str, percent: f64) -> Result<(), Refusal> {
        let (a, b) = self.two_ports(a, b)?;
        if !(0.0..=100.0).contains(&percent) {
            let what = format!("{percent} is not a percentage from 0 to 100");
            return Err(Refusal::Meaningless { what });
        }
        self.relay("lose frames")?.lose(a, b, percent);
        Ok(())
    }

    fn partition(&mut self, groups: &[Vec<String>]) -> Result<(), Refusal> {
        let ports = |group: &Vec<String>| group.iter().map(|name| self.port(name)).collect();
        let groups: Vec<BTreeSet<Port>> = groups.iter().map(ports).collect::<Result<_, _>>()?;
        self.relay("be partitioned")?.partition(&groups);
        Ok(())
    }

    fn forward(
        &mut self,
        name: &str,
        port: u16,
        target: ForwardTarget,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        let no_machine = || Refusal::NoSuchMachine { machine: name.to_owned() };
        let machine = self.machines.get(name).ok_or_else(no_machine)?;
        let listener = fds.into_iter().next();
        let listener = listener
            .ok_or_else(|| Refusal::Meaningless { what: "no listener was passed".to_owned() })?;
        let inside = match (target, &self.relay) {
            (ForwardTarget::Inside, Some(_)) => Some(machine.init_pid.clone()),
            _ => None,
        };
        let address = (self.address(machine), port).into();
        let machine = name.to_owned();
        let info = |listen| ForwardInfo { listen, machine, port, target };
        self.forwards.add(listener, info, address, inside)
    }

    fn relay(&self, operation: &str) -> Result<&super::Relay, Refusal> {
        let refusal = || Refusal::NotInLoopback { operation: operation.to_owned() };
        self.relay.as_ref().ok_or_else(refusal)
    }

    fn port(&self, name: &str) -> Result<Port, Refusal> {
        if name == HOST_NAME {
            return Ok(HOST_PORT);
        }
        let found = self.machines.get(name).map(|machine| machine.port);
        found.ok_or_else(|| Refusal::NoSuchMachine { machine: name.to_owned() })
    }

    fn two_ports(&self, a: &str, b: &str) -> Result<(Port, Port), Refusal> {
        if a == b {
            let what = format!("there is no way between {a} and itself");
            return Err(Refusal::Meaningless { what });
        }
        Ok((self.port(a)?, self.port(b)?))
    }
}
