//! The health check of a container.

use std::time::Duration;

use argosy_container::Health;

use super::{bad, process};
use crate::args::ContainerRun;
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
        Some(text) if text.trim_start().starts_with('[') => Some(listed(&process::words(text)?)),
        Some(text) => Some(shell(text)),
        None => image,
    };
    let Some(mut health) = health else { return Ok(None) };
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
    Ok(Some(health))
}

fn shell(text: &str) -> Health {
    Health::new(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// Reads a list as docker's images have it: `CMD` and words, `CMD-SHELL` and a text, or words.
pub(in crate::container) fn listed(words: &[String]) -> Health {
    match words {
        [first, text] if first == "CMD-SHELL" => shell(text),
        [first, words @ ..] if first == "CMD" => Health::new(words.to_vec()),
        words => Health::new(words.to_vec()),
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
