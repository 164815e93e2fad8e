//! Whether a container is well, from what its health command answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spec::{Health, Startup};

/// What the commands have told so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Wellness {
    /// No command has answered, or none after the start.
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

/// A container's health.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthState {
    pub wellness: Wellness,
    /// Failures in a row.
    pub failures: u32,
    /// The last command's exit code; `None` if it was too late.
    pub last_code: Option<u8>,
}

impl HealthState {
    /// Takes the answer of a command that ended this long after the container's start.
    pub fn answered(&mut self, health: &Health, code: Option<u8>, since_start: Duration) {
        self.last_code = code;
        if code == Some(0) {
            self.wellness = Wellness::Healthy;
            self.failures = 0;
            return;
        }
        // Once it was healthy the start is over.
        if self.wellness == Wellness::Starting && since_start < health.start_period {
            return;
        }
        self.failures += 1;
        if self.failures >= health.retries.max(1) {
            self.wellness = Wellness::Unhealthy;
        }
    }
}

/// What the commands of a start have told so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StartupState {
    successes: u32,
    failures: u32,
}

impl StartupState {
    /// Takes the answer of a command; tells whether the start has succeeded or failed by it.
    pub(crate) fn answered(&mut self, startup: &Startup, code: Option<u8>) -> Option<bool> {
        if code == Some(0) {
            self.successes += 1;
            return (self.successes >= startup.success).then_some(true);
        }
        self.failures += 1;
        (startup.retries > 0 && self.failures >= startup.retries).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HealthState, StartupState, Wellness};
    use crate::spec::{Health, Startup};

    #[test]
    fn only_failures_in_a_row_after_the_start_count() {
        let health = Health {
            start_period: Duration::from_secs(10),
            retries: 2,
            ..Health::new(vec!["check".to_owned()])
        };
        let mut state = HealthState::default();
        let mut tell = |second, code| {
            state.answered(&health, code, Duration::from_secs(second));
            (state.wellness, state.failures)
        };
        assert_eq!(tell(1, Some(1)), (Wellness::Starting, 0));
        assert_eq!(tell(9, None), (Wellness::Starting, 0));
        assert_eq!(tell(11, Some(1)), (Wellness::Starting, 1));
        assert_eq!(tell(12, Some(0)), (Wellness::Healthy, 0));
        assert_eq!(tell(13, Some(1)), (Wellness::Healthy, 1));
        assert_eq!(tell(14, None), (Wellness::Unhealthy, 2));
        assert_eq!(tell(15, Some(0)), (Wellness::Healthy, 0));
    }

    #[test]
    fn a_success_ends_the_start_period() {
        let health = Health {
            start_period: Duration::from_secs(100),
            retries: 1,
            ..Health::new(vec!["check".to_owned()])
        };
        let mut state = HealthState::default();
        state.answered(&health, Some(0), Duration::from_secs(1));
        state.answered(&health, Some(1), Duration::from_secs(2));
        assert_eq!(state.wellness, Wellness::Unhealthy);
    }

    #[test]
    fn a_start_takes_so_many_successes_and_bears_fewer_failures_than_its_limit() {
        let startup = Startup { success: 2, retries: 3, ..Startup::new(Vec::new()) };
        let ends = |codes: &[u8], startup: &Startup| -> Vec<Option<bool>> {
            let mut state = StartupState::default();
            codes.iter().map(|code| state.answered(startup, Some(*code))).collect()
        };
        assert_eq!(ends(&[1, 0, 1, 0], &startup), [None, None, None, Some(true)]);
        assert_eq!(ends(&[1, 0, 1, 1], &startup), [None, None, None, Some(false)]);
        let patient = Startup { retries: 0, ..startup };
        assert_eq!(ends(&[1; 1000], &patient), [None; 1000]);
    }
}
