//! The process that holds a testbed: `poll` -> one token -> what it asks for, on one thread. The
//! frames of the machines, and connections from outside, have threads of their own.
//! Whatever ends it or its owner, nothing stays.

mod clients;
mod ending;
mod forward;
mod machine;
mod machines;
mod relay;
mod requests;
mod setup;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, wait};

use crate::cgroup::Cgroups;
use crate::place::STATE;
use crate::report::Status;
use crate::wire::{self, Answer, Boot};
use crate::{init, sys};

use clients::Clients;
use ending::Ending;
use forward::Forwards;
use machine::Machine;
use relay::Relay;

/// What became ready.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// The owner is gone, or said so.
    Owner,
    Signals,
    Listener,
    Client(u64),
    /// The init of a machine has something to say.
    InitSays(String),
    /// The init of a machine has ended.
    InitEnded(String),
}

/// A testbed.
#[derive(Debug)]
struct Switch {
    boot: Boot,
    started: Instant,
    /// Never read: its end is the owner's.
    lifeline: OwnedFd,
    owner: OwnedFd,
    signals: OwnedFd,
    /// Held for as long as this process lives.
    _lock: OwnedFd,
    listener: OwnedFd,
    clients: Clients,
    machines: BTreeMap<String, Machine>,
    /// `None` in loopback mode.
    relay: Option<Relay>,
    cgroups: Cgroups,
    forwards: Forwards,
    ending: Option<Ending>,
}

/// Plays the switch.
pub(crate) fn main() -> io::Result<()> {
    sys::close_on_exec();
    let lifeline = init::take_standard_input()?;
    let signals = sys::signal_descriptor()?;
    let Some((boot, mut fds)) = wire::receive::<Boot>(&lifeline)? else {
        // The owner died before it could tell what to make; there is nothing to remove.
        return Ok(());
    };
    let lock = fds.pop().ok_or(io::ErrorKind::InvalidData)?;
    match setup::switch(boot, lifeline.as_fd().try_clone_to_owned()?, signals, lock) {
        Ok(mut switch) => {
            // An owner that is gone already is noticed in the first turn.
            drop(wire::send(&lifeline, &Answer::Done, &[]));
            drop(lifeline);
            switch.run()
        }
        Err(why) => wire::send(&lifeline, &Answer::Refused(why), &[]),
    }
}

impl Switch {
    /// Runs until everything is removed.
    fn run(&mut self) -> io::Result<()> {
        loop {
            if self.end_if_all_ended()? {
                return Ok(());
            }
            let ready = self.wait()?;
            for token in ready {
                self.handle(&token);
            }
            self.enforce_deadlines();
        }
    }

    /// Time since this testbed began.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&self) -> io::Result<Vec<Token>> {
        let mut tokens = vec![Token::Owner, Token::Owner, Token::Signals];
        let mut fds = vec![self.lifeline.as_fd(), self.owner.as_fd(), self.signals.as_fd()];
        if self.ending.is_some() {
            // The owner's end is known, and would be told without pause.
            tokens.drain(..2);
            fds.drain(..2);
        }
        if self.clients.has_room() {
            tokens.push(Token::Listener);
            fds.push(self.listener.as_fd());
        }
        for (id, fd) in self.clients.iter() {
            tokens.push(Token::Client(id));
            fds.push(fd);
        }
        for (name, init) in self.machines.iter().filter_map(|(name, it)| Some((name, it.init()?))) {
            tokens.push(Token::InitSays(name.clone()));
            fds.push(init.socket.as_fd());
            tokens.push(Token::InitEnded(name.clone()));
            fds.push(init.pidfd.as_fd());
        }
        let mut polled: Vec<PollFd<'_>> =
            fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let next = self.machines.values().filter_map(Machine::deadline).min();
        let left = next.map(|next| next.saturating_sub(self.now()));
        let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = tokens.into_iter().zip(&polled).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(token, _)| token).collect())
    }

    fn handle(&mut self, token: &Token) {
        match token {
            Token::Owner => self.begin_end(None),
            Token::Signals => self.take_signals(),
            Token::Listener => self.clients.accept(&self.listener),
            Token::Client(id) => self.serve(*id),
            Token::InitSays(name) => {
                self.hear_init(name);
            }
            Token::InitEnded(name) => self.init_ended(name),
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = sys::read_signal(&self.signals) {
            if signal != libc::SIGCHLD {
                self.begin_end(None);
            }
        }
        // Inits are watched by their pidfd; this collects them, and orphans of loopback mode.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }

    /// What runs, for clients and for the state file.
    fn status(&self) -> Status {
        let mut machines: Vec<_> = self.machines.iter().collect();
        machines.sort_by_key(|(_, machine)| machine.port);
        Status {
            format: 1,
            name: self.boot.name.clone(),
            mode: self.boot.mode,
            owner_pid: self.boot.owner_pid,
            switch_pid: std::process::id(),
            machines: machines.into_iter().map(|(name, it)| self.info(name, it)).collect(),
            forwards: self.forwards.list().to_vec(),
            cgroups: self.cgroups.directories(),
        }
    }

    /// Writes the state file anew, whole or not at all.
    fn save(&self) -> io::Result<()> {
        let path = self.boot.directory.join(STATE);
        let new = self.boot.directory.join("state.new");
        std::fs::write(&new, serde_json::to_vec(&self.status())?)?;
        std::fs::rename(new, path)
    }
}
