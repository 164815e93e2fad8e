//! Signals by name and number.

/// Linux signal names by number (signal(7), x86 and arm).
const SIGNALS: [(i32, &str); 31] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// Returns the name of a signal, `SIGTERM` for 15; `None` for real-time signals.
pub fn signal_name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The first and last real-time signal that programs may use: the C library keeps the kernel's 32
/// and 33 for itself (signal(7)). Numbers of the machine's programs, whatever library this one has.
const REAL_TIME: (i32, i32) = (34, 64);

/// Returns the number of a signal from digits, or from its name in letters of either case, with or
/// without `SIG`, `RTMIN+3` and `RTMAX-2` too.
pub fn signal_number(text: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=REAL_TIME.1).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = if let Some(rest) = name.strip_prefix("RTMIN") {
        offset(rest, '+').map(|offset| REAL_TIME.0 + offset)
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        offset(rest, '-').map(|offset| REAL_TIME.1 - offset)
    } else {
        return SIGNALS.iter().find(|(_, known)| &known[3..] == name).map(|(number, _)| *number);
    };
    real_time.filter(|signal| (REAL_TIME.0..=REAL_TIME.1).contains(signal))
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    // At most two digits: no real-time signal is further away.
    let digits = text.strip_prefix(sign)?;
    let plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_are_written_in_many_ways() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("sigrtmin+3", 37),
            ("RTMAX-1", 63),
            ("RTMIN", 34),
            ("37", 37),
        ] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for text in ["", "SIG", "0", "65", "-1", "+9", "RTMIN+99", "RTMIN-1", "RTMIN+", "BANG"] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}
