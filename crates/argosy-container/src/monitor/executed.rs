//! The foreground of a process that was executed in a running container.

use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, pidfd_send_signal, wait};

use super::caller::Caller;
use super::relay::Relay;
use super::{OWN, Streams, code_of, wait_for};
use crate::exec::ExecSpec;
use crate::spec::ContainerId;
use crate::store::Containers;
use crate::terminal::{self, RawMode};
use crate::{ContainerError, sys};

impl Containers {
    /// Executes a process in a container and stays until it has ended; returns its exit code. With
    /// `background` it leaves its caller once the process runs. The process has one thread.
    pub(crate) fn exec_foreground(
        &self,
        id: &ContainerId,
        exec: ExecSpec,
        streams: Streams,
        background: bool,
    ) -> Result<u8, ContainerError> {
        use std::os::fd::AsFd;
        let caller = background.then(|| Caller::take(false));
        let caller = caller.transpose().map_err(ContainerError::system("leave the terminal"))?;
        let signals =
            sys::signal_descriptor().map_err(ContainerError::system("listen for signals"))?;
        let (mut relay, inner) = Relay::prepare(streams, exec.process.tty, None, !background)
            .map_err(ContainerError::system("make the process's streams"))?;
        let executed = inner.replaced(|| self.exec(id, exec))?;
        drop(inner);
        if let Some(caller) = caller {
            caller.leave().map_err(ContainerError::system("leave the caller"))?;
        }
        let pid = Pid::from_raw(executed.pid);
        let pid = pid.ok_or_else(|| ContainerError::NotRunning { id: id.clone() })?;
        let process = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| ContainerError::system("watch the process")(error.into()))?;
        let mut raw = None;
        if let Some(own) = executed.terminal {
            terminal::copy_size(&own);
            raw = relay.interactive().then(RawMode::enter).flatten();
            relay.set_terminal(own).map_err(ContainerError::system("watch the terminal"))?;
        }
        relay.begin();
        loop {
            while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
                if ended == pid {
                    relay.take_rest();
                    relay.pass_on(&signals);
                    drop(raw);
                    return Ok(code_of(status));
                }
            }
            let ready = wait_for(signals.as_fd(), &relay.wanted(), None)
                .map_err(ContainerError::system("wait for events"))?;
            while let Some(signal) = sys::read_signal(&signals) {
                if signal == libc::SIGWINCH
                    && let Some(terminal) = relay.terminal()
                {
                    terminal::copy_size(terminal);
                }
                if !OWN.contains(&signal)
                    && let Some(signal) = sys::signal(signal)
                {
                    let _ = pidfd_send_signal(&process, signal);
                }
            }
            relay.advance(&ready);
        }
    }
}
