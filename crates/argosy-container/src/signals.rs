//! Signals by the names that images and users write.

use oci_spec::image::ImageConfiguration;

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Tells whether a signal ends a process that says nothing of it (signal(7)).
pub(crate) fn ends_by_default(signal: i32) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGURG
            | libc::SIGWINCH
    )
}

/// A text names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no signal {0:?}")]
pub struct UnknownSignal(pub String);

/// Returns a signal's number: by number, by name with or without `SIG`, or as `RTMIN+3`.
pub fn signal_number(text: &str) -> Result<i32, UnknownSignal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str, base: i32, sign: i32| {
        let rest = name.strip_prefix(prefix)?;
        let offset = rest.trim_start_matches(['+', '-']);
        let offset = if rest.is_empty() { 0 } else { offset.parse::<i32>().ok()? };
        Some(base + sign * offset).filter(|it| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(it))
    };
    let by_number = || name.parse().ok().filter(|it| (1..=libc::SIGRTMAX()).contains(it));
    let by_name = || NAMES.iter().find(|it| it.0 == name).map(|it| it.1);
    by_number()
        .or_else(by_name)
        .or_else(|| real_time("RTMIN", libc::SIGRTMIN(), 1))
        .or_else(|| real_time("RTMAX", libc::SIGRTMAX(), -1))
        .ok_or_else(|| UnknownSignal(text.to_owned()))
}

/// Returns the signal that stops a container: the user's, or the image's.
pub fn stop_signal(
    image: Option<&ImageConfiguration>,
    wanted: Option<&str>,
) -> Result<Option<i32>, UnknownSignal> {
    let config = image.and_then(|image| image.config().as_ref());
    let own = config.and_then(|config| config.stop_signal().as_deref());
    wanted.or(own.filter(|it| !it.is_empty())).map(signal_number).transpose()
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
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
            ("RTMAX-1", libc::SIGRTMAX() - 1),
            ("RTMIN", libc::SIGRTMIN()),
        ] {
            assert_eq!(signal_number(text), Ok(number), "{text}");
        }
        for text in ["", "SIG", "0", "65", "-1", "RTMIN+99", "RTMIN-1x", "BANG"] {
            assert_eq!(
                signal_number(text).unwrap_err().to_string(),
                format!("there is no signal {text:?}")
            );
        }
    }
}
