//! The client of a running testbed: every operation, from any process of the same user.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::{Deserialize, Serialize};

use crate::wire::{self, Answer, Request};
use crate::{
    MachineCommand, MachineInfo, MachineProcess, Mode, Refusal, Status, TestbedError, place,
};

/// Whose frames a delay concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayScope {
    /// Every frame that the machine sends, and every one that it receives.
    Machine(String),
    /// Every frame between the two, each way.
    Pair(String, String),
}

/// Where in a machine a forwarded connection arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardTarget {
    /// At the machine's address, over the switch: faults of the network concern it.
    Network,
    /// At 127.0.0.1 inside the machine.
    Inside,
}

/// A running testbed, as seen by any process of the user who owns it.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// Finds the running testbed of that name in the usual place of this user, or in `base`.
    pub fn open(name: &str, base: Option<&Path>) -> Result<Control, TestbedError> {
        let control = Control::at(&place::Place::find(name, base)?);
        match control.status() {
            Ok(_) => Ok(control),
            Err(TestbedError::Talk { .. }) => {
                Err(TestbedError::NotRunning { name: name.to_owned() })
            }
            Err(other) => Err(other),
        }
    }

    pub(crate) fn at(place: &place::Place) -> Control {
        Control { socket: place.socket() }
    }

    /// What runs.
    pub fn status(&self) -> Result<Status, TestbedError> {
        match self.ask(&Request::Status, &[])? {
            (Answer::Status(status), ..) => Ok(status),
            other => Err(unexpected(&other.0)),
        }
    }

    /// How machines are kept apart.
    pub fn mode(&self) -> Result<Mode, TestbedError> {
        Ok(self.status()?.mode)
    }

    /// One machine.
    pub fn machine(&self, machine: &str) -> Result<MachineInfo, TestbedError> {
        let found = self.status()?.machines.into_iter().find(|it| it.name == machine);
        found.ok_or_else(|| Refusal::NoSuchMachine { machine: machine.to_owned() }.into())
    }

    /// Makes a machine and starts it; returns when it is ready.
    pub fn add_machine(&self, machine: &str) -> Result<MachineInfo, TestbedError> {
        self.ask_machine(&Request::AddMachine { machine: machine.to_owned() })
    }

    /// Starts a stopped machine on the data directory it had; returns when it is ready.
    pub fn start(&self, machine: &str) -> Result<MachineInfo, TestbedError> {
        self.ask_machine(&Request::Start { machine: machine.to_owned() })
    }

    /// Stops a machine in order: SIGTERM to every process that was spawned in it, then, after all
    /// of them have ended or `grace` (at most an hour) is over, the end of everything that is left.
    pub fn stop(&self, machine: &str, grace: Duration) -> Result<(), TestbedError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.ask_done(&Request::Stop { machine: machine.to_owned(), grace_ms })
    }

    /// Ends a whole machine at once, as a loss of power: first its link, then all processes, so
    /// that nobody sees its connections close. Returns when no process is left.
    pub fn kill(&self, machine: &str) -> Result<(), TestbedError> {
        self.ask_done(&Request::Kill { machine: machine.to_owned() })
    }

    /// Freezes all processes of a machine: by its cgroup, or, where it has none, by SIGSTOP, which
    /// a parent inside may notice. Its kernel still acknowledges what arrives.
    pub fn pause(&self, machine: &str) -> Result<(), TestbedError> {
        self.ask_done(&Request::Pause { machine: machine.to_owned() })
    }

    /// Ends a pause.
    pub fn resume(&self, machine: &str) -> Result<(), TestbedError> {
        self.ask_done(&Request::Resume { machine: machine.to_owned() })
    }

    /// Plugs the cable of a machine in or out.
    pub fn link(&self, machine: &str, up: bool) -> Result<(), TestbedError> {
        self.ask_done(&Request::Link { machine: machine.to_owned(), up })
    }

    /// Sets the one-way delay of frames: `delay`, plus evenly between nothing and `jitter`. Delays
    /// of both machines and of the pair add up; frames of a pair never overtake each other. Zero
    /// ends it.
    pub fn delay(
        &self,
        scope: DelayScope,
        delay: Duration,
        jitter: Duration,
    ) -> Result<(), TestbedError> {
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        self.ask_done(&Request::Delay { scope, delay_us: micros(delay), jitter_us: micros(jitter) })
    }

    /// Sets the share of frames between two machines that is lost, each way. Zero ends it. A frame
    /// may be many segments of TCP at once.
    pub fn loss(&self, a: &str, b: &str, percent: f64) -> Result<(), TestbedError> {
        self.ask_done(&Request::Loss { a: a.to_owned(), b: b.to_owned(), percent })
    }

    /// Cuts one way: what `from` sends no longer reaches `to`.
    pub fn cut(&self, from: &str, to: &str) -> Result<(), TestbedError> {
        self.ask_done(&Request::Cut { from: from.to_owned(), to: to.to_owned() })
    }

    /// Cuts every machine from all that share no group with it, in place of the cuts before. A
    /// machine may be in several groups, as a bridge between them; one in no group is alone.
    pub fn partition(&self, groups: &[&[&str]]) -> Result<(), TestbedError> {
        let owned = |group: &&[&str]| group.iter().map(|it| (*it).to_owned()).collect();
        self.ask_done(&Request::Partition { groups: groups.iter().map(owned).collect() })
    }

    /// Ends all cuts, delays and losses, and plugs all cables in.
    pub fn heal(&self) -> Result<(), TestbedError> {
        self.ask_done(&Request::Heal)
    }

    /// Runs a program inside all namespaces of a machine.
    pub fn spawn(
        &self,
        machine: &str,
        command: MachineCommand,
    ) -> Result<MachineProcess, TestbedError> {
        self.spawn_with(machine, command, false)
    }

    pub(crate) fn spawn_with(
        &self,
        machine: &str,
        command: MachineCommand,
        terminal: bool,
    ) -> Result<MachineProcess, TestbedError> {
        let MachineCommand { argv, environment, directory, stdin, stdout, stderr } = command;
        let command = wire::Command { argv, environment, directory, terminal };
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").map_err(
            |source| TestbedError::File { action: "open", path: "/dev/null".into(), source },
        )?;
        let fds = [&stdin, &stdout, &stderr]
            .map(|fd| fd.as_ref().map_or_else(|| null.as_fd(), |fd| fd.as_fd()));
        let request = Request::Spawn { machine: machine.to_owned(), command };
        match self.ask(&request, &fds)? {
            (Answer::Spawned, connection, fds) => {
                let pidfd = fds.into_iter().next().ok_or(io::ErrorKind::InvalidData.into());
                pidfd
                    .and_then(|pidfd| MachineProcess::new(connection, pidfd))
                    .map_err(|source| TestbedError::Talk { source })
            }
            other => Err(unexpected(&other.0)),
        }
    }

    /// Listens on a loopback port of this computer (0 chooses one) and carries each connection to
    /// `port` of a machine; returns where it listens. It ends with the testbed.
    pub fn forward(
        &self,
        host_port: u16,
        machine: &str,
        port: u16,
        target: ForwardTarget,
    ) -> Result<SocketAddr, TestbedError> {
        let path = || PathBuf::from(format!("127.0.0.1:{host_port}"));
        let listen = |source| TestbedError::File { action: "listen on", path: path(), source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, host_port)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let request = Request::Forward { machine: machine.to_owned(), port, target };
        match self.ask(&request, &[listener.as_fd()])? {
            (Answer::Done, ..) => Ok(address),
            other => Err(unexpected(&other.0)),
        }
    }

    /// Ends all machines and removes everything; returns when nothing is left.
    pub fn destroy(&self) -> Result<(), TestbedError> {
        self.ask_done(&Request::Destroy)
    }

    fn ask_done(&self, request: &Request) -> Result<(), TestbedError> {
        match self.ask(request, &[])? {
            (Answer::Done, ..) => Ok(()),
            other => Err(unexpected(&other.0)),
        }
    }

    fn ask_machine(&self, request: &Request) -> Result<MachineInfo, TestbedError> {
        match self.ask(request, &[])? {
            (Answer::Machine(info), ..) => Ok(info),
            other => Err(unexpected(&other.0)),
        }
    }

    fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Answer, OwnedFd, Vec<OwnedFd>), TestbedError> {
        let ask = || -> io::Result<_> {
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            connect(&socket, &SocketAddrUnix::new(&self.socket)?)?;
            wire::send(&socket, request, descriptors)?;
            let (answer, fds) = wire::receive(&socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok((answer, socket, fds))
        };
        match ask().map_err(|source| TestbedError::Talk { source })? {
            (Answer::Refused(why), ..) => Err(why.into()),
            answer => Ok(answer),
        }
    }
}

fn unexpected(answer: &Answer) -> TestbedError {
    let text = format!("an answer that does not fit: {answer:?}");
    TestbedError::Talk { source: io::Error::new(io::ErrorKind::InvalidData, text) }
}
