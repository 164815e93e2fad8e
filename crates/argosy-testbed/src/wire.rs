//! Messages between owner, clients, switch and inits: JSON in SOCK_SEQPACKET messages, with
//! descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{DelayScope, Exit, ForwardTarget, MachineInfo, Mode, Refusal, Status};

/// The longest message. A command with a large environment, or the status of a testbed that is full,
/// is the largest; the kernel's default buffer of a unix socket (212,992) takes this much at once.
pub(crate) const MESSAGE_BYTES_MAX: usize = 160 * 1024;
/// Descriptors beside a message: the three standard ones of a command are the most.
const DESCRIPTORS_MAX: usize = 3;

/// The owner's first and only message to the switch, with the locked lock file beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) lock: PathBuf,
    /// A directory to remove with the testbed if it is empty then.
    pub(crate) base: Option<PathBuf>,
    pub(crate) mode: Mode,
    pub(crate) owner_pid: u32,
}

/// What a client asks of the switch: one request a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Status,
    AddMachine {
        machine: String,
    },
    Start {
        machine: String,
    },
    Stop {
        machine: String,
        grace_ms: u64,
    },
    Kill {
        machine: String,
    },
    Pause {
        machine: String,
    },
    Resume {
        machine: String,
    },
    Link {
        machine: String,
        up: bool,
    },
    Delay {
        scope: DelayScope,
        delay_us: u64,
        jitter_us: u64,
    },
    Loss {
        a: String,
        b: String,
        percent: f64,
    },
    Cut {
        from: String,
        to: String,
    },
    Partition {
        groups: Vec<Vec<String>>,
    },
    Heal,
    /// With the three standard descriptors.
    Spawn {
        machine: String,
        command: Command,
    },
    /// With a listening TCP socket.
    Forward {
        machine: String,
        port: u16,
        target: ForwardTarget,
    },
    Destroy,
}

/// What the switch answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Status(Status),
    Machine(MachineInfo),
    /// With a pidfd; [`Answer::Exited`] follows when it has ended.
    Spawned,
    Exited(Exit),
    Refused(Refusal),
}

/// A program to run inside a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    /// Whether standard input is a terminal that becomes the controlling one.
    pub(crate) terminal: bool,
}

/// What the switch tells an init.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// First of all.
    Configure(Configure),
    /// With the three standard descriptors.
    Spawn {
        id: u64,
        command: Command,
    },
    Stop {
        grace_ms: u64,
    },
}

/// How an init sets its machine up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Configure {
    pub(crate) host_name: String,
    /// `None` where there is no namespace to set up.
    pub(crate) isolation: Option<Isolation>,
}

/// What an init makes of its namespaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Isolation {
    pub(crate) address: [u8; 4],
    /// Each cgroup directory of the machine, and the mount point of its hierarchy.
    pub(crate) cgroups: Vec<(PathBuf, PathBuf)>,
    /// Where a second /proc is mounted, with nothing mounted over any part of it. Without one the
    /// kernel forbids every user namespace inside the machine a /proc of its own.
    pub(crate) plain_proc: PathBuf,
    /// Files to show in the place of others, where those exist.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
}

/// What an init tells the switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FromInit {
    Ready,
    Failed(Refusal),
    /// With a pidfd.
    Spawned {
        id: u64,
    },
    SpawnFailed {
        id: u64,
        why: Refusal,
    },
    Exited {
        id: u64,
        exit: Exit,
    },
}

/// A connected pair of message sockets, not inherited.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message. `MSG_NOSIGNAL`: a peer that is gone is an error.
pub(crate) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(rustix::io::Errno::MSGSIZE.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(rustix::io::Errno::INVAL.into());
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message; `None` when the peer is gone.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let iov = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..received.bytes])?, descriptors)))
}

#[cfg(test)]
mod tests;
