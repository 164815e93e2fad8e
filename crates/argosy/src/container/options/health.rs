//! The health check of a container.

use std::time::Duration;

use argosy_container::{Health, OnFailure, Startup};

use super::{bad, process};
use crate::args::{ContainerRun, HealthAction};
use crate::container::STOP_GRACE;
use crate::failure::Failure;

/// Returns the health check: what the options say of it, over what the image says.
pub(super) fn health(
    options: &ContainerRun,
    image: Option<Health>,
) -> Result<Option<Health>, Failure> {
    let command = options.health_cmd.as_deref();
    if options.no_healthcheck || command.is_some_and(|it| it.eq_ignore_ascii_case("none")) {
        return Ok(None);
    }
    let health = match command {
        Some(text) => Some(Health::new(words_of(text)?)),
        None => image,
    };
    let Some(mut health) = health else {
        let asked = options.health_startup_cmd.is_some()
            || options.health_on_failure.is_some_and(|it| it != HealthAction::None);
        return match asked {
            false => Ok(None),
            true => Err(bad(
                "what follows from bad health, or a check of the start, is asked for, and neither image \
                 nor options check its health",
                "add --health-cmd",
            )),
        };
    };
    for (option, place) in [
        (&options.health_interval, &mut health.interval),
        (&options.health_timeout, &mut health.timeout),
        (&options.health_start_period, &mut health.start_period),
    ] {
        // As with docker, 0 is what it would be if nothing was said.
        if let Some(span) = option.as_deref().map(span).transpose()?.filter(|it| !it.is_zero()) {
            *place = span;
        }
    }
    if health.interval < Health::INTERVAL_MIN {
        return Err(bad("the health interval is less than 1 ms", "give it at least 1ms"));
    }
    if let Some(retries) = options.health_retries.filter(|it| *it > 0) {
        health.retries = retries;
    }
    health.on_failure = match options.health_on_failure {
        None | Some(HealthAction::None) => OnFailure::Nothing,
        Some(HealthAction::Kill) => OnFailure::Kill,
        Some(HealthAction::Stop) => {
            let grace = options.stop_timeout.map_or(STOP_GRACE, Duration::from_secs);
            OnFailure::Stop { grace }
        }
    };
    health.startup = startup(options)?;
    Ok(Some(health))
}

/// Returns the check of the start.
fn startup(options: &ContainerRun) -> Result<Option<Startup>, Failure> {
    let Some(text) = &options.health_startup_cmd else {
        let given = [
            ("--health-startup-interval", options.health_startup_interval.is_some()),
            ("--health-startup-timeout", options.health_startup_timeout.is_some()),
            ("--health-startup-retries", options.health_startup_retries.is_some()),
            ("--health-startup-success", options.health_startup_success.is_some()),
        ];
        return match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(None),
            Some((option, _)) => Err(bad(
                format!("{option} without a check of the start"),
                "add --health-startup-cmd",
            )),
        };
    };
    let mut startup = Startup::new(words_of(text)?);
    for (option, place) in [
        (&options.health_startup_interval, &mut startup.interval),
        (&options.health_startup_timeout, &mut startup.timeout),
    ] {
        if let Some(span) = option.as_deref().map(span).transpose()?.filter(|it| !it.is_zero()) {
            *place = span;
        }
    }
    if startup.interval < Health::INTERVAL_MIN {
        return Err(bad(
            "the interval of --health-startup-cmd is less than 1 ms",
            "give it at least 1ms",
        ));
    }
    startup.retries = options.health_startup_retries.unwrap_or(startup.retries);
    startup.success = options.health_startup_success.unwrap_or(startup.success).max(1);
    Ok(Some(startup))
}

/// Reads a command: for a shell, or JSON.
fn words_of(text: &str) -> Result<Vec<String>, Failure> {
    match text.trim_start().starts_with('[') {
        true => Ok(listed(&process::words(text)?)),
        false => Ok(shell(text)),
    }
}

fn shell(text: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]
}

/// Reads a list as docker's images have it: `CMD` and words, `CMD-SHELL` and a text, or words.
pub(in crate::container) fn listed(words: &[String]) -> Vec<String> {
    match words {
        [first, text] if first == "CMD-SHELL" => shell(text),
        [first, words @ ..] if first == "CMD" => words.to_vec(),
        words => words.to_vec(),
    }
}

/// Reads a span of time: `1h30m`, `90s`, `500ms`, or seconds.
pub(in crate::container) fn span(text: &str) -> Result<Duration, Failure> {
    let wrong = || bad(format!("{text:?} is no span of time"), "write it 90s, 1m30s or 500ms");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "" | "s" | "sec" => 1.0,
            "us" => 1e-6,
            "ms" => 1e-3,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        whole = whole.checked_add(part).ok_or_else(wrong)?;
    }
    Ok(whole)
}
