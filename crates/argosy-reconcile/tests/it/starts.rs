//! When the starts of units that depend on each other are asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{SubState, UnitStatus};
use argosy_reconcile::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, BackendEvent, BackendRequest, Connection,
    RunIdentity,
};

use crate::world::{World, machine_id, name};

const NOW: Duration = Duration::from_secs(1_000);

fn starts(effects: Vec<AgentEffect>) -> Vec<(String, RunIdentity)> {
    let steps = effects.into_iter().filter_map(|effect| match effect {
        AgentEffect::Step(step) => Some(step.action),
        _ => None,
    });
    let starts = steps.filter_map(|action| match action {
        BackendRequest::Start { unit, identity, .. } => Some((unit.to_string(), identity)),
        BackendRequest::Stop { .. } | BackendRequest::Forget { .. } => None,
    });
    starts.collect()
}

fn names(effects: Vec<AgentEffect>) -> Vec<String> {
    starts(effects).into_iter().map(|(unit, _)| unit).collect()
}

/// One machine that is told to run these, and an agent of it that has not begun.
fn told(units: &[(&str, &str)]) -> (World, AgentMachine) {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    for (unit, text) in units {
        world.submit(unit, text);
        world.start(unit);
    }
    let agent = AgentMachine::new(AgentConfig {
        machine: machine_id("m1"),
        address: "192.0.2.1".to_owned(),
        environment: BTreeMap::new(),
        disk: None,
        docker_is_ours: false,
    });
    (world, agent)
}

#[test]
fn what_a_unit_requires_is_asked_for_before_it() {
    let (world, mut agent) = told(&[
        ("a.service", "requires=c.service requires=b.service"),
        ("b.service", "requires=d.service"),
        ("c.service", "requires=d.service requires=nowhere.service"),
        ("d.service", "x"),
        // A circle.
        ("e.service", "requires=f.service"),
        ("f.service", "requires=e.service"),
    ]);
    let empty = AgentEvent::Backend(BackendEvent::Snapshot(Connection(1), Vec::new()));
    let asked = names(agent.handle(empty, world.view(), NOW));
    let place = |unit: &str| asked.iter().position(|other| other == unit).unwrap();
    assert_eq!(asked.len(), 6);
    for (first, then) in [("d", "b"), ("d", "c"), ("b", "a"), ("c", "a")] {
        let (first, then) = (format!("{first}.service"), format!("{then}.service"));
        assert!(place(&first) < place(&then), "{asked:?}");
    }
}

#[test]
fn what_a_unit_wants_after_it_is_asked_for_after_it() {
    let (world, mut agent) = told(&[
        ("a.service", "wants=b.service wants=c.service before=b.service before=c.service"),
        ("b.service", "requires=a.service"),
        ("c.service", "requires=a.service"),
        ("d.service", "wants=e.service"),
        ("e.service", "x"),
    ]);
    let empty = AgentEvent::Backend(BackendEvent::Snapshot(Connection(1), Vec::new()));
    let asked = names(agent.handle(empty, world.view(), NOW));
    assert_eq!(asked, ["a", "b", "c", "e", "d"].map(|unit| format!("{unit}.service")));
}

#[test]
fn a_refused_start_is_tried_again_as_soon_as_what_it_needs_is_there() {
    let (world, mut agent) = told(&[("a.service", "requires=b.service"), ("b.service", "x")]);
    let view = world.view();
    let empty = AgentEvent::Backend(BackendEvent::Snapshot(Connection(1), Vec::new()));
    let asked = starts(agent.handle(empty, view, NOW));
    let identity = asked[0].1;
    let message = "a.service needs b.service, which is not loaded".to_owned();
    let refused = || BackendEvent::Refused { unit: name("a.service"), message: message.clone() };
    assert_eq!(names(agent.handle(AgentEvent::Backend(refused()), view, NOW)), [""; 0]);
    // Not while nothing changes, also if the backend has taken it in all the same.
    let mut status = UnitStatus::dead(name("a.service"));
    (status.epoch, status.revision) = (identity.epoch, identity.revision);
    let taken = BackendEvent::Changed(status);
    assert_eq!(names(agent.handle(AgentEvent::Backend(taken), view, NOW)), [""; 0]);
    let mut needed = UnitStatus::dead(name("b.service"));
    (needed.epoch, needed.revision, needed.sub) =
        (identity.epoch, identity.revision, SubState::Running);
    let there = BackendEvent::Changed(needed);
    let effects = agent.handle(AgentEvent::Backend(there.clone()), view, NOW);
    let reports = effects.iter().filter_map(|effect| match effect {
        AgentEffect::Report(report) => Some(report.refused.len()),
        _ => None,
    });
    assert_eq!(reports.collect::<Vec<_>>(), [0], "it is on its way");
    assert_eq!(names(effects), ["a.service"]);
    // Refused for another reason: not before its time.
    assert_eq!(names(agent.handle(AgentEvent::Backend(refused()), view, NOW)), [""; 0]);
    assert_eq!(names(agent.handle(AgentEvent::Backend(there), view, NOW)), [""; 0]);
    let later = NOW + Duration::from_secs(31);
    assert_eq!(names(agent.handle(AgentEvent::Tick, view, later)), ["a.service"]);
}

/// The word that it is there may come before the refusal.
#[test]
fn a_refusal_that_comes_late_is_tried_again_too() {
    let (world, mut agent) = told(&[("a.service", "requires=b.service"), ("b.service", "x")]);
    let view = world.view();
    let empty = AgentEvent::Backend(BackendEvent::Snapshot(Connection(1), Vec::new()));
    let identity = starts(agent.handle(empty, view, NOW))[0].1;
    let mut needed = UnitStatus::dead(name("b.service"));
    (needed.epoch, needed.revision, needed.sub) =
        (identity.epoch, identity.revision, SubState::Running);
    let there = AgentEvent::Backend(BackendEvent::Changed(needed));
    assert_eq!(names(agent.handle(there, view, NOW)), [""; 0]);
    let message = "a.service needs b.service, which is not loaded".to_owned();
    let refused = BackendEvent::Refused { unit: name("a.service"), message };
    assert_eq!(names(agent.handle(AgentEvent::Backend(refused), view, NOW)), ["a.service"]);
}
