//! What a machine says of its own certificate.

use std::time::{Duration, SystemTime};

/// How long before its end it is worth a word: time to bring another machine in.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Returns what is wrong with a certificate that is valid until `ends`, and what can be done.
pub(super) fn problem(ends: SystemTime, now: SystemTime) -> Option<String> {
    if now + SOON < ends {
        return None;
    }
    let date = jiff::Timestamp::try_from(ends)
        .map_or_else(|_| "an unknown time".to_owned(), |at| at.strftime("%F %T UTC").to_string());
    // Nothing renews a certificate yet.
    let anew = "with an empty data directory, another --name, and another --address or --peer-port";
    Some(match now > ends {
        true => format!(
            "this machine's certificate was valid until {date}, so no other machine speaks with it; \
             its units run on; if its clock is right, it must join anew {anew}"
        ),
        false => format!(
            "this machine's certificate is valid until {date}; before then, have another machine in \
             its place, or let it join anew {anew}"
        ),
    })
}

#[cfg(test)]
mod tests {
    //! Tests of when a certificate is worth a word.

    use super::*;

    #[test]
    fn the_end_is_told_before_and_after_with_what_can_be_done() {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(problem(ends, ends - 2 * SOON), None);
        let before = problem(ends, ends - SOON / 2).unwrap();
        assert!(before.contains("is valid until 2027-01-15 08:00:00 UTC"), "{before}");
        let after = problem(ends, ends + SOON).unwrap();
        assert!(after.contains("was valid until 2027-01-15 08:00:00 UTC"), "{after}");
        for said in [before, after] {
            assert!(said.contains("join anew with an empty data directory"), "{said}");
            assert!(said.contains("--peer-port"), "{said}");
        }
    }
}
