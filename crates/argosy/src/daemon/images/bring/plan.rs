//! Which images are brought next, and how far each is: decisions alone. `now` counts from any
//! moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_model::ImageState;

/// Before what failed is tried again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: what is mended is seen within a minute.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    /// It was not tried yet.
    New,
    /// It is here, as far as is known.
    Here,
    /// It was here, and is looked for again.
    Doubted,
    Failed {
        why: String,
        tries: u32,
        again: Duration,
    },
}

#[derive(Debug, Clone)]
struct Wanted {
    how: How,
    is_running: bool,
    /// How far it is, once there is something to bring.
    progress: Option<String>,
}

/// The images that are wanted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    images: BTreeMap<String, Wanted>,
}

impl Plan {
    /// Takes over what is wanted. Returns what is not any more, and was being brought.
    pub(super) fn want(&mut self, names: &BTreeSet<String>) -> Vec<String> {
        let gone = self.images.iter().filter(|(name, it)| !names.contains(*name) && it.is_running);
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        self.images.retain(|name, _| names.contains(name));
        for name in names {
            self.images.entry(name.clone()).or_insert(Wanted {
                how: How::New,
                is_running: false,
                progress: None,
            });
        }
        gone
    }

    /// Returns what is to be brought from now on, in this order.
    pub(super) fn begin(&mut self, now: Duration) -> Vec<String> {
        let is_due = |image: &Wanted| match &image.how {
            _ if image.is_running => false,
            How::New | How::Doubted => true,
            How::Here => false,
            How::Failed { again, .. } => *again <= now,
        };
        // What was not tried yet comes before what failed.
        let mut due: Vec<(bool, &String)> = self
            .images
            .iter()
            .filter(|(_, image)| is_due(image))
            .map(|(name, image)| (matches!(image.how, How::Failed { .. }), name))
            .collect();
        due.sort();
        let names: Vec<String> = due.into_iter().map(|(_, name)| name.clone()).collect();
        for name in &names {
            if let Some(image) = self.images.get_mut(name) {
                image.is_running = true;
            }
        }
        names
    }

    /// Takes note of how far an image is that is being brought.
    pub(super) fn note(&mut self, name: &str, progress: String) {
        if let Some(image) = self.images.get_mut(name).filter(|image| image.is_running) {
            image.progress = Some(progress);
        }
    }

    /// Tells whether it was not known yet that an image fails for this.
    pub(super) fn is_news(&self, name: &str, why: &str) -> bool {
        self.images.get(name).is_some_and(|image| match &image.how {
            How::Failed { why: known, .. } => known != why,
            How::New | How::Here | How::Doubted => true,
        })
    }

    /// Takes note that an image is here, or why not.
    pub(super) fn end(&mut self, name: &str, failed: Option<String>, now: Duration) {
        // It may be that it is not wanted any more.
        let Some(image) = self.images.get_mut(name).filter(|image| image.is_running) else {
            return;
        };
        let before = match &image.how {
            How::Failed { tries, .. } => *tries,
            How::New | How::Here | How::Doubted => 0,
        };
        let how = match failed {
            None => How::Here,
            Some(why) => {
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(before));
                How::Failed { why, tries: before + 1, again: now + pause.min(PAUSE_MAX) }
            }
        };
        *image = Wanted { how, is_running: false, progress: None };
    }

    /// Has everything that is here looked for again.
    pub(super) fn doubt(&mut self) {
        for image in self.images.values_mut().filter(|image| image.how == How::Here) {
            image.how = How::Doubted;
        }
    }

    /// How far each image is.
    pub(super) fn states(&self) -> BTreeMap<String, ImageState> {
        let state = |image: &Wanted| match (&image.progress, &image.how) {
            (Some(progress), _) => ImageState::Coming(progress.clone()),
            (None, How::Here | How::Doubted) => ImageState::Here,
            (None, How::Failed { why, .. }) => ImageState::Failed(why.clone()),
            (None, How::New) => ImageState::Coming("asked for".to_owned()),
        };
        self.images.iter().map(|(name, image)| (name.clone(), state(image))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_once_and_what_is_new_before_what_failed() {
        let mut plan = Plan::default();
        plan.want(&names(&["a", "b", "c"]));
        assert_eq!(plan.begin(at(0)), ["a", "b", "c"]);
        assert!(plan.begin(at(0)).is_empty());
        plan.end("a", Some("no".to_owned()), at(1));
        plan.want(&names(&["a", "b", "c", "d"]));
        plan.end("b", None, at(9));
        assert_eq!(plan.begin(at(9)), ["d", "a"]);
        let states = plan.states();
        assert_eq!(states["a"], ImageState::Failed("no".to_owned()), "until it is known better");
        assert_eq!(states["b"], ImageState::Here);
        plan.note("a", "1 of 2 MB".to_owned());
        assert_eq!(plan.states()["a"], ImageState::Coming("1 of 2 MB".to_owned()));
    }

    #[test]
    fn pauses_grow_to_a_minute_and_end_with_success() {
        let mut plan = Plan::default();
        plan.want(&names(&["a"]));
        let mut now = at(0);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(plan.begin(now), ["a"]);
            plan.end("a", Some("no".to_owned()), now);
            assert!(plan.begin(now + at(pause) - Duration::from_millis(1)).is_empty(), "{pause}");
            now += at(pause);
        }
        assert!(!plan.is_news("a", "no") && plan.is_news("a", "another"));
        assert_eq!(plan.begin(now), ["a"]);
        plan.end("a", None, now);
        plan.doubt();
        assert_eq!(plan.begin(now), ["a"]);
        plan.end("a", Some("no".to_owned()), now);
        assert_eq!(plan.begin(now + at(1)), ["a"]);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_given_up() {
        let mut plan = Plan::default();
        plan.want(&names(&["a", "b"]));
        plan.begin(at(0));
        plan.end("b", None, at(0));
        assert_eq!(plan.want(&names(&["c"])), ["a"]);
        assert_eq!(plan.states().len(), 1);
        plan.want(&names(&["a", "c"]));
        plan.end("a", Some("given up".to_owned()), at(1));
        assert_eq!(plan.states()["a"], ImageState::Coming("asked for".to_owned()));
    }
}
