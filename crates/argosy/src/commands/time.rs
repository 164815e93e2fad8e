//! Times as people write and read them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned, civil};

use crate::failure::{Exit, Failure};

/// Returns a local time with seconds; `-` for "never".
pub(crate) fn since(micros: u64) -> String {
    if micros == 0 {
        return "-".into();
    }
    local(micros).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the time as journalctl's short format does.
pub(crate) fn short(micros: u64) -> String {
    local(micros).strftime("%b %d %H:%M:%S").to_string()
}

fn local(micros: u64) -> Zoned {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::system())
}

/// Reads `now`, `today`, `yesterday`, `10 min ago`, `-10min`, `2026-11-23 10:00[:00]` or
/// `@SECONDS`, local time, as microseconds since 1970 UTC (a part of systemd.time(7)).
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<u64, Failure> {
    let instant = relative(text, now).or_else(|| absolute(text, now)).ok_or_else(|| {
        Failure::new(Exit::BadInput, format!("{text:?} is not a time"))
            .with_help("write `10 min ago`, `today` or `2026-11-23 10:00:00`")
    })?;
    Ok(u64::try_from(instant.as_microsecond()).unwrap_or_default())
}

fn absolute(text: &str, now: &Zoned) -> Option<Timestamp> {
    let midnight = |zoned: &Zoned| zoned.start_of_day().ok().map(|day| day.timestamp());
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return midnight(now),
        "yesterday" => return midnight(&now.checked_sub(1.day()).ok()?),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    let date_time = text
        .parse::<civil::DateTime>()
        .or_else(|_| format!("{text}:00").parse::<civil::DateTime>())
        .or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)))
        .or_else(|_| text.parse::<civil::Time>().map(|time| now.date().to_datetime(time)));
    let zoned = date_time.ok()?.to_zoned(now.time_zone().clone()).ok()?;
    Some(zoned.timestamp())
}

fn relative(text: &str, now: &Zoned) -> Option<Timestamp> {
    let span = match text.strip_suffix(" ago") {
        Some(span) => span,
        None => text.strip_prefix('-')?,
    };
    let number_end = span.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = span.split_at(number_end);
    let number: i64 = number.parse().ok()?;
    let span: Span = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => number.seconds(),
        "m" | "min" | "minute" | "minutes" => number.minutes(),
        "h" | "hr" | "hour" | "hours" => number.hours(),
        "d" | "day" | "days" => number.days(),
        "w" | "week" | "weeks" => number.weeks(),
        _ => return None,
    };
    Some(now.checked_sub(span).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-23T10:30:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let now = now();
        let micros = i64::try_from(parse(text, &now).unwrap()).unwrap();
        assert_eq!(Timestamp::from_microsecond(micros).unwrap().to_string(), expected, "{text}");
    }

    #[test]
    fn times_as_people_write_them() {
        check("now", "2026-11-23T10:30:00Z");
        check("today", "2026-11-23T00:00:00Z");
        check("yesterday", "2026-11-22T00:00:00Z");
        check("10 min ago", "2026-11-23T10:20:00Z");
        check("-90s", "2026-11-23T10:28:30Z");
        check("2 days ago", "2026-11-21T10:30:00Z");
        check("2026-11-20", "2026-11-20T00:00:00Z");
        check("2026-11-20 08:15", "2026-11-20T08:15:00Z");
        check("2026-11-20 08:15:59", "2026-11-20T08:15:59Z");
        check("08:15", "2026-11-23T08:15:00Z");
        check("@1", "1970-01-01T00:00:01Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let now = now();
        for text in ["", "soon", "10 parsecs ago", "-", "2026-13-01", "@x", "ago"] {
            assert!(parse(text, &now).is_err(), "{text:?}");
        }
    }
}
