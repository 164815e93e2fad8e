//! The end of a testbed: every machine first, then every trace.

use std::fs;
use std::io;

use rustix::process::getpid;

use super::Switch;
use crate::wire::Answer;
use crate::{Mode, Refusal, cgroup, descendants, leftovers};

/// An end that has begun.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Who waits for it.
    clients: Vec<u64>,
}

impl Switch {
    /// Begins the end, or lets one more client wait for it.
    pub(super) fn begin_end(&mut self, client: Option<u64>) {
        if self.ending.is_none() {
            let names: Vec<String> = self.machines.keys().cloned().collect();
            for name in names {
                self.kill_or_retry(&name);
            }
        }
        self.ending.get_or_insert_default().clients.extend(client);
    }

    /// Removes everything once no machine is left; tells whether it did.
    pub(super) fn end_if_all_ended(&mut self) -> io::Result<bool> {
        let waits = self.machines.values().any(|machine| machine.init().is_some());
        let Some(ending) = self.ending.take_if(|_| !waits) else { return Ok(false) };
        let result = self.remove_all();
        let answer = match &result {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Refused(Refusal::system("remove the testbed", error)),
        };
        self.answer_all(ending.clients, &answer);
        result.map(|()| true)
    }

    fn remove_all(&mut self) -> io::Result<()> {
        if self.boot.mode == Mode::Loopback {
            descendants::kill(getpid(), false)?;
            cgroup::sweep_keepers(&self.boot.directory);
        }
        self.cgroups.remove()?;
        fs::remove_dir_all(&self.boot.directory)?;
        leftovers::remove_names(&self.boot.lock, self.boot.base.take());
        Ok(())
    }
}
