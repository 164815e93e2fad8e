//! The disks of the machines' images: they fill up, and somebody clears them.

use argosy_model::MachineDisk;
use argosy_reconcile::AgentEvent;

use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, machine_id};
use crate::queue::millis;

/// How it is at the beginning.
pub(super) const EMPTY: MachineDisk = MachineDisk { used_percent: 20, full: false };

impl Cluster<'_> {
    /// One machine's disk becomes full, or has room again. Its daemon sees that when it looks.
    pub(super) fn fill(&mut self) {
        if self.quiet {
            return;
        }
        let pause = self.filling.between(millis(500), millis(5_000));
        self.queue.after(pause, Event::Fill);
        let machine = self.filling.index(self.machines.len());
        let full = self.filling.below(2) == 0;
        let (least, most) = if full { (90, 100) } else { (0, 87) };
        let used_percent = u8::try_from(self.filling.between(least, most)).unwrap_or(100);
        self.stats.full_disks += u64::from(full && !self.machines[machine].images.full);
        self.machines[machine].images = MachineDisk { used_percent, full };
        let look = self.filling.below(millis(5_000));
        self.queue.after(look, Event::LookAtDisk { machine });
    }

    pub(super) fn look_at_disk(&mut self, at: usize) -> Result<(), Broken> {
        self.agent_handles(at, AgentEvent::Disk(Some(self.machines[at].images)))?;
        self.settle(at)
    }

    /// What is stored of each disk is what its machine says.
    pub(super) fn judge_disks(&self) -> Result<(), Broken> {
        let view = self.truth.view();
        for (at, machine) in self.machines.iter().enumerate() {
            let stored = view.machines().get(&machine_id(at));
            if stored.is_some_and(|stored| stored.value.disk_full != machine.images.full) {
                let is = if machine.images.full { "full" } else { "not full" };
                let what = format!("the disk of m{at} is {is}, and its record says otherwise");
                return broken(Rule::Converges, what);
            }
        }
        Ok(())
    }
}
