//! Who has what of images, who is bringing what, and whom each machine is to ask: what the leader
//! decides. Nothing here looks at a clock; `now` is any clock that does not go back.
//!
//! A content is brought from the registry by one machine at a time. It has a claim to it that ends
//! when it says so, when it is lost, or when it has made no progress for [`CLAIM`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_image::{Digest, Named, Reference, Sought};
use argosy_model::MachineId;

/// How long somebody is counted on who says nothing of progress. A registry may take 10 s until it
/// begins; a pull makes a connection anew when one is silent for 30 s.
pub(super) const CLAIM: Duration = Duration::from_secs(15);
/// Machines that one machine is offered to at once: more streams would each only be slower, and
/// whoever is done is another one to ask.
pub(super) const SERVES_MAX: usize = 8;
/// Machines in one answer: the next is asked when one fails, and then it is asked anew.
const OFFERED_MAX: usize = 3;
/// What one machine may have under way at once: three images of six layers, and room.
pub(super) const UNDER_WAY_MAX: usize = 64;
/// Blobs of one machine that are known here: some 400 images. 256 machines with nothing in common
/// are some 200 MB.
pub(super) const HELD_MAX: usize = 4_096;
/// Names of one machine that are known here.
pub(super) const NAMES_MAX: usize = 1_024;
/// How long a new leader sends nobody to the registry: what the machines have they say when they see
/// that it leads.
const SETTLE: Duration = Duration::from_secs(2);

/// Where a machine gets something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Registry,
    Machine(MachineId),
}

/// What a machine is told about something that it looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: it is to go its own way.
    Nobody,
    /// These have it, the one to be asked first in front.
    At(Vec<MachineId>),
    /// It is to bring it from the registry.
    Yours,
    /// It is to ask again; this machine brings it, or has it and is busy.
    Wait(Option<MachineId>),
    /// What a name means.
    Named(Named),
}

/// What a machine says from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct News {
    /// Another one for each life of its daemon.
    pub(super) life: u64,
    /// One more than that of its news before.
    pub(super) number: u64,
    /// Whether it is all of what it has, and not only what has changed.
    pub(super) whole: bool,
    pub(super) held: Vec<Digest>,
    pub(super) gone: Vec<Digest>,
    pub(super) names: Vec<(Reference, Named)>,
    pub(super) names_gone: Vec<Reference>,
    /// What it makes progress with.
    pub(super) under_way: Vec<(Sought, Origin)>,
    /// What it does not bring any more.
    pub(super) ended: Vec<Sought>,
}

/// News that follow on something that was not heard: the machine is to say all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unheard;

#[derive(Debug, Clone, Copy)]
struct Fetch {
    origin: Origin,
    until: Duration,
}

/// What one machine has said it has.
#[derive(Debug, Default)]
struct Said {
    life: u64,
    number: u64,
    blobs: BTreeSet<Digest>,
    names: BTreeSet<Reference>,
}

/// Who has what.
#[derive(Debug)]
pub(super) struct Who {
    began: Duration,
    /// Those that are not lost, and their zones.
    machines: BTreeMap<MachineId, Option<String>>,
    said: BTreeMap<MachineId, Said>,
    blobs: BTreeMap<Digest, BTreeSet<MachineId>>,
    names: BTreeMap<Reference, BTreeMap<MachineId, Named>>,
    fetches: BTreeMap<Sought, BTreeMap<MachineId, Fetch>>,
}

impl Who {
    /// Begins with the leadership.
    pub(super) fn new(now: Duration) -> Who {
        Who {
            began: now,
            machines: BTreeMap::new(),
            said: BTreeMap::new(),
            blobs: BTreeMap::new(),
            names: BTreeMap::new(),
            fetches: BTreeMap::new(),
        }
    }

    /// Takes note of which machines are there, with their zones. Of the others nothing is known any
    /// more. Returns whether one has gone.
    pub(super) fn see(&mut self, machines: BTreeMap<MachineId, Option<String>>) -> bool {
        let gone: Vec<MachineId> =
            self.machines.keys().filter(|id| !machines.contains_key(id)).copied().collect();
        self.machines = machines;
        for machine in &gone {
            self.forget(*machine);
            self.fetches.retain(|_, fetches| {
                fetches.remove(machine);
                !fetches.is_empty()
            });
        }
        !gone.is_empty()
    }

    /// Decides where a machine gets something. Asking again changes nothing.
    pub(super) fn ask(
        &mut self,
        asker: MachineId,
        sought: &Sought,
        without: &BTreeSet<MachineId>,
        now: Duration,
    ) -> Answer {
        if !self.machines.contains_key(&asker) {
            return Answer::Nobody;
        }
        self.drop_late(now);
        // What it is told now replaces what it was told before, unless it is to bring it.
        let before = self.end(asker, sought);
        let under_way = self.fetches.values().filter(|by| by.contains_key(&asker)).count();
        if under_way >= UNDER_WAY_MAX {
            return Answer::Nobody;
        }
        if let Some(answer) = self.known(asker, sought, without) {
            if let Answer::At(machines) = &answer
                && let Some(first) = machines.first()
            {
                self.begin(asker, sought, Origin::Machine(*first), now);
            }
            return answer;
        }
        if let Some(bringing) = self.bringing(sought) {
            return Answer::Wait(Some(bringing));
        }
        let is_new = now < self.began + SETTLE;
        if is_new && !before.is_some_and(|fetch| fetch.origin == Origin::Registry) {
            return Answer::Wait(None);
        }
        self.begin(asker, sought, Origin::Registry, now);
        Answer::Yours
    }

    /// What is known of something, without anybody's going to the registry.
    fn known(
        &self,
        asker: MachineId,
        sought: &Sought,
        without: &BTreeSet<MachineId>,
    ) -> Option<Answer> {
        let counts = |machine: &MachineId| {
            *machine != asker && !without.contains(machine) && self.machines.contains_key(machine)
        };
        let digest = match sought {
            Sought::Blob(digest) => digest,
            Sought::Name(name) => {
                let by = self.names.get(name)?.iter().filter(|(machine, _)| counts(machine));
                // The registry's last word.
                let (_, named) = by.max_by_key(|(_, named)| named.pulled)?;
                return Some(Answer::Named(named.clone()));
            }
        };
        let zone = |machine: &MachineId| self.machines.get(machine).and_then(Option::as_ref);
        let own = zone(&asker);
        let loads = self.loads();
        let mut holders: Vec<(usize, bool, MachineId)> = self
            .blobs
            .get(digest)?
            .iter()
            .filter(|machine| counts(machine))
            .map(|machine| {
                let far = own.is_none() || zone(machine) != own;
                (loads.get(machine).copied().unwrap_or_default(), far, *machine)
            })
            .collect();
        let least = holders.iter().min()?.2;
        holders.retain(|(load, ..)| *load < SERVES_MAX);
        if holders.is_empty() {
            return Some(Answer::Wait(Some(least)));
        }
        holders.sort_by_key(|(load, far, machine)| (*far, *load, *machine));
        let offered = holders.into_iter().take(OFFERED_MAX);
        Some(Answer::At(offered.map(|(.., machine)| machine).collect()))
    }

    /// Who brings something from the registry.
    fn bringing(&self, sought: &Sought) -> Option<MachineId> {
        let by = self.fetches.get(sought)?;
        by.iter().find(|(_, it)| it.origin == Origin::Registry).map(|(machine, _)| *machine)
    }

    /// How many get something of each machine.
    fn loads(&self) -> BTreeMap<MachineId, usize> {
        let mut loads = BTreeMap::new();
        for fetch in self.fetches.values().flat_map(BTreeMap::values) {
            if let Origin::Machine(machine) = fetch.origin {
                *loads.entry(machine).or_default() += 1;
            }
        }
        loads
    }

    /// Hears what a machine says.
    pub(super) fn hear(
        &mut self,
        machine: MachineId,
        news: News,
        now: Duration,
    ) -> Result<(), Unheard> {
        if !self.machines.contains_key(&machine) {
            return Err(Unheard);
        }
        if news.whole {
            self.forget(machine);
        } else {
            let said = self.said.get(&machine).ok_or(Unheard)?;
            if (said.life, said.number.wrapping_add(1)) != (news.life, news.number) {
                return Err(Unheard);
            }
        }
        let said = self.said.entry(machine).or_default();
        (said.life, said.number) = (news.life, news.number);
        for digest in news.gone {
            said.blobs.remove(&digest);
            remove_from(&mut self.blobs, &digest, machine);
        }
        for digest in news.held {
            if said.blobs.len() < HELD_MAX {
                self.blobs.entry(digest.clone()).or_default().insert(machine);
                said.blobs.insert(digest);
            }
        }
        for name in news.names_gone {
            said.names.remove(&name);
            remove_name(&mut self.names, &name, machine);
        }
        for (name, named) in news.names {
            if said.names.len() < NAMES_MAX || said.names.contains(&name) {
                self.names.entry(name.clone()).or_default().insert(machine, named);
                said.names.insert(name);
            }
        }
        self.drop_late(now);
        for sought in &news.ended {
            self.end(machine, sought);
        }
        for (sought, origin) in news.under_way.into_iter().take(UNDER_WAY_MAX) {
            // Who was silent for too long has lost its claim to the one who has it now.
            let other = self.bringing(&sought).filter(|bringing| *bringing != machine);
            if origin != Origin::Registry || other.is_none() {
                self.begin(machine, &sought, origin, now);
            }
        }
        Ok(())
    }

    fn begin(&mut self, machine: MachineId, sought: &Sought, origin: Origin, now: Duration) {
        let fetch = Fetch { origin, until: now + CLAIM };
        self.fetches.entry(sought.clone()).or_default().insert(machine, fetch);
    }

    fn end(&mut self, machine: MachineId, sought: &Sought) -> Option<Fetch> {
        let by = self.fetches.get_mut(sought)?;
        let ended = by.remove(&machine);
        if by.is_empty() {
            self.fetches.remove(sought);
        }
        ended
    }

    fn drop_late(&mut self, now: Duration) {
        self.fetches.retain(|_, by| {
            by.retain(|_, fetch| fetch.until > now);
            !by.is_empty()
        });
    }

    /// Forgets what a machine has.
    fn forget(&mut self, machine: MachineId) {
        let said = self.said.remove(&machine).unwrap_or_default();
        for digest in &said.blobs {
            remove_from(&mut self.blobs, digest, machine);
        }
        for name in &said.names {
            remove_name(&mut self.names, name, machine);
        }
    }
}

fn remove_from(
    blobs: &mut BTreeMap<Digest, BTreeSet<MachineId>>,
    digest: &Digest,
    machine: MachineId,
) {
    if let Some(holders) = blobs.get_mut(digest) {
        holders.remove(&machine);
        if holders.is_empty() {
            blobs.remove(digest);
        }
    }
}

fn remove_name(
    names: &mut BTreeMap<Reference, BTreeMap<MachineId, Named>>,
    name: &Reference,
    machine: MachineId,
) {
    if let Some(by) = names.get_mut(name) {
        by.remove(&machine);
        if by.is_empty() {
            names.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
