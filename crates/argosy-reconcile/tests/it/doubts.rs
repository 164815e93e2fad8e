//! What is on its way, not known yet, or known no more, one test a case.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{Term, UnitStatus, Want};
use argosy_reconcile::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, BackendEvent, BackendRequest,
    CURRENT_WITHIN, Connection, LeaderEffect, LeaderEvent, MachineReport, Signs,
};

use super::world::{World, machine_id, name};

/// An agent of `m1` beside the world's, whose requests go nowhere.
struct Lone {
    agent: AgentMachine,
    asked: Vec<BackendRequest>,
    report: Option<MachineReport>,
    /// Changes of the store that it has asked for just now.
    commits: usize,
}

impl Lone {
    fn new() -> Lone {
        let machine = machine_id("m1");
        let (address, environment) = ("192.0.2.1".to_owned(), BTreeMap::new());
        let agent = AgentMachine::new(AgentConfig {
            machine,
            address,
            environment,
            disk: None,
            docker_is_ours: false,
        });
        Lone { agent, asked: Vec::new(), report: None, commits: 0 }
    }

    fn handle(&mut self, world: &World, event: AgentEvent) {
        self.asked.clear();
        self.commits = 0;
        for effect in self.agent.handle(event, world.view(), world.now) {
            match effect {
                AgentEffect::Step(step) => self.asked.push(step.action),
                AgentEffect::Report(report) => self.report = Some(report),
                AgentEffect::Commit { .. } => self.commits += 1,
                AgentEffect::AwaitAcknowledged(_)
                | AgentEffect::Images(_)
                | AgentEffect::Probe { .. } => {}
            }
        }
    }

    fn connect(&mut self, world: &World, units: Vec<UnitStatus>) {
        self.handle(world, AgentEvent::Backend(BackendEvent::Snapshot(Connection(1), units)));
    }

    #[track_caller]
    fn assert_asks(&self, is_it: fn(&BackendRequest) -> bool) {
        assert!(self.asked.iter().any(is_it), "{:?}", self.asked);
    }
}

fn is_start(request: &BackendRequest) -> bool {
    matches!(request, BackendRequest::Start { .. })
}

fn is_stop(request: &BackendRequest) -> bool {
    matches!(request, BackendRequest::Stop { .. })
}

/// `a.service` is told to run on `m1`, whose daemon is away.
fn told(text: &str) -> World {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.down("m1");
    world.submit("a.service", text);
    world.start("a.service");
    world
}

#[test]
fn a_stop_is_not_confirmed_while_a_start_is_on_its_way() {
    let mut world = told("runs");
    let mut lone = Lone::new();
    lone.connect(&world, Vec::new());
    lone.assert_asks(is_start);
    world.edit(|edit| edit.stop(&name("a.service")).unwrap());
    lone.handle(&world, AgentEvent::ViewChanged);
    lone.assert_asks(is_stop);
    world.report(lone.report.clone().unwrap());
    let wants = |world: &World| {
        let stored = world.view().assignments().get(&machine_id("m1")).unwrap();
        stored.value.entries.iter().map(|entry| entry.want).collect::<Vec<_>>()
    };
    assert_eq!(wants(&world), [Want::Stop]);
    // The backend answers in order: the start, refused, then the stop.
    let (unit, message) = (name("a.service"), "no".to_owned());
    lone.handle(&world, AgentEvent::Backend(BackendEvent::Refused { unit, message }));
    lone.handle(&world, AgentEvent::Backend(BackendEvent::Gone(name("a.service"))));
    world.report(lone.report.unwrap());
    assert_eq!(wants(&world), []);
}

#[test]
fn a_start_that_was_not_passed_on_is_not_on_its_way() {
    let mut world = told("runs");
    let mut lone = Lone::new();
    lone.connect(&world, Vec::new());
    lone.assert_asks(is_start);
    lone.handle(&world, AgentEvent::Untaken(vec![name("a.service")]));
    assert_eq!(lone.asked, [], "not at once again");
    world.edit(|edit| edit.stop(&name("a.service")).unwrap());
    lone.handle(&world, AgentEvent::ViewChanged);
    assert_eq!(lone.asked, [], "there is nothing to stop");
    assert_eq!(lone.report.as_ref().unwrap().units, Some(Vec::new()));
    // Else it is asked for again after a while.
    let world = told("runs");
    let mut lone = Lone::new();
    lone.connect(&world, Vec::new());
    lone.handle(&world, AgentEvent::Untaken(vec![name("a.service")]));
    let mut later = told("runs");
    later.now += Duration::from_secs(10);
    lone.handle(&later, AgentEvent::Tick);
    lone.assert_asks(is_start);
}

#[test]
fn a_step_belongs_to_the_connection_and_the_time_it_was_decided_at() {
    let mut world = told("runs");
    let mut lone = Lone::new();
    let mut start = |world: &World, connection| {
        let event = AgentEvent::Backend(BackendEvent::Snapshot(connection, Vec::new()));
        let effects = lone.agent.handle(event, world.view(), world.now);
        let steps = effects.into_iter().filter_map(|effect| match effect {
            AgentEffect::Step(step) => Some(step),
            _ => None,
        });
        let steps = steps.map(|step| match step.action {
            BackendRequest::Start { ordered_at, .. } => (step.connection, ordered_at),
            other => panic!("{other:?}"),
        });
        steps.collect::<Vec<_>>()
    };
    assert_eq!(start(&world, Connection(7)), [(Connection(7), world.now)]);
    world.now += Duration::from_secs(3);
    assert_eq!(start(&world, Connection(8)), [(Connection(8), world.now)]);
}

#[test]
fn a_held_agent_starts_nothing_before_its_view_is_current() {
    let world = told("runs");
    let mut lone = Lone::new();
    lone.agent.hold_starts();
    lone.connect(&world, Vec::new());
    assert_eq!(lone.asked, []);
    assert_eq!(lone.report.as_ref().unwrap().awaiting.len(), 1);
    lone.handle(&world, AgentEvent::Current);
    lone.assert_asks(is_start);
}

#[test]
fn a_held_agent_without_a_quorum_starts_what_it_was_last_told() {
    let mut world = told("runs");
    let mut lone = Lone::new();
    lone.agent.hold_starts();
    lone.connect(&world, Vec::new());
    world.now += CURRENT_WITHIN - Duration::from_millis(1);
    lone.handle(&world, AgentEvent::Tick);
    assert_eq!(lone.asked, []);
    world.now += Duration::from_millis(1);
    assert!(lone.agent.wake_at().is_some_and(|at| at <= world.now));
    lone.handle(&world, AgentEvent::Tick);
    lone.assert_asks(is_start);
}

#[test]
fn a_refused_start_keeps_its_reason_while_it_is_tried_again() {
    let mut world = told("broken");
    let mut lone = Lone::new();
    lone.connect(&world, Vec::new());
    let (unit, message) = (name("a.service"), "line 3".to_owned());
    lone.handle(&world, AgentEvent::Backend(BackendEvent::Refused { unit, message }));
    world.now += Duration::from_secs(31);
    lone.handle(&world, AgentEvent::Tick);
    lone.assert_asks(is_start);
    assert_eq!(lone.report.unwrap().refused, [(name("a.service"), "line 3".to_owned())]);
}

#[test]
fn a_restart_waits_for_the_endpoint_of_a_run_that_is_on_its_way() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "announce=/a:80");
    world.start("a.service");
    assert_eq!(world.view().endpoints().len(), 1);
    // The machine restarts, and what it had published is still there.
    world.down("m1");
    let node = world.nodes.get_mut("m1").unwrap();
    node.backend.reboot();
    let dead = node.backend.status(&name("a.service")).unwrap().clone();
    let mut lone = Lone::new();
    lone.connect(&world, vec![dead]);
    lone.assert_asks(is_start);
    world.edit(|edit| edit.restart(&name("a.service")).unwrap());
    lone.handle(&world, AgentEvent::ViewChanged);
    assert_eq!(lone.asked, [], "it is still published");
}

#[test]
fn an_endpoint_that_the_store_shows_late_is_an_earlier_agent_s_and_stays() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.submit("a.service", "endpoint=web:80 health=tcp");
    world.start("a.service");
    let running = world.nodes["m1"].backend.status(&name("a.service")).unwrap().clone();
    // The next daemon's store does not know yet what was committed last.
    assert_eq!(world.view().endpoints().len(), 0);
    let mut lone = Lone::new();
    lone.connect(&world, vec![running]);
    let (machine, run) = world.probes.remove(&name("a.service")).unwrap();
    let unit = name("a.service");
    world.say(&machine, AgentEvent::Probed { unit, run, answers: Ok(()) });
    assert_eq!(world.view().endpoints().len(), 1);
    lone.handle(&world, AgentEvent::ViewChanged);
    assert_eq!(lone.commits, 0, "it is published already");
}

#[test]
fn a_leader_elected_again_has_heard_nobody() {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.add_machine("m2", &[]);
    world.down("m2");
    world.wait(Duration::from_secs(10));
    let lost = |world: &World| world.view().machines()[&machine_id("m2")].value.lost;
    assert!(lost(&world));
    let led = |term| LeaderEvent::Leadership(term);
    // As the granter of a new term says.
    let signs = Signs::default();
    world.leader.handle(led(None), world.builder.view(), &signs, world.now);
    let mut event = led(Some(Term(9)));
    for _ in 0..5 {
        let effects = world.leader.handle(event, world.builder.view(), &signs, world.now);
        event = LeaderEvent::ViewChanged;
        for effect in effects {
            let LeaderEffect::Commit { request, txn, .. } = effect else { continue };
            let outcome = world.apply(txn);
            event = LeaderEvent::Committed { request, outcome };
        }
    }
    assert!(lost(&world), "m2 was not heard since");
}

#[test]
fn a_run_that_was_given_out_anew_is_told_to_stop_although_its_entry_is_gone() {
    let mut world = World::new();
    for machine in ["m1", "m2", "m3"] {
        world.add_machine(machine, &[]);
    }
    world.submit("a.service", "runs");
    world.start("a.service");
    world.down("m1");
    world.wait(Duration::from_secs(10));
    // A report that is wrong: it confirms a stop that never happened.
    let generation = world.view().assignments()[&machine_id("m1")].value.generation;
    world.report(MachineReport {
        machine: machine_id("m1"),
        generation,
        units: Some(Vec::new()),
        refused: Vec::new(),
        awaiting: Vec::new(),
        unannounced: Vec::new(),
        orphans: Vec::new(),
        unanswered: Vec::new(),
        followed: None,
        listening: Default::default(),
        disk: None,
        preparing: Vec::new(),
        images: BTreeMap::new(),
    });
    let entries = |world: &World| world.view().assignments()[&machine_id("m1")].value.entries.len();
    assert_eq!(entries(&world), 0);
    assert!(world.nodes["m1"].backend.status(&name("a.service")).is_some(), "it still runs");
    world.up("m1");
    assert!(world.nodes["m1"].backend.status(&name("a.service")).is_none());
    assert_eq!(entries(&world), 0);
    assert!(world.nodes["m2"].backend.status(&name("a.service")).is_some());
}
