//! The keeper's own end.

use argosy_keeper::{Action, Commit, EventKind};
use rustix::process::Signal;

use crate::stand::{Setup, Stand, unit, ways};

#[test]
fn the_supervisor_stops_the_units_and_what_it_leaves_is_killed() {
    for (mode, user, _) in ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        supervisor.spawn(stand.shell(1, "a.service", "exec sleep 1000"));
        supervisor.spawn(stand.shell(2, "b.service", "trap '' TERM; setsid sleep 1000 & wait"));
        let executed = |kind: &EventKind| matches!(kind, EventKind::Executed { .. });
        supervisor.events_until(executed);
        supervisor.events_until(executed);
        stand.signal(Signal::TERM);
        supervisor.until(|supervisor| supervisor.shutdown);
        supervisor.act([Action::SignalGroup { unit: unit("a.service"), signal: 15 }]);
        supervisor.until_group_is_empty("a.service");
        let actions = ["a.service", "b.service"].map(|it| Action::ForgetUnit { unit: unit(it) });
        supervisor.send(Commit { actions: actions.into(), done: true, ..Commit::default() });
        stand.assert_clean_end();
    }
}

#[test]
fn a_second_signal_does_not_wait_for_the_supervisor() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let mut record = stand.shell(1, "a.service", "trap '' TERM; sleep 1000 & wait");
    record.stdout = argosy_keeper::Output::Null;
    record.stderr = argosy_keeper::Output::Null;
    supervisor.spawn(record);
    stand.signal(Signal::INT);
    supervisor.until(|supervisor| supervisor.shutdown);
    stand.signal(Signal::INT);
    stand.assert_clean_end();
}

#[test]
fn a_supervisor_killed_during_the_end_is_replaced_and_told_again() {
    let stand = Stand::start(Setup::default());
    let mut first = stand.supervisor();
    stand.signal(Signal::TERM);
    first.until(|supervisor| supervisor.shutdown);
    first.die();
    let mut second = stand.supervisor();
    second.until(|supervisor| supervisor.shutdown);
    second.send(Commit { done: true, ..Commit::default() });
    stand.assert_clean_end();
}
