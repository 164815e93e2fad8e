//! The rules that are never broken, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_kv::{DeleteRequest, KeyRange, Op, PutRequest, SpaceId, Txn};
use argosy_model::{Epoch, Generation, SubState, Term, UnitResult, UnitStatus};
use argosy_reconcile::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, BackendEvent, LeaderConfig, LeaderEvent,
    LeaderMachine, MachineReport, RunIdentity, Signs,
};
use argosy_registry::{Edit, Outcome};

use crate::world::{TIMING, World, machine_id, name};

fn running() -> World {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.add_machine("m2", &[]);
    for unit in ["a.service", "b.service", "c.service"] {
        world.submit(unit, &format!("announce=/{unit}:80"));
        world.start(unit);
    }
    world.wait(Duration::from_secs(3));
    world.log.clear();
    world
}

fn everything(world: &World) -> Vec<(String, UnitStatus)> {
    let mut all = Vec::new();
    for (machine, node) in &world.nodes {
        let BackendEvent::Snapshot(_, units) = node.backend.snapshot() else { unreachable!() };
        all.extend(units.into_iter().map(|status| (machine.clone(), status)));
    }
    all
}

fn steps(world: &World) -> Vec<&str> {
    world.log.lines().filter(|line| line.starts_with('m')).collect()
}

#[test]
fn an_agent_that_starts_over_running_units_does_nothing() {
    let mut world = running();
    let before = everything(&world);
    assert_eq!(before.len(), 3);
    for machine in ["m1", "m2"] {
        world.down(machine);
        world.up(machine);
    }
    world.elect();
    world.wait(Duration::from_secs(60));
    assert_eq!(world.log, format!("leader: lead with term {}\n", world.term));
    assert_eq!(everything(&world), before);
}

#[test]
fn a_registry_at_rest_is_not_written() {
    let mut world = running();
    let revision = world.state.revision(SpaceId::Registry);
    world.wait(Duration::from_secs(600));
    assert_eq!(world.state.revision(SpaceId::Registry), revision);
}

/// Everything of the registry goes, in one transaction or key by key.
#[test]
fn an_empty_registry_stops_nothing() {
    for prefix in ["", "units/", "assignments/", "revisions/", "machines/"] {
        let mut world = running();
        let before = everything(&world);
        let range = KeyRange::prefix(prefix.as_bytes().to_vec());
        let delete = Op::Delete(SpaceId::Registry, DeleteRequest::new(range));
        world.apply(Txn::unconditional(vec![delete]));
        world.settle();
        world.wait(Duration::from_secs(60));
        world.down("m1");
        world.up("m1");
        world.wait(Duration::from_secs(60));
        assert_eq!(steps(&world), Vec::<&str>::new(), "{prefix}: {}", world.log);
        assert_eq!(everything(&world), before, "{prefix}");
    }
}

#[test]
fn records_that_cannot_be_read_stop_nothing() {
    for key in ["units/a.service", "assignments/00000001000000000000000000000000", "leader"] {
        let mut world = running();
        let before = everything(&world);
        let garbage = PutRequest::new(key.as_bytes().to_vec(), vec![0xff, 0xff]);
        world.apply(Txn::unconditional(vec![Op::Put(SpaceId::Registry, garbage)]));
        world.settle();
        world.wait(Duration::from_secs(60));
        assert_eq!(steps(&world), Vec::<&str>::new(), "{key}: {}", world.log);
        assert_eq!(everything(&world), before, "{key}");
    }
}

#[test]
fn an_unreadable_assignment_gives_nothing_away_twice() {
    let mut world = running();
    let key = format!("assignments/{}", machine_id("m1"));
    let garbage = PutRequest::new(key.into_bytes(), vec![0xff, 0xff]);
    world.apply(Txn::unconditional(vec![Op::Put(SpaceId::Registry, garbage)]));
    world.settle();
    world.wait(Duration::from_secs(60));
    let copies = everything(&world);
    let mut units: Vec<_> = copies.iter().map(|(_, status)| &status.unit).collect();
    units.sort();
    units.dedup();
    assert_eq!(units.len(), copies.len(), "{copies:?}");
    let sentences = world.view().reasons().values().map(|stored| stored.value.sentence.as_str());
    assert!(sentences.clone().all(|s| s.starts_with("everything is on hold")));
    assert!(sentences.count() > 0);
}

/// The record of a machine's assignment goes, or one of a week ago comes back.
#[test]
fn a_lost_entry_is_written_down_again() {
    for rolled_back in [false, true] {
        let mut world = World::new();
        world.add_machine("m1", &[]);
        let key = format!("assignments/{}", machine_id("m1")).into_bytes();
        for unit in ["a.service", "b.service"] {
            world.submit(unit, "x");
        }
        world.start("a.service");
        let old = world.state.get(SpaceId::Registry, &key).unwrap().value.clone();
        world.start("b.service");
        let before = everything(&world);
        assert_eq!(before.len(), 2);
        let op = match rolled_back {
            false => Op::Delete(SpaceId::Registry, DeleteRequest::new(KeyRange::key(key))),
            true => Op::Put(SpaceId::Registry, PutRequest::new(key, old)),
        };
        world.apply(Txn::unconditional(vec![op]));
        world.settle();
        world.wait(Duration::from_secs(5));
        assert_eq!(everything(&world), before);
        // What the machine is told from now on reaches it.
        for unit in ["a.service", "b.service"] {
            world.edit(|edit| edit.stop(&name(unit)).unwrap());
        }
        assert_eq!(everything(&world), [], "{}", world.log);
    }
}

#[test]
fn a_unit_without_an_entry_is_reported_and_left_alone() {
    let mut world = running();
    let mut stray = UnitStatus::dead(name("stray.service"));
    stray.epoch = Epoch { incarnation: 1, counter: 1 };
    stray.sub = SubState::Running;
    world.tell("m1", BackendEvent::Changed(stray));
    world.wait(Duration::from_secs(60));
    assert_eq!(steps(&world), Vec::<&str>::new());
    let report = &world.leader.reports()[&machine_id("m1")];
    assert_eq!(report.orphans, [name("stray.service")]);
}

#[test]
fn a_run_of_a_later_epoch_is_neither_stopped_nor_replaced() {
    for stop in [false, true] {
        let mut world = running();
        let machine =
            world.nodes.iter().find(|(_, node)| node.backend.status(&name("a.service")).is_some());
        let machine = machine.unwrap().0.clone();
        let mut later = world.nodes[&machine].backend.status(&name("a.service")).unwrap().clone();
        later.epoch.counter += 5;
        world.tell(&machine, BackendEvent::Changed(later));
        if stop {
            world.edit(|edit| edit.stop(&name("a.service")).unwrap());
        }
        world.wait(Duration::from_secs(60));
        assert_eq!(steps(&world), Vec::<&str>::new(), "{}", world.log);
    }
}

#[test]
fn a_restart_happens_once_whoever_dies_in_between() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "x");
    world.start("a.service");
    let runs = world.nodes["m1"].backend.runs();
    world.down("m1");
    world.edit(|edit| edit.restart(&name("a.service")).unwrap());
    world.elect();
    world.up("m1");
    assert_eq!(world.nodes["m1"].backend.runs(), runs + 1);
    world.down("m1");
    world.elect();
    world.up("m1");
    world.wait(Duration::from_secs(60));
    assert_eq!(world.nodes["m1"].backend.runs(), runs + 1);
}

#[test]
fn lost_answers_lead_to_nothing_twice() {
    for done in [true, false] {
        let mut world = World::new();
        world.add_machine("m1", &[]);
        world.add_machine("m2", &[]);
        for number in 0..50 {
            world.submit(&format!("u{number}.service"), &format!("announce=/u{number}:1"));
        }
        world.answers_lost = Some(done);
        for number in 0..50 {
            world.start(&format!("u{number}.service"));
        }
        world.wait(Duration::from_secs(30));
        world.answers_lost = None;
        world.wait(Duration::from_secs(30));
        let all = everything(&world);
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|(_, status)| status.sub == SubState::Running));
        let runs: u32 = world.nodes.values().map(|node| node.backend.runs()).sum();
        assert_eq!(runs, 50);
        assert!(world.view().reasons().is_empty());
    }
}

#[test]
fn a_stop_is_confirmed_only_by_who_knows_of_it() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "x");
    world.start("a.service");
    let known = world.leader.reports()[&machine_id("m1")].clone();
    world.down("m1");
    world.edit(|edit| edit.stop(&name("a.service")).unwrap());
    let told = |world: &World| world.view().assignments()[&machine_id("m1")].value.entries.len();
    // One that was on its way, one of a daemon without its supervisor, one that says it runs.
    let generation = Generation(known.generation.0 + 1);
    let early = MachineReport { units: Some(Vec::new()), ..known.clone() };
    let blind = MachineReport { units: None, generation, ..known.clone() };
    let running = MachineReport { generation, ..known };
    for report in [early, blind, running.clone()] {
        world.report(report);
        assert_eq!(told(&world), 1, "{}", world.log);
    }
    world.report(MachineReport { units: Some(Vec::new()), ..running });
    assert_eq!(told(&world), 0);
}

#[test]
fn an_assignment_of_yesterday_is_not_followed() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "x");
    world.start("a.service");
    let yesterday = world.view().clone();
    world.edit(|edit| edit.stop(&name("a.service")).unwrap());
    let today = world.view().clone();
    let now = world.now;
    let agent = world.nodes.get_mut("m1").unwrap().agent.as_mut().unwrap();
    let steps = |effects: Vec<AgentEffect>| {
        effects.into_iter().filter(|effect| matches!(effect, AgentEffect::Step(_))).count()
    };
    assert_eq!(steps(agent.handle(AgentEvent::ViewChanged, &yesterday, now)), 0);
    assert_eq!(steps(agent.handle(AgentEvent::ViewChanged, &today, now)), 0);
}

#[test]
fn a_plan_ends_where_somebody_else_changes_the_registry() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    let units: Vec<String> = (0..200).map(|number| format!("u{number:03}.service")).collect();
    for unit in &units {
        world.submit(unit, "x");
    }
    let mut all = Edit::new(world.view());
    let mut last = Edit::new(world.view());
    for unit in &units[..199] {
        all.start(&name(unit)).unwrap();
    }
    last.start(&name(&units[199])).unwrap();
    let (all, last) = (all.finish().unwrap(), last.finish().unwrap());
    world.apply(last);
    // The plan for all of them takes several transactions; the last unit is stopped again just
    // before the first.
    let mut stop = Edit::new(world.view());
    stop.stop(&name(&units[199])).unwrap();
    world.in_between = stop.finish();
    world.apply(all);
    world.settle();
    assert_eq!(everything(&world).len(), 199);
    assert!(!world.log.contains("start u199"), "{}", world.log);
}

/// The keeper was lost: what it ran may run on.
#[test]
fn a_unit_of_unknown_outcome_is_not_started_again() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "x");
    world.start("a.service");
    let backend = &world.nodes["m1"].backend;
    let running = backend.status(&name("a.service")).unwrap();
    let RunIdentity { epoch, revision, restart } = RunIdentity::of(running);
    let dead = UnitStatus::dead(name("a.service"));
    let unknown = UnitStatus { epoch, revision, restart, result: UnitResult::Unknown, ..dead };
    world.log.clear();
    let connection = world.nodes["m1"].backend.connection();
    world.tell("m1", BackendEvent::Snapshot(connection, vec![unknown]));
    assert_eq!(steps(&world), Vec::<&str>::new());
    assert_eq!(
        world.view().reasons()[&name("a.service")].value.sentence,
        "it ended on m1: its result is unknown"
    );
}

/// Its machine lost the cluster's grant, and has it again.
#[test]
fn a_unit_ended_by_its_fence_is_started_again_as_the_same_run() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "fence");
    world.start("a.service");
    let status = |world: &World| world.nodes["m1"].backend.status(&name("a.service")).cloned();
    let before = status(&world).unwrap();
    world.log.clear();
    let backend = &mut world.nodes.get_mut("m1").unwrap().backend;
    let event = backend.fence(&name("a.service")).unwrap();
    world.tell("m1", event);
    assert_eq!(steps(&world).len(), 1, "{}", world.log);
    let after = status(&world).unwrap();
    assert_eq!(after.sub, SubState::Running);
    assert_eq!(RunIdentity::of(&after), RunIdentity::of(&before));
    assert_ne!(after.invocation, before.invocation);
}

/// Without a grant every start ends by the fence again.
#[test]
fn a_start_that_ends_by_the_fence_is_not_repeated_at_once() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "fence");
    world.start("a.service");
    let view = world.view().clone();
    let mut now = world.now;
    let running = world.nodes["m1"].backend.status(&name("a.service")).unwrap().clone();
    let fenced = UnitStatus { result: UnitResult::Fenced, sub: SubState::Failed, ..running };
    let begun = UnitStatus { result: UnitResult::Success, sub: SubState::Start, ..fenced.clone() };
    let agent = world.nodes.get_mut("m1").unwrap().agent.as_mut().unwrap();
    let mut told = |status: &UnitStatus, now| {
        let event = AgentEvent::Backend(BackendEvent::Changed(status.clone()));
        let effects = agent.handle(event, &view, now);
        effects.into_iter().filter(|effect| matches!(effect, AgentEffect::Step(_))).count()
    };
    assert_eq!(told(&fenced, now), 1);
    for _ in 0..3 {
        assert_eq!((told(&begun, now), told(&fenced, now)), (0, 0));
    }
    now += Duration::from_secs(10);
    assert_eq!(told(&fenced, now), 1);
}

#[test]
fn a_leader_waits_until_it_sees_what_it_has_done() {
    let world = World::new();
    let view = world.view();
    let config = LeaderConfig { member: 9, incarnation: 1, timing: TIMING };
    let signs = Signs::default();
    let mut leader = LeaderMachine::new(config);
    let lead = LeaderEvent::Leadership(Some(Term(7)));
    assert_eq!(leader.handle(lead, view, &signs, world.now).len(), 1);
    let outcome = Outcome::Done(view.revision() + 1);
    let done = LeaderEvent::Committed { request: 1, outcome };
    assert_eq!(leader.handle(done, view, &signs, world.now), []);
    assert_eq!(leader.handle(LeaderEvent::Tick, view, &signs, world.now), []);
}

#[test]
fn a_deposed_leader_changes_nothing() {
    let mut world = running();
    world.elect();
    world.elect();
    // Now one whose term is behind the stored mark.
    world.term -= 2;
    world.elect();
    world.log.clear();
    world.edit(|edit| edit.stop(&name("a.service")).unwrap());
    world.wait(Duration::from_secs(60));
    assert_eq!(steps(&world), Vec::<&str>::new(), "{}", world.log);
}

#[test]
fn addresses_of_both_kinds_are_announced() {
    for (address, value) in [("192.0.2.7", "192.0.2.7:80"), ("2001:db8::7", "[2001:db8::7]:80")] {
        let mut world = World::new();
        world.add_machine("m1", &[]);
        let agent = AgentMachine::new(AgentConfig {
            machine: machine_id("m1"),
            address: address.to_owned(),
            environment: BTreeMap::new(),
            disk: None,
            docker_is_ours: false,
        });
        world.nodes.get_mut("m1").unwrap().agent = Some(agent);
        let connection = world.nodes["m1"].backend.connection();
        world.tell("m1", BackendEvent::Snapshot(connection, Vec::new()));
        world.submit("a.service", "announce=/a:80");
        world.start("a.service");
        assert!(world.log.contains(&format!("key /a = {value}\n")), "{}", world.log);
    }
}

#[test]
fn units_know_their_epoch_and_machine() {
    let world = running();
    let (machine, node) = world
        .nodes
        .iter()
        .find(|(_, node)| node.backend.status(&name("b.service")).is_some())
        .unwrap();
    let epoch = node.backend.status(&name("b.service")).unwrap().epoch.to_string();
    let environment = node.backend.environment(&name("b.service"));
    let expected = [
        ("ARGOSY_ADDRESS", format!("192.0.2.{}", &machine[1..])),
        ("ARGOSY_EPOCH", epoch),
        ("ARGOSY_MACHINE", machine_id(machine).to_string()),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(environment, expected);
}

#[test]
fn a_thousand_units_are_placed_in_chunks() {
    let mut world = World::new();
    for machine in ["m1", "m2", "m3"] {
        world.add_machine(machine, &[]);
    }
    world.submit("web@.service", "replicas=1000");
    world.start("web@.service");
    assert_eq!(everything(&world).len(), 1000);
    let commits = world.view().assignments().values().map(|a| a.value.generation.0);
    // Every chunk touches every machine: about a thousand over the ninety that fit.
    assert!(commits.max().unwrap() < 40);
}

#[test]
fn no_long_grant_is_sent_while_its_mark_may_be_on_its_way_out() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    let id = machine_id("m1");
    let marked = |world: &World| world.view().machines()[&id].value.long_grant;
    let sent_at = |world: &World| world.granter.signs().of(id).unwrap().long_granted_at;
    world.ask_long("m1", true);
    world.wait(Duration::from_secs(2));
    world.ask_long("m1", false);
    world.wait(Duration::from_secs(50));
    assert!(marked(&world) && sent_at(&world) > Duration::ZERO);
    // Whether the mark was taken back nobody knows; it was not.
    let before = sent_at(&world);
    world.answers_lost = Some(false);
    world.wait(Duration::from_secs(20));
    world.ask_long("m1", true);
    world.wait(Duration::from_secs(20));
    assert!(marked(&world));
    assert_eq!(sent_at(&world), before);
    // Once it is gone, it is put there anew.
    world.answers_lost = None;
    world.wait(Duration::from_secs(5));
    assert!(marked(&world) && sent_at(&world) > before);
}
