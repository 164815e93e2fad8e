//! What a container is doing, in docker's words.

use argosy_container::{HealthState, Inspection, State, Wellness};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What docker shows of a container whose end nobody saw.
const LOST_CODE: u8 = 255;

/// docker's time of what has not been.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Returns docker's word for a state.
pub(super) fn word(state: &State) -> &'static str {
    match state {
        State::Created | State::Starting => "created",
        State::Running | State::Unwatched => "running",
        State::Paused => "paused",
        State::Exited(_) | State::Lost => "exited",
    }
}

/// Returns the exit status; 0 of one that runs, as docker has it.
pub(super) fn exit_code(state: &State) -> u8 {
    match state {
        State::Exited(exit) => exit.code,
        State::Lost => LOST_CODE,
        State::Created | State::Starting | State::Running | State::Unwatched | State::Paused => 0,
    }
}

pub(super) fn health_word(health: &HealthState) -> &'static str {
    match health.wellness {
        Wellness::Starting => "starting",
        Wellness::Healthy => "healthy",
        Wellness::Unhealthy => "unhealthy",
    }
}

/// Returns docker's line about a container: `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`.
pub(super) fn line(inspection: &Inspection, now_ms: u64) -> String {
    let since = |ms: u64| span(now_ms.saturating_sub(ms) / 1_000);
    match &inspection.state {
        State::Created | State::Starting => "Created".to_owned(),
        State::Exited(exit) => format!("Exited ({}) {} ago", exit.code, since(exit.finished_ms)),
        State::Lost => format!("Exited ({LOST_CODE})"),
        state @ (State::Running | State::Unwatched | State::Paused) => {
            let mut line = format!("Up {}", since(inspection.started_ms.unwrap_or(now_ms)));
            if *state == State::Paused {
                line.push_str(" (Paused)");
            } else if let Some(health) = health_of(inspection) {
                let word = match health.wellness {
                    Wellness::Starting => "health: starting",
                    Wellness::Healthy | Wellness::Unhealthy => health_word(&health),
                };
                line.push_str(&format!(" ({word})"));
            }
            line
        }
    }
}

/// Returns the health of a container that has a check; before the first answer it is starting.
pub(super) fn health_of(inspection: &Inspection) -> Option<HealthState> {
    inspection.spec.health.as_ref()?;
    Some(inspection.health.clone().unwrap_or_default())
}

/// Writes a span of time in docker's words.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let days = hours / 24;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        _ if days < 14 => format!("{days} days"),
        _ if days < 60 => format!("{} weeks", days / 7),
        _ if days < 730 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

/// Writes a time as docker's JSON has it.
pub(super) fn time(ms: Option<u64>) -> String {
    let at = ms.filter(|it| *it > 0).and_then(|it| i64::try_from(it).ok());
    match at.and_then(|it| Timestamp::from_millisecond(it).ok()) {
        Some(at) => format!("{at:.9}"),
        None => NEVER.to_owned(),
    }
}

/// Writes a time as docker's lists have it: `2026-11-30 04:53:54 +0000 UTC`.
pub(super) fn listed_time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
    let at = at.unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3_600, "About an hour"),
            (7_300, "2 hours"),
            (2 * 86_400, "2 days"),
            (20 * 86_400, "2 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(time(Some(1_000)), "1970-01-01T00:00:01.000000000Z");
        assert_eq!(time(None), NEVER);
    }
}
