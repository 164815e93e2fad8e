//! The signals that a container was sent on purpose by others than its monitor.
//!
//! Whoever stops or kills a container leaves a note beside its run record before the signal goes out.
//! The monitor reads it at the end: what was asked for is no failure.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::procfs::ProcessName;
use crate::signals::ends_by_default;

/// What marks a signal that the kernel dropped and that SIGKILL carried out.
const CARRIED_OUT: &str = "carried-out";

/// What the note says of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) signals: BTreeSet<i32>,
    /// The one whose default action was carried out with SIGKILL.
    pub(crate) carried_out: Option<i32>,
}

/// Notes a signal that is about to be sent to a first process. Without the note the signal still does
/// its work, and is taken for somebody else's.
pub(crate) fn note(path: &Path, init: ProcessName, signal: i32, carried_out: bool) {
    let mark = if carried_out { CARRIED_OUT } else { "" };
    let line = format!("{} {} {signal} {mark}\n", init.pid, init.start_ticks);
    // In one write at the end of the file: several may note at once.
    let file = File::options().create(true).append(true).open(path);
    drop(file.and_then(|mut file| file.write_all(line.as_bytes())));
}

impl Asked {
    /// Reads what was asked of a first process.
    pub(crate) fn read(path: &Path, init: Option<ProcessName>) -> Asked {
        let text = fs::read_to_string(path).unwrap_or_default();
        init.map(|init| Asked::parse(&text, init)).unwrap_or_default()
    }

    fn parse(text: &str, init: ProcessName) -> Asked {
        let mut asked = Asked::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let mut number = || words.next()?.parse::<u64>().ok();
            let (pid, start, signal) = (number(), number(), number());
            // A note may have come too late for the run that it meant.
            if pid != u64::try_from(init.pid).ok() || start != Some(init.start_ticks) {
                continue;
            }
            let Some(signal) = signal.and_then(|it| i32::try_from(it).ok()) else { continue };
            asked.signals.insert(signal);
            if words.next() == Some(CARRIED_OUT) {
                asked.carried_out.get_or_insert(signal);
            }
        }
        asked
    }
}

/// How a container's end looks to the one who decides how the monitor ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) code: u8,
    /// What the monitor was sent itself, and passed on.
    pub(crate) passed_on: &'a BTreeSet<i32>,
    /// What others have sent on purpose.
    pub(crate) asked: &'a BTreeSet<i32>,
    /// Whether a supervisor judges a unit by how the monitor ends.
    pub(crate) supervised: bool,
}

impl End<'_> {
    /// Returns the signal that the monitor ends by, so that an end that was wanted is taken for one; it
    /// exits with the code if there is none.
    ///
    /// A code of 128 and a signal's number is that signal: a shell, an init and Java tell it so. Of
    /// those that others have sent, SIGKILL after a stop's grace included, the monitor of a unit ends
    /// by SIGTERM: to a supervisor that is a clean end (systemd.service(5)), and SIGKILL would look
    /// like a crash.
    pub(crate) fn signal(&self) -> Option<i32> {
        let by = i32::from(self.code.checked_sub(128)?);
        if self.passed_on.contains(&by) && ends_by_default(by) {
            return Some(by);
        }
        (self.supervised && self.asked.contains(&by)).then_some(libc::SIGTERM)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Asked, End, note};
    use crate::procfs::ProcessName;

    #[test]
    fn a_note_is_of_one_run() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("asked");
        let (init, other) =
            (ProcessName { pid: 7, start_ticks: 4711 }, ProcessName { pid: 7, start_ticks: 4712 });
        assert_eq!(Asked::read(&path, Some(init)), Asked::default());
        note(&path, other, 9, false);
        note(&path, init, 15, false);
        note(&path, init, 15, true);
        let asked = Asked::read(&path, Some(init));
        assert_eq!(asked, Asked { signals: [15].into(), carried_out: Some(15) });
        assert_eq!(Asked::read(&path, None), Asked::default());
    }

    #[test]
    fn an_end_that_was_wanted_is_told_by_a_signal() {
        let end = |code, passed_on: &[i32], asked: &[i32], supervised| {
            let set = |list: &[i32]| list.iter().copied().collect::<BTreeSet<_>>();
            let (passed_on, asked) = (set(passed_on), set(asked));
            End { code, passed_on: &passed_on, asked: &asked, supervised }.signal()
        };
        assert_eq!(end(143, &[15], &[], true), Some(15));
        assert_eq!(end(129, &[1], &[], false), Some(1));
        // A unit's: by stop, by kill, and when the grace was over.
        assert_eq!(end(143, &[], &[15], true), Some(15));
        assert_eq!(end(130, &[], &[2], true), Some(15));
        assert_eq!(end(137, &[], &[15, 9], true), Some(15));
        // Somebody's at a terminal has docker's code.
        assert_eq!(end(137, &[], &[15, 9], false), None);
        // By itself, by a crash, by another signal.
        assert_eq!(end(0, &[15], &[15], true), None);
        assert_eq!(end(1, &[15], &[15], true), None);
        assert_eq!(end(139, &[15], &[15], true), None);
        assert_eq!(end(137, &[15], &[15], true), None);
        // One that ends nobody.
        assert_eq!(end(128 + 20, &[20], &[], true), None);
    }
}
