//! Loading, identities, and random histories with and without restarts of the supervisor.

use std::time::Duration;

use argosy_model::{
    Dependencies, Epoch, KillMode, RestartPolicy, ServiceSpec, ServiceType, SubState, Timeout,
    UnitRevision, UnixMicros,
};
use proptest::prelude::*;

use super::script::{CONFIG, World, command, name, names, service};
use crate::{ForgetRefusal, LoadRefusal, Loaded, Now, StoredError, StoredUnit, Supervisor};

const NOW: Now = Now { boottime: Duration::from_secs(1), wall: UnixMicros(1) };

fn given(text: &str, counter: u64, revision: u64) -> Loaded {
    let mut loaded = World::loaded("a", service(text), Dependencies::default());
    loaded.source.text = text.into();
    loaded.source.epoch = Epoch { incarnation: 1, counter };
    loaded.source.revision = UnitRevision(revision);
    loaded
}

#[test]
fn older_texts_and_rights_are_refused() {
    let mut supervisor = Supervisor::new(CONFIG);
    supervisor.load(given("/a", 2, 5), NOW).unwrap();
    let older = supervisor.load(given("/a", 1, 9), NOW);
    assert!(matches!(older, Err(LoadRefusal::OlderEpoch { .. })));
    let older = supervisor.load(given("/a", 2, 4), NOW);
    assert!(matches!(older, Err(LoadRefusal::OlderRevision { .. })));
    supervisor.load(given("/b", 2, 6), NOW).unwrap();
    supervisor.load(given("/c", 3, 1), NOW).unwrap();
    assert_eq!(&*supervisor.newest(&name("a")).unwrap().source.text, "/c");
}

#[test]
fn a_running_unit_keeps_its_text_until_it_starts_again() {
    let mut world = World::with("a", service("/a"));
    world.run("start a\nspawned");
    let newer = given("/b", 1, 2);
    world.supervisor.load(newer, NOW).unwrap();
    let revision = |world: &World| world.supervisor.status(&name("a")).unwrap().revision.0;
    assert_eq!(revision(&world), 0);
    let log = world.run("restart a\nexit main 0\nempty a");
    assert!(log.contains("spawn a.service /b"), "{log}");
    assert_eq!(revision(&world), 2);
}

#[test]
fn only_a_unit_at_rest_is_forgotten() {
    let mut world = World::with("a", service("/a"));
    world.run("start a");
    let refused = world.supervisor.forget(&name("a"));
    assert!(matches!(refused, Err(ForgetRefusal::Running { .. })));
    world.run("spawned\nstop a\nexit main 0\nempty a");
    world.supervisor.forget(&name("a")).unwrap();
    assert_eq!(world.supervisor.take_states(), [(name("a"), None)]);
    let refused = world.supervisor.forget(&name("a"));
    assert!(matches!(refused, Err(ForgetRefusal::NotLoaded { .. })));
}

#[test]
fn a_process_the_keeper_does_not_know_ended_nobody_knows_how() {
    let mut world = World::with("a", service("/a"));
    world.run("start a\nspawned");
    let stored = StoredUnit::decode(&world.blobs[&name("a")]).unwrap();
    let spec = given("/a", 0, 0).spec;
    let units = vec![stored.restore(spec, None).unwrap()];
    let (supervisor, _) = Supervisor::restore(CONFIG, units, &[], NOW);
    let status = supervisor.status(&name("a")).unwrap();
    assert_eq!(status.result, argosy_model::UnitResult::Unknown);
    assert_eq!(status.main_exit, Some(argosy_model::ExitOutcome::Unknown));
}

#[test]
fn states_of_a_newer_format_and_garbage_are_refused() {
    let world = World::with("a", service("/a"));
    let mut blob = world.blobs[&name("a")].clone();
    assert_eq!(blob[..2], [8, 1], "the format comes first");
    blob[1] = 2;
    assert!(matches!(StoredUnit::decode(&blob), Err(StoredError::Format { format: 2, .. })));
    assert!(matches!(StoredUnit::decode(b"\xff\xff"), Err(StoredError::Decode(_))));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Verb(usize, &'static str),
    Wait(u64),
    Spawned,
    Exit(usize, &'static str),
    Empty(usize),
    Fenced(usize),
    NoGrant,
    Notify(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let verbs = prop::sample::select(vec!["start", "stop", "restart", "reload", "reset-failed"]);
    let exits = prop::sample::select(vec!["0", "1", "sig 15", "sig 9", "core 11"]);
    let texts = prop::sample::select(vec!["READY=1", "STOPPING=1", "RELOADING=1", "WATCHDOG=1"]);
    prop_oneof![
        3 => (0..3usize, verbs).prop_map(|(unit, verb)| Step::Verb(unit, verb)),
        2 => (1..40u64).prop_map(Step::Wait),
        4 => Just(Step::Spawned),
        4 => (0..8usize, exits).prop_map(|(process, how)| Step::Exit(process, how)),
        3 => (0..3usize).prop_map(Step::Empty),
        1 => (0..3usize).prop_map(Step::Fenced),
        1 => Just(Step::NoGrant),
        1 => texts.prop_map(Step::Notify),
    ]
}

const UNITS: [&str; 3] = ["a", "b", "c"];

fn play(steps: &[Step], restart_always: bool) -> World {
    let mut world = World::new();
    let first = ServiceSpec {
        exec_start_pre: vec![command("/pre")],
        exec_stop: vec![command("/stop")],
        exec_reload: vec![command("/reload")],
        restart: RestartPolicy::Always,
        kill_mode: KillMode::Mixed,
        ..service("/a")
    };
    let second = ServiceSpec {
        service_type: ServiceType::Notify,
        notify_access: argosy_model::NotifyAccess::All,
        watchdog: Timeout::After(Duration::from_secs(30)),
        exec_stop_post: vec![command("/post")],
        restart: RestartPolicy::OnFailure,
        ..service("/b")
    };
    let third = ServiceSpec {
        service_type: ServiceType::Oneshot,
        exec_start: vec![command("/c1"), command("-/c2")],
        ..ServiceSpec::default()
    };
    let needs = Dependencies { requires: names("b"), after: names("b c"), ..Default::default() };
    let bound = Dependencies { binds_to: names("a"), conflicts: names("c"), ..Default::default() };
    world.load("a", first, needs);
    world.load("b", second, Dependencies::default());
    world.load("c", third, bound);
    world.restart_always = restart_always;
    let mut log = String::new();
    for step in steps {
        let line = match step {
            Step::Verb(unit, verb) => format!("{verb} {}", UNITS[*unit]),
            Step::Wait(seconds) => format!("+{seconds}s"),
            Step::Spawned => "spawned".to_owned(),
            Step::Exit(at, how) => {
                let born: Vec<_> =
                    world.processes.iter().filter(|(_, (_, _, born))| *born).collect();
                if born.is_empty() {
                    continue;
                }
                let spawn = *born[at % born.len()].0;
                world.log.clear();
                world.exit(spawn, &how.split(' ').collect::<Vec<_>>());
                log.push_str(&world.log);
                continue;
            }
            // The keeper tells it only when it is true.
            Step::Empty(unit) => {
                let unit = UNITS[*unit];
                let mut owners = world.processes.values().filter(|(_, _, born)| *born);
                if owners.any(|(owner, _, _)| *owner == name(unit)) {
                    continue;
                }
                format!("empty {unit}")
            }
            Step::Fenced(unit) => format!("fenced {}", UNITS[*unit]),
            Step::NoGrant => match world.processes.values().next_back() {
                Some((_, _, false)) => "no-grant".to_owned(),
                Some(_) | None => continue,
            },
            Step::Notify(text) => {
                if !world.processes.values().any(|(_, role, _)| *role == crate::ExecRole::Main) {
                    continue;
                }
                format!("notify {text}")
            }
        };
        log.push_str(&world.run(&line));
    }
    world.log = log;
    world
}

/// Lets everything that still runs end, as processes do that are signalled and groups that empty.
fn wind_down(world: &mut World) {
    world.restart_always = false;
    for _ in 0..200 {
        world.spawned();
        let all: Vec<_> = world.processes.keys().copied().collect();
        for spawn in all {
            world.exit(spawn, &["0"]);
        }
        for unit in UNITS {
            if !world.processes.values().any(|(owner, _, _)| *owner == name(unit)) {
                world.event(crate::Event::GroupEmpty { unit: name(unit) });
            }
        }
        if world.supervisor.is_idle() {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", world.supervisor.statuses().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_supervisor_killed_before_every_event_decides_the_same(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let once = play(&steps, false);
        let often = play(&steps, true);
        let without_jobs = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with("  job ")).map(str::to_owned).collect()
        };
        prop_assert_eq!(without_jobs(&often.log), without_jobs(&once.log));
        prop_assert_eq!(often.blobs, once.blobs);
    }

    #[test]
    fn a_shutdown_always_comes_to_rest(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = play(&steps, false);
        world.event(crate::Event::Shutdown);
        wind_down(&mut world);
        for status in world.supervisor.statuses() {
            prop_assert!(matches!(status.sub, SubState::Dead | SubState::Failed));
            prop_assert_eq!(status.main_pid, None);
        }
        prop_assert_eq!(world.supervisor.next_deadline(), None);
    }
}
