//! Single values: booleans, time spans, numbers, file modes, names, base64.

use std::time::Duration;

/// Reads a boolean (systemd.syntax(7)).
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A time span, or `infinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeSpan {
    /// So many microseconds.
    Micros(u64),
    /// `infinity`.
    Infinity,
}

impl TimeSpan {
    /// Returns the span; `infinity` is longer than any clock runs.
    pub(crate) fn duration(self) -> Duration {
        match self {
            TimeSpan::Micros(micros) => Duration::from_micros(micros),
            TimeSpan::Infinity => Duration::from_micros(u64::MAX),
        }
    }
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The units of systemd.time(7). A name stands before every name that begins it.
const UNITS: [(&str, u64); 30] = [
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", MINUTE),
    ("minute", MINUTE),
    ("min", MINUTE),
    ("months", 2_629_800 * SECOND),
    ("month", 2_629_800 * SECOND),
    ("M", 2_629_800 * SECOND),
    ("msec", 1_000),
    ("ms", 1_000),
    ("m", MINUTE),
    ("hours", HOUR),
    ("hour", HOUR),
    ("hr", HOUR),
    ("h", HOUR),
    ("days", DAY),
    ("day", DAY),
    ("d", DAY),
    ("weeks", 7 * DAY),
    ("week", 7 * DAY),
    ("w", 7 * DAY),
    ("years", 31_557_600 * SECOND),
    ("year", 31_557_600 * SECOND),
    ("y", 31_557_600 * SECOND),
    ("usec", 1),
    ("us", 1),
    ("µs", 1), // U+00B5, the micro sign
    ("μs", 1), // U+03BC, the Greek letter
];

/// Reads a time span (systemd.time(7)); a number without a unit means seconds.
pub(crate) fn time_span(text: &str) -> Option<TimeSpan> {
    let mut rest = text.trim_ascii();
    if rest == "infinity" {
        return Some(TimeSpan::Infinity);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (micros, after) = time_part(rest)?;
        total = total.checked_add(micros)?;
        rest = after.trim_ascii_start();
    }
    // The greatest number means infinity elsewhere.
    (total != u64::MAX).then_some(TimeSpan::Micros(total))
}

/// Reads `number[.fraction][unit]`; returns microseconds and what follows.
fn time_part(text: &str) -> Option<(u64, &str)> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    let has_point = text[whole.len()..].starts_with('.');
    if has_point == fraction.is_empty() || (whole.is_empty() && !has_point) {
        return None;
    }
    let spaced = rest.trim_ascii_start();
    let unit = UNITS.iter().find_map(|(name, unit)| Some((unit, spaced.strip_prefix(name)?)));
    let (unit, after) = match unit {
        Some((unit, after)) => (*unit, after),
        // Without a unit, white space or the end must follow: `12.34.56` is no time span.
        None if spaced.len() == rest.len() && !rest.is_empty() => return None,
        None => (SECOND, spaced),
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut micros = whole.checked_mul(unit)?;
    let mut place = unit / 10;
    for digit in fraction.bytes() {
        micros = micros.checked_add(u64::from(digit - b'0') * place)?;
        place /= 10;
    }
    Some((micros, after))
}

fn split_digits(text: &str) -> (&str, &str) {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(length)
}

/// Reads an unsigned number: decimal, `0x` hexadecimal, `0b` binary or `0` octal.
pub(crate) fn unsigned(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        [b'0', b'o' | b'O', ..] => (&text[2..], 8),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // from_str_radix would take a sign.
    let plain = digits.chars().all(|digit| digit.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

/// Reads a file mode in octal, at most 7777.
pub(crate) fn mode(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| plain && *mode <= 0o7777)
}

/// Tells whether `text` may name a user or a group: a number, or a name as systemd's relaxed
/// rule has it.
pub(crate) fn is_user_or_group(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // 65535 and 4294967295 mean "no user" to system calls; 010 could mean 8 or 10.
        let plain = text == "0" || !text.starts_with('0');
        return plain && text.parse::<u32>().is_ok_and(|id| id != 0xffff && id != u32::MAX);
    }
    let signed_number = text.strip_prefix('-').is_some_and(|rest| rest.parse::<u64>().is_ok());
    let dots = matches!(text, "." | "..");
    let bad = |c: char| c.is_control() || matches!(c, ':' | '/');
    !signed_number && !dots && !text.contains(bad) && text.trim() == text
}

/// Tells whether `text` may name an environment variable.
pub(crate) fn is_variable_name(text: &str) -> bool {
    let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && !digit_first && text.chars().all(allowed)
}

/// Splits `NAME=value`; `None` if the name is not valid. A value may be any text.
pub(crate) fn assignment(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| is_variable_name(name))
}

/// Tells whether `text` is an absolute path of lengths that Linux takes.
pub(crate) fn is_absolute_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() < PATH_BYTES_MAX
        && !text.contains(|c: char| c.is_control())
        && text.split('/').all(|part| part.len() <= FILE_NAME_BYTES_MAX)
}

/// Tells whether `text` is an absolute path without `..`, which systemd asks of every path
/// but a program's.
pub(crate) fn is_normal_path(text: &str) -> bool {
    is_absolute_path(text) && text.split('/').all(|part| part != "..")
}

/// Linux' `PATH_MAX`, its closing NUL included.
const PATH_BYTES_MAX: usize = 4096;

/// Linux' `NAME_MAX`.
pub(crate) const FILE_NAME_BYTES_MAX: usize = 255;

/// Writes a path without doubled slashes and `.` parts.
pub(crate) fn simple_path(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("{}{}", if text.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

/// Decodes base64 (RFC 4648 section 4); white space is skipped, padding is required.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut bits: u32 = 0;
    let mut held = 0;
    for byte in &bytes[..bytes.len() - padding] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
