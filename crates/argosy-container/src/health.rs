//! Whether a container is well, from what its health command answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spec::Health;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HealthState, Wellness};
    use crate::spec::Health;

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
}
