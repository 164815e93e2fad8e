//! Names of exit codes and signals.

use super::*;

#[test]
fn codes_names_and_signals() {
    assert_eq!(exit_status("TEMPFAIL"), Some(ExitStatus::Code(75)));
    assert_eq!(exit_status("250"), Some(ExitStatus::Code(250)));
    assert_eq!(exit_status("0x10"), Some(ExitStatus::Code(16)));
    assert_eq!(exit_status("010"), Some(ExitStatus::Code(8)));
    assert_eq!(exit_status("9"), Some(ExitStatus::Code(9)), "a number is a code");
    assert_eq!(exit_status("SIGKILL"), Some(ExitStatus::Signal(9)));
    assert_eq!(exit_status("KILL"), Some(ExitStatus::Signal(9)));
    for bad in ["", "256", "-1", "tempfail", "SIGNOPE"] {
        assert_eq!(exit_status(bad), None, "{bad}");
    }
}

#[test]
fn real_time_signals_count_from_both_ends() {
    assert_eq!(signal("SIGRTMIN"), Some(34));
    assert_eq!(signal("RTMIN+3"), Some(37));
    assert_eq!(signal("SIGRTMAX-1"), Some(63));
    assert_eq!(signal("RTMAX"), Some(64));
    for bad in ["RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+-1", "RTMIN+999999999999"] {
        assert_eq!(signal(bad), None, "{bad}");
    }
}

#[test]
fn names_and_codes_are_unique_and_agree_with_those_shown() {
    for (index, (name, code)) in NAMES.iter().enumerate() {
        assert!(NAMES[..index].iter().all(|(n, c)| n != name && c < code), "{name}");
        if let Some(shown) = argosy_model::exit_status_name(*code) {
            assert_eq!(shown, *name);
        }
    }
}
