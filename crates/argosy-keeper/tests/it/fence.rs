//! Fences: a deadline that passes ends fenced units and nothing else, whoever else still works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argosy_keeper::{
    Action, Commit, EventKind, ExecStep, FenceSender, Output, SpawnId, SpawnRecord, StateChange,
};
use argosy_model::ExitOutcome;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::stand::{Setup, Stand, Supervisor, firm_ways, policy_of, unit, wait_for};

/// A tree that ignores SIGTERM, leaves its session, and goes on forking.
const STORM: &str = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' &); \
    while :; do setsid sleep 1000 & sleep 1000 & sleep 0.01; done";

/// Doubles itself until there are a few hundred, each of which goes on forking short lives.
const BOMB: &str = "trap '' TERM; bomb() { if [ $1 -gt 0 ]; then bomb $(($1-1)) & bomb $(($1-1)) & \
    fi; while :; do /bin/true; done; }; bomb 7";

/// Beyond what killing takes even on a busy machine; what it does take is in the documentation.
const KILL_MAX: Duration = Duration::from_secs(30);

/// How far ahead a deadline is that is renewed until all is there that it is to end. On a machine that
/// a storm of processes keeps busy, whoever renews may have to wait for seconds.
const GRANT: Duration = Duration::from_secs(5);

fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// Renews once the keeper is there, and returns the deadline.
fn grant(stand: &Stand, span: Duration) -> Duration {
    let sender = FenceSender::open(&stand.runtime_dir()).unwrap();
    let kill_at = now() + span;
    wait_for(|| sender.renew(kill_at).ok());
    kill_at
}

/// Makes it a fenced one that is ordered now.
fn fenced(record: SpawnRecord) -> SpawnRecord {
    ordered(record, now())
}

fn ordered(mut record: SpawnRecord, at: Duration) -> SpawnRecord {
    (record.fenced, record.ordered_at) = (true, at);
    record
}

/// Renews until it is told to stop, as a daemon does.
struct Renewals {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Renewals {
    fn begin(stand: &Stand, span: Duration) -> Renewals {
        let mut kill_at = grant(stand, span);
        let sender = FenceSender::open(&stand.runtime_dir()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let next = now() + span;
                if sender.renew(next).is_ok() {
                    kill_at = next;
                }
                thread::sleep(Duration::from_millis(50));
            }
            kill_at
        });
        Renewals { stop, thread }
    }

    /// Stops renewing once units have so many processes. Returns the last deadline.
    fn end_once_grown(self, stand: &Stand, units: &[(&str, usize)]) -> Duration {
        wait_for(|| {
            let grown = |(name, count): &(&str, usize)| stand.processes_of(name).len() >= *count;
            units.iter().all(grown).then_some(())
        });
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Checks what the keeper says of a fenced end, and that nothing is left.
#[expect(clippy::print_stdout, reason = "what was measured is for whoever runs the test")]
fn assert_fenced(stand: &Stand, supervisor: &mut Supervisor, name: &str, kill_at: Duration) {
    let (mut killed, mut exits) = (None, 0);
    let empty = loop {
        let event = supervisor.event();
        match event.kind {
            EventKind::Fenced { unit: fenced } if fenced.as_str() == name => {
                assert_eq!(exits, 0, "it is told before the exits");
                killed = Some(event.at);
            }
            EventKind::Exited { outcome, .. } => {
                assert_eq!(outcome, ExitOutcome::Signal { signal: 9, core: false });
                exits += 1;
            }
            EventKind::GroupEmpty { unit: empty } if empty.as_str() == name => break event.at,
            _ => {}
        }
    };
    assert_eq!(stand.processes_of(name).len(), 0, "an empty group has no process");
    let killed = killed.expect("a fenced end is told");
    assert!(killed >= kill_at.saturating_sub(Duration::from_micros(1)), "not before its time");
    let span = empty.saturating_sub(kill_at);
    println!(
        "{:?} {name}: killed {:?} after the deadline, empty after {span:?}",
        supervisor.hello.group_mode,
        killed.saturating_sub(kill_at),
    );
    assert!(span < KILL_MAX, "{span:?}");
}

#[test]
fn a_deadline_that_passes_ends_the_fenced_unit_and_leaves_its_neighbour() {
    for (mode, user, _) in firm_ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        let renewals = Renewals::begin(&stand, GRANT);
        supervisor.spawn(fenced(stand.shell(1, "storm.service", STORM)));
        supervisor.spawn(stand.shell(2, "neighbour.service", "sleep 1000 & exec sleep 1000"));
        let kill_at =
            renewals.end_once_grown(&stand, &[("storm.service", 20), ("neighbour.service", 2)]);
        let neighbour = stand.processes_of("neighbour.service");
        assert_fenced(&stand, &mut supervisor, "storm.service", kill_at);
        assert_eq!(stand.processes_of("neighbour.service"), neighbour, "{mode}");
        // Without a grant it is not started again; with one it is.
        supervisor.spawn(fenced(stand.shell(3, "storm.service", "exit 0")));
        let (spawn_id, errno) = (SpawnId(3), 125);
        let refused = EventKind::SpawnFailed { spawn_id, step: ExecStep::Fence, errno };
        assert_eq!(supervisor.event().kind, refused);
        grant(&stand, Duration::from_secs(60));
        supervisor.spawn(fenced(stand.shell(4, "storm.service", "exit 4")));
        assert_eq!(supervisor.exit_of(4), ExitOutcome::Code(4));
        stand.end(supervisor);
    }
}

#[test]
fn renewals_keep_a_fenced_unit_and_a_lower_deadline_changes_nothing() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    grant(&stand, Duration::from_millis(600));
    supervisor.spawn(fenced(stand.shell(1, "a.service", "exec sleep 1000")));
    supervisor.events_until(|kind| matches!(kind, EventKind::Executed { .. }));
    let end = now() + Duration::from_secs(2);
    let mut kill_at = Duration::ZERO;
    while now() < end {
        kill_at = grant(&stand, Duration::from_millis(600));
        thread::sleep(Duration::from_millis(50));
    }
    grant(&stand, Duration::from_millis(1));
    assert_eq!(supervisor.taken(), []);
    assert_fenced(&stand, &mut supervisor, "a.service", kill_at);
    stand.end(supervisor);
}

#[test]
fn without_any_grant_nothing_fenced_is_started() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    supervisor.spawn(fenced(stand.shell(1, "a.service", "exec sleep 1000")));
    let failed = supervisor.event().kind;
    assert!(matches!(failed, EventKind::SpawnFailed { step: ExecStep::Fence, .. }), "{failed:?}");
    assert_eq!(stand.processes_of("a.service").len(), 0);
    supervisor.spawn(stand.shell(2, "a.service", "exit 0"));
    assert_eq!(supervisor.exit_of(2), ExitOutcome::Code(0));
    stand.end(supervisor);
}

#[test]
fn what_was_ordered_under_an_earlier_grant_is_not_started_under_a_later_one() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let renewals = Renewals::begin(&stand, GRANT);
    let early = now();
    let run = |id| stand.shell(id, "a.service", "exec sleep 1000");
    supervisor.spawn(ordered(run(1), early));
    let kill_at = renewals.end_once_grown(&stand, &[("a.service", 1)]);
    assert_fenced(&stand, &mut supervisor, "a.service", kill_at);
    let between = now();
    grant(&stand, Duration::from_secs(60));
    // Also one that says nothing, as a supervisor from before there was this.
    for (id, at) in [(2, Duration::ZERO), (3, early), (4, between)] {
        supervisor.spawn(ordered(run(id), at));
        let (spawn_id, errno) = (SpawnId(id), 125);
        let refused = EventKind::SpawnFailed { spawn_id, step: ExecStep::Fence, errno };
        assert_eq!(supervisor.event().kind, refused);
    }
    assert_eq!(stand.processes_of("a.service").len(), 0);
    // What needs no grant may have been ordered at any time.
    supervisor.spawn(stand.shell(5, "b.service", "exit 5"));
    assert_eq!(supervisor.exit_of(5), ExitOutcome::Code(5));
    supervisor.spawn(fenced(stand.shell(6, "a.service", "exit 6")));
    assert_eq!(supervisor.exit_of(6), ExitOutcome::Code(6));
    stand.end(supervisor);
}

#[test]
fn a_supervisor_that_is_stopped_or_dead_changes_nothing() {
    for (mode, user, _) in firm_ways() {
        for signal in [Signal::STOP, Signal::KILL] {
            let stand = Stand::start(Setup { mode, user, ..Setup::default() });
            let mut supervisor = stand.supervisor();
            let renewals = Renewals::begin(&stand, GRANT);
            // Its output is read by nobody, and soon its pipes are full.
            let chatty = "trap '' TERM; sleep 1000 & while :; do echo 0123456789abcdef; done";
            supervisor.spawn(fenced(stand.shell(1, "storm.service", STORM)));
            supervisor.spawn(fenced(stand.shell(2, "chatty.service", chatty)));
            supervisor.spawn(stand.shell(3, "neighbour.service", "exec sleep 1000"));
            let grown = [("storm.service", 10), ("chatty.service", 2), ("neighbour.service", 1)];
            let kill_at = renewals.end_once_grown(&stand, &grown);
            kill_process(Pid::from_raw(supervisor.pid).unwrap(), signal).unwrap();
            wait_for(|| (now() >= kill_at).then_some(()));
            // Nobody answers the keeper, and nobody asks it: it ends them by itself.
            let left =
                || ["storm.service", "chatty.service"].map(|name| stand.processes_of(name).len());
            wait_for(|| (left() == [0, 0]).then_some(()));
            assert!(now() < kill_at + KILL_MAX);
            assert_eq!(stand.processes_of("neighbour.service").len(), 1);
            if signal == Signal::STOP {
                kill_process(Pid::from_raw(supervisor.pid).unwrap(), Signal::KILL).unwrap();
            }
            // The next one is told of it, however long ago it was.
            let mut next = stand.supervisor();
            let mut told = [false; 2];
            while told != [true; 2] {
                if let EventKind::Fenced { unit } = next.event().kind {
                    told[usize::from(unit.as_str() == "chatty.service")] = true;
                }
            }
            next.started.extend(supervisor.started.clone());
            stand.end(next);
        }
    }
}

#[test]
fn a_fenced_unit_between_two_runs_is_told_too() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    grant(&stand, GRANT);
    supervisor.started.insert(unit("a.service"));
    let state = StateChange { unit: unit("a.service"), state: Some(vec![1]) };
    let spawn = Action::Spawn(Box::new(fenced(stand.shell(1, "a.service", "exit 0"))));
    let remove = Action::RemoveGroup { unit: unit("a.service") };
    let (states, actions) = (vec![state], vec![spawn, remove]);
    supervisor.send(Commit { states, actions, ..Commit::default() });
    assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(0));
    supervisor.until_group_is_empty("a.service");
    assert_eq!(supervisor.event().kind, EventKind::Fenced { unit: unit("a.service") });
    stand.end(supervisor);
}

#[test]
fn a_keeper_of_fenced_units_goes_before_them() {
    const ORDINARY: i32 = 0;
    const ROUND_ROBIN: i32 = 2;
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let renewals = Renewals::begin(&stand, GRANT);
    assert_eq!(stand.policy(), ORDINARY);
    for id in 1..=2 {
        supervisor.spawn(fenced(stand.shell(id, "a.service", "exec sleep 1000")));
    }
    renewals.end_once_grown(&stand, &[("a.service", 2)]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(stand.policy(), ROUND_ROBIN);
    }
    for pid in stand.processes_of("a.service") {
        assert_eq!(policy_of(pid.unsigned_abs()), ORDINARY);
    }
    supervisor.until_group_is_empty("a.service");
    stand.end(supervisor);
}

#[test]
fn a_fork_bomb_is_ended() {
    for (mode, user, _) in firm_ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        // It takes the processor from whoever renews, too.
        let renewals = Renewals::begin(&stand, 4 * GRANT);
        let mut bomb = fenced(stand.shell(1, "bomb.service", BOMB));
        (bomb.stdout, bomb.stderr) = (Output::Null, Output::Null);
        supervisor.spawn(bomb);
        let kill_at = renewals.end_once_grown(&stand, &[("bomb.service", 200)]);
        assert_fenced(&stand, &mut supervisor, "bomb.service", kill_at);
        stand.end(supervisor);
    }
}

#[test]
fn a_new_keeper_ends_the_fenced_leftovers_and_leaves_the_others() {
    for (mode, user, _) in firm_ways() {
        let mut stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut first = stand.supervisor();
        let renewals = Renewals::begin(&stand, GRANT);
        first.spawn(fenced(stand.shell(1, "fenced.service", STORM)));
        first.spawn(stand.shell(2, "other.service", "exec sleep 1000"));
        // Once fenced and now not any more.
        first.spawn(fenced(stand.shell(3, "free.service", "exit 0")));
        first.until_group_is_empty("free.service");
        first.spawn(stand.shell(4, "free.service", "exec sleep 1000"));
        let grown = [("fenced.service", 10), ("other.service", 1), ("free.service", 1)];
        renewals.end_once_grown(&stand, &grown);
        grant(&stand, Duration::from_secs(120));
        let others = ["other.service", "free.service"].map(|name| stand.processes_of(name));
        stand.replace_keeper();

        let mut second = stand.supervisor();
        let fenced_event = EventKind::Fenced { unit: unit("fenced.service") };
        assert_eq!(second.event().kind, fenced_event, "{mode}");
        assert_eq!(second.event().kind, EventKind::LeftoverGone { unit: unit("fenced.service") });
        assert_eq!(stand.processes_of("fenced.service").len(), 0);
        let now = ["other.service", "free.service"].map(|name| stand.processes_of(name));
        assert_eq!(now, others, "{mode}");
        // The earlier keeper's grant is not the new one's.
        second.spawn(fenced(stand.shell(1, "fenced.service", "exit 0")));
        let failed = second.event().kind;
        assert!(matches!(failed, EventKind::SpawnFailed { step: ExecStep::Fence, .. }));
        second.act(
            ["fenced.service", "other.service", "free.service"]
                .map(|name| Action::KillLeftover { unit: unit(name) }),
        );
        second.events_until(|kind| matches!(kind, EventKind::LeftoverGone { .. }));
        second.events_until(|kind| matches!(kind, EventKind::LeftoverGone { .. }));
        kill_process(Pid::from_raw(first.pid).unwrap(), Signal::KILL).unwrap();
        stand.end(second);
    }
}
