//! The disk of a store member: what it is given, one thing after the other.

use argosy_consensus::{Effect, Input};

use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event};

/// Work of the disk.
#[derive(Debug)]
pub(super) enum Job {
    /// Sync what is written, up to this group.
    Sync(u64),
    /// Write a received snapshot, then its mark.
    Install(Box<Effect>),
}

impl Cluster<'_> {
    /// Gives the disk its next work, if it has none.
    pub(super) fn start_disk(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        if daemon.busy.is_some() {
            return Ok(());
        }
        while daemon.busy.is_none() {
            let done = match daemon.jobs.pop_front() {
                None => return Ok(()),
                Some(Effect::Persist { sequence, records }) => {
                    daemon.writer.append(&records);
                    daemon.busy = Some(Job::Sync(sequence));
                    daemon.writer.write()
                }
                Some(Effect::ReleaseLog { applied }) => daemon.writer.release(applied).map(drop),
                Some(install) => {
                    daemon.busy = Some(Job::Install(Box::new(install)));
                    Ok(())
                }
            };
            if let Err(error) = done {
                return broken(Rule::Store, format!("member {at}: {error}"));
            }
        }
        let run = daemon.run;
        let delay = machine.disk_delay();
        self.queue.after(delay, Event::DiskDone { machine: at, run });
        Ok(())
    }

    pub(super) fn disk_done(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        let done = match daemon.busy.take() {
            None => return Ok(()),
            Some(Job::Sync(sequence)) => daemon.writer.sync().map(|()| sequence),
            Some(Job::Install(effect)) => {
                let Effect::InstallSnapshot { sequence, checkpoint, records } = *effect else {
                    return Ok(());
                };
                machine.checkpoint = *checkpoint;
                daemon.writer.append(&records);
                let written = daemon.writer.write().and_then(|()| daemon.writer.sync());
                written.map(|()| sequence)
            }
        };
        match done {
            Ok(sequence) => self.input(at, Input::Persisted { sequence }),
            Err(error) => broken(Rule::Store, format!("member {at}: {error}")),
        }
    }

    pub(super) fn checkpoint_done(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        let Some(checkpoint) = daemon.checkpoint.take() else { return Ok(()) };
        let applied = checkpoint.applied;
        // A snapshot that was installed meanwhile is newer; a store keeps the newer one.
        if applied > machine.checkpoint.applied {
            machine.checkpoint = checkpoint;
        }
        self.input(at, Input::CheckpointWritten { applied })
    }
}
