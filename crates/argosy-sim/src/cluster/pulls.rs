//! The images of the machines: they are brought, or not, after a while, and starts wait for them.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{ImageState, UnitName, Want};
use argosy_reconcile::{AgentEvent, BackendRequest};

use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, spread, texts};
use crate::queue::{Micros, millis};
use crate::random::Random;

/// Images that units name.
const IMAGES: u64 = 5;

/// Of so many images that are to be brought, nothing is said of one.
const ONE_IS_SILENT: u64 = 10;

/// What whoever looks after a machine's images does; it ends with the daemon.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    wanted: BTreeSet<String>,
    states: BTreeMap<String, ImageState>,
    /// As the agent was last told.
    told: BTreeMap<String, ImageState>,
    /// Images that could not be brought once.
    failed: BTreeSet<String>,
}

/// Adds the images of a unit to its text, and on how many machines they are kept.
pub(super) fn draw_words(random: &mut Random) -> String {
    let mut words = String::new();
    for _ in 0..random.below(3) {
        words += &format!(" image=i{}", random.below(IMAGES));
    }
    if random.below(3) == 0 {
        words += &format!(" standby={}", random.below(3));
    }
    words
}

impl Cluster<'_> {
    /// A machine is to have these images from now on.
    pub(super) fn want_images(&mut self, at: usize, images: BTreeSet<String>) {
        let machine = &mut self.machines[at];
        let random = &mut self.pulling;
        let Some(daemon) = &mut machine.daemon else { return };
        let (pulls, run) = (&mut daemon.pulls, daemon.run);
        let before = std::mem::replace(&mut pulls.wanted, images);
        pulls.states.retain(|image, _| pulls.wanted.contains(image));
        pulls.told.retain(|image, _| pulls.wanted.contains(image));
        pulls.failed.retain(|image| pulls.wanted.contains(image));
        for image in before.difference(&pulls.wanted) {
            // Nobody uses it: it may go when there is no room.
            if random.below(2) == 0 {
                machine.pulled.remove(image);
            }
        }
        for image in pulls.wanted.difference(&before) {
            let is_silent = !machine.pulled.contains(image) && random.below(ONE_IS_SILENT) == 0;
            if is_silent && !self.quiet {
                continue;
            }
            let image = image.clone();
            let look = random.between(50, millis(40));
            self.queue.after(look, Event::Image { machine: at, run, image });
        }
    }

    /// Something becomes of an image.
    pub(super) fn image(&mut self, at: usize, image: &str) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        let random = &mut self.pulling;
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        let (pulls, run) = (&mut daemon.pulls, daemon.run);
        if !pulls.wanted.contains(image) {
            return Ok(());
        }
        let mut next: Option<Micros> = None;
        let state = match pulls.states.get(image) {
            _ if machine.pulled.contains(image) => ImageState::Here,
            None => {
                next = Some(random.between(millis(100), millis(8_000)));
                ImageState::Coming("0 of 1 MB".to_owned())
            }
            Some(ImageState::Coming(_)) if random.below(4) == 0 => {
                next = Some(random.between(millis(500), millis(4_000)));
                self.stats.failed_pulls += 1;
                ImageState::Failed("no such host".to_owned())
            }
            Some(ImageState::Failed(_)) if random.below(2) == 0 => {
                next = Some(random.between(millis(100), millis(3_000)));
                ImageState::Coming(String::new())
            }
            Some(_) => {
                self.stats.pulled += 1;
                machine.pulled.insert(image.to_owned());
                ImageState::Here
            }
        };
        if let ImageState::Failed(_) = state {
            pulls.failed.insert(image.to_owned());
        }
        pulls.states.insert(image.to_owned(), state);
        pulls.told.clone_from(&pulls.states);
        let states = pulls.states.clone();
        if let Some(delay) = next {
            let image = image.to_owned();
            self.queue.after(delay, Event::Image { machine: at, run, image });
        }
        self.agent_handles(at, AgentEvent::Images(states))?;
        self.settle(at)
    }

    /// A daemon starts nothing whose image is on its way for the first time, as it was told.
    pub(super) fn check_prepared(&self, at: usize, request: &BackendRequest) -> Result<(), Broken> {
        let BackendRequest::Start { unit, text, .. } = request else { return Ok(()) };
        let Some(daemon) = &self.machines[at].daemon else { return Ok(()) };
        let pulls = &daemon.pulls;
        let on_its_way = |name: &String| {
            let coming = matches!(pulls.told.get(name), Some(ImageState::Coming(_)));
            coming && !pulls.failed.contains(name)
        };
        let images = texts::spec(unit, text).images;
        match images.iter().find(|image| on_its_way(&image.name)) {
            Some(image) => {
                let what = format!("{unit} is started on m{at} while {} is coming", image.name);
                broken(Rule::Prepared, what)
            }
            None => Ok(()),
        }
    }

    /// No start waits for an image any more, and whoever could take a unit has its images.
    pub(super) fn judge_images(&self, units: &BTreeSet<UnitName>) -> Result<(), Broken> {
        for machine in &self.machines {
            let leader = machine.daemon.as_ref().map(|daemon| &daemon.leader);
            let Some(leader) = leader.filter(|leader| leader.leads()) else { continue };
            for report in leader.reports().values() {
                if let Some(it) = report.preparing.first() {
                    let what = format!("{} still waits for {}", it.unit, it.image);
                    return broken(Rule::Converges, what);
                }
            }
        }
        units.iter().try_for_each(|unit| self.judge_standby(unit))
    }

    fn judge_standby(&self, name: &UnitName) -> Result<(), Broken> {
        let view = self.truth.view();
        let Some(spec) = view.look_up(name).and_then(|unit| unit.spec.ok()) else { return Ok(()) };
        let mut on = view.assignments().values().filter(|stored| {
            let mut entries = stored.value.entries.iter();
            entries.any(|entry| &entry.unit == name && entry.want == Want::Run)
        });
        let (Some(own), None) = (on.next(), on.next()) else { return Ok(()) };
        let able = view.machines().values().map(|stored| &stored.value).filter(|machine| {
            machine.id != own.value.machine && spread::takes(view, name, machine)
        });
        let able: Vec<_> = able.map(|machine| machine.id).collect();
        let has = |id: &&argosy_model::MachineId| {
            let told = view.assignments().get(*id);
            told.is_some_and(|told| spec.images.is_subset(&told.value.standby))
        };
        let standing = able.iter().filter(has).count();
        let wanted = spec.placement.standbys().min(able.len());
        if !spec.images.is_empty() && standing < wanted {
            let what = format!("{standing} machines stand by for {name}, not {wanted}");
            return broken(Rule::Standby, what);
        }
        Ok(())
    }
}
