//! The images of this machine's units: which it is to have, and which starts wait for them.
//!
//! A start waits only for an image that is on its way. One that cannot be brought, and one of which
//! nobody says anything, holds nothing up: the unit's own command then brings it, or fails in its own
//! way. Nothing stops because of an image, and what runs is restarted to a new text only when the
//! images of that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use argosy_model::{
    Assignment, AssignmentEntry, Generation, ImageEngine, ImageState, MachineDisk, UnitImage,
    UnitName, Want,
};
use argosy_registry::{ClusterView, Revision};

use super::{AgentEffect, AgentMachine, Hold, Step};
use crate::planted::Planted;
use crate::report::{IMAGES_REPORTED_MAX, Preparing, is_live};

/// After how long an image of which nobody says anything holds up no start any more: a daemon without
/// anybody who looks after images starts its units all the same.
pub const IMAGE_SILENCE_MAX: Duration = Duration::from_secs(10);

/// After how long an image of which nothing more comes holds up no start any more, whatever whoever brings
/// it waits for: longer than one silent registry or machine is waited for.
pub const IMAGE_STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// From how full a disk on no images are brought for the sake of others: well below where unused images
/// go (80 % unless a machine is told otherwise), so that one does not come and go.
const STANDBY_DISK_MAX: u8 = 70;

/// What the agent knows of images.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// What this machine is to have, as it was last said; `None` before it was.
    wanted: Option<BTreeSet<String>>,
    /// The images of its own units, and those that it is to have in case others come.
    own: BTreeSet<String>,
    standby: BTreeSet<String>,
    /// What these two were made from: nothing else changes them.
    made_from: Option<(Generation, Revision)>,
    /// How far it is with them.
    states: BTreeMap<String, ImageState>,
    /// Those that could not be brought once, and are not there yet: they hold nothing up.
    failed: BTreeSet<String>,
    /// Since when nothing is said of an image that is wanted.
    silent_since: BTreeMap<String, Duration>,
    /// Since when it is told of one that it comes, in these words.
    stands_since: BTreeMap<String, (String, Duration)>,
    /// When the first start that waits in vain is let go.
    pub(super) let_go_at: Option<Duration>,
}

impl Images {
    /// Takes note of how far the machine is.
    pub(super) fn told(&mut self, states: BTreeMap<String, ImageState>, now: Duration) {
        self.states = states;
        self.look(now);
    }

    fn look(&mut self, now: Duration) {
        let Images { wanted, states, failed, silent_since, stands_since, .. } = self;
        for image in wanted.iter().flatten() {
            match states.get(image) {
                None => {
                    silent_since.entry(image.clone()).or_insert(now);
                    continue;
                }
                Some(ImageState::Here) => drop(failed.remove(image)),
                Some(ImageState::Failed(_)) => drop(failed.insert(image.clone())),
                Some(ImageState::Coming(text)) => {
                    let stands = stands_since.entry(image.clone());
                    let (words, since) = stands.or_insert_with(|| (text.clone(), now));
                    if words != text {
                        (*words, *since) = (text.clone(), now);
                    } else if now >= *since + IMAGE_STANDSTILL_MAX {
                        failed.insert(image.clone());
                    }
                }
            }
            silent_since.remove(image);
        }
        let is_wanted =
            |image: &String| wanted.as_ref().is_some_and(|wanted| wanted.contains(image));
        failed.retain(is_wanted);
        silent_since.retain(|image, _| is_wanted(image));
        let comes = |image: &String| {
            matches!(states.get(image), Some(ImageState::Coming(_))) && is_wanted(image)
        };
        stands_since.retain(|image, _| comes(image));
    }

    /// Returns which images are to be brought now: those of units that are here come first, and what
    /// others may need later waits for them, but for what is here already.
    fn now_wanted(&self, disk: Option<MachineDisk>, now: Duration) -> BTreeSet<String> {
        let waits = self.own.iter().any(|image| self.is_awaited(image, now));
        let has_room = disk.is_none_or(|disk| disk.used_percent < STANDBY_DISK_MAX);
        // What is on its way is not given up because it takes room.
        let is_begun = |image: &&String| {
            let state = self.states.get(*image);
            state == Some(&ImageState::Here)
                || !waits && matches!(state, Some(ImageState::Coming(_)))
        };
        let standby = self.standby.iter().filter(|image| (!waits && has_room) || is_begun(image));
        self.own.iter().chain(standby).cloned().collect()
    }

    /// Tells whether a start would wait for an image.
    fn is_awaited(&self, image: &str, now: Duration) -> bool {
        match self.states.get(image) {
            Some(ImageState::Here | ImageState::Failed(_)) => false,
            Some(ImageState::Coming(_)) => !self.failed.contains(image),
            // Of one that nobody was asked for nothing can have been said.
            None => self.silent_since.get(image).is_none_or(|at| now < *at + IMAGE_SILENCE_MAX),
        }
    }

    /// Returns why a start waits for an image, if it does.
    fn awaited(&mut self, image: &str, now: Duration, planted: Planted) -> Option<String> {
        let is_here = self.states.get(image) == Some(&ImageState::Here);
        let is_awaited = match planted.image_awaited() {
            true => !is_here,
            false => self.is_awaited(image, now) && !planted.image_ignored(),
        };
        if !is_awaited {
            return None;
        }
        let stands = self.stands_since.get(image).map(|(_, since)| *since + IMAGE_STANDSTILL_MAX);
        let (text, let_go_at) = match self.states.get(image) {
            Some(ImageState::Coming(text)) if !text.is_empty() => {
                (format!("brings image {image}: {text}"), stands)
            }
            Some(_) => (format!("brings image {image}"), stands),
            None => {
                let since = self.silent_since.get(image).copied().unwrap_or(now);
                (format!("looks for image {image}"), Some(since + IMAGE_SILENCE_MAX))
            }
        };
        let let_go_at = let_go_at.filter(|at| *at > now);
        self.let_go_at = self.let_go_at.into_iter().chain(let_go_at).min();
        Some(text)
    }

    /// Returns how far the machine is with what it is to have, for its report.
    pub(super) fn reported(&self) -> BTreeMap<String, ImageState> {
        let known = self.wanted.iter().flatten().filter_map(|image| {
            let state = match self.states.get(image)? {
                // It changes all the time, and matters only to who waits for it.
                ImageState::Coming(_) => ImageState::Coming(String::new()),
                state => state.clone(),
            };
            Some((image.clone(), state))
        });
        known.take(IMAGES_REPORTED_MAX).collect()
    }
}

impl AgentMachine {
    /// Says which images this machine is to have, where that has changed.
    pub(super) fn want_images(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        now: Duration,
        effects: &mut Vec<AgentEffect>,
    ) {
        self.images.let_go_at = None;
        let made_from = Some((assignment.generation, view.revision()));
        if self.images.made_from != made_from {
            self.images.made_from = made_from;
            let runs = assignment.entries.iter().filter(|entry| entry.want == Want::Run);
            self.images.own = runs.flat_map(|entry| self.images_of(view, entry)).collect();
            let standby = assignment.standby.iter().filter(|image| self.is_ours(image));
            self.images.standby = standby.map(|image| image.name.clone()).collect();
        }
        let wanted = self.images.now_wanted(self.disk, now);
        if self.images.wanted.as_ref() != Some(&wanted) {
            effects.push(AgentEffect::Images(wanted.clone()));
            // What was said of an image before says nothing once it is wanted again.
            self.images.states.retain(|image, _| wanted.contains(image));
            self.images.wanted = Some(wanted);
        }
        self.images.look(now);
    }

    /// Returns the first image that a start of a unit waits for.
    pub(super) fn missing_image(
        &mut self,
        view: &ClusterView,
        entry: &AssignmentEntry,
        now: Duration,
    ) -> Option<Preparing> {
        let (images, planted) = (self.images_of(view, entry), self.planted);
        images.into_iter().find_map(|image| {
            let text = self.images.awaited(&image, now, planted)?;
            Some(Preparing { unit: entry.unit.clone(), image, text })
        })
    }

    /// Has the starts of units wait that come after units whose images are on their way, or need
    /// them. Returns those that do not wait.
    pub(super) fn after_prepared(&mut self, view: &ClusterView, starts: Vec<Step>) -> Vec<Step> {
        let is_prepared = |(unit, hold): (&UnitName, &Hold)| {
            let waits = matches!(hold, Hold::Preparing(_)) && !self.is_live(unit);
            waits.then(|| unit.clone())
        };
        let mut prepared: BTreeSet<UnitName> = self.held.iter().filter_map(is_prepared).collect();
        let mut starts = starts;
        loop {
            if prepared.is_empty() {
                return starts;
            }
            let (waiting, rest): (Vec<Step>, Vec<Step>) = starts.into_iter().partition(|step| {
                let unit = step.action.unit();
                !self.is_live(unit) && first_of(view, unit, &prepared).is_some()
            });
            starts = rest;
            if waiting.is_empty() {
                return starts;
            }
            for step in waiting {
                let unit = step.action.unit().clone();
                if let Some(other) = first_of(view, &unit, &prepared) {
                    let what = format!("it starts after {other}, whose image is not there yet");
                    self.held.insert(unit.clone(), Hold::Until(what));
                }
                prepared.insert(unit);
            }
        }
    }

    fn is_live(&self, unit: &UnitName) -> bool {
        let status = self.observed.as_ref().and_then(|units| units.get(unit));
        status.is_some_and(is_live)
    }

    fn images_of(&self, view: &ClusterView, entry: &AssignmentEntry) -> Vec<String> {
        // Of a unit that is destroyed just now only the text is left.
        let read = || {
            let text = view.text(&entry.unit, entry.revision)?;
            view.read_text(&entry.unit, text)?.ok().map(Arc::new)
        };
        let Some(spec) = self.spec_at(view, entry).or_else(read) else {
            return Vec::new();
        };
        let ours = spec.images.iter().filter(|image| self.is_ours(image));
        ours.map(|image| image.name.clone()).collect()
    }

    /// Tells whether an image is one that this program runs here.
    fn is_ours(&self, image: &UnitImage) -> bool {
        match image.engine {
            ImageEngine::Argosy => true,
            ImageEngine::Docker => self.config.docker_is_ours,
        }
    }
}

/// Returns the first of some units that another comes after, or needs.
fn first_of(view: &ClusterView, unit: &UnitName, of: &BTreeSet<UnitName>) -> Option<UnitName> {
    let Some(Ok(spec)) = view.spec(unit) else {
        return None;
    };
    let needs = &spec.dependencies;
    let lists = [&needs.after, &needs.requires, &needs.requisite, &needs.binds_to];
    lists.into_iter().flatten().find(|other| *other != unit && of.contains(*other)).cloned()
}
