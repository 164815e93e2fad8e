//! Runs `tests/scripts/*.txt`: lines that begin with `> ` are commands, what follows is what
//! then happens. `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use expect_test::expect_file;

use argosy_kv::{DeleteRequest, KeyRange, Op, PutRequest, SpaceId, Txn};
use argosy_model::{Epoch, ImageState};
use argosy_reconcile::{AgentEvent, BackendEvent, BackendRequest};

use crate::world::{World, machine_id, name};

fn run(world: &mut World, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let rest = &words[1..];
    match words[0] {
        "machine" => {
            let labels: Vec<_> = rest[1..].iter().filter_map(|word| word.split_once('=')).collect();
            world.add_machine(rest[0], &labels);
        }
        "apply" => {
            world.edit(|edit| {
                let (unit, text) = (name(rest[0]), rest[1..].join(" "));
                edit.submit(&unit, &text, "root", argosy_model::UnixMicros(0), None).unwrap();
                edit.start(&unit).unwrap();
            });
        }
        "submit" => world.submit(rest[0], &rest[1..].join(" ")),
        "start" => world.start(rest[0]),
        "stop" => world.edit(|edit| edit.stop(&name(rest[0])).unwrap()),
        "restart" => world.edit(|edit| edit.restart(&name(rest[0])).unwrap()),
        "destroy" => world.edit(|edit| edit.destroy(&name(rest[0])).unwrap()),
        "scale" => {
            let count = rest[1].parse().unwrap();
            world.edit(|edit| edit.scale(&name(rest[0]), count).unwrap());
        }
        "cordon" => world.edit(|edit| edit.cordon(machine_id(rest[0]), true).unwrap()),
        // Its daemon is about to begin anew; `up` is the next one.
        "ask-long" => world.ask_long(rest[0], true),
        "down" => world.down(rest[0]),
        "up" => world.up(rest[0]),
        "reboot" => {
            world.down(rest[0]);
            world.nodes.get_mut(rest[0]).unwrap().backend.reboot();
            world.up(rest[0]);
        }
        "disconnect" => world.tell(rest[0], BackendEvent::Disconnected),
        "connect" => {
            let snapshot = world.nodes.get_mut(rest[0]).unwrap().backend.connect();
            world.tell(rest[0], snapshot);
        }
        "finish" | "crash" | "lose" => {
            let (machine, unit, now) = (rest[0], name(rest[1]), world.now);
            let backend = &mut world.nodes.get_mut(machine).unwrap().backend;
            let event = match words[0] {
                "finish" => backend.finish(&unit, now),
                "lose" => backend.lose(&unit),
                _ => backend.crash(&unit),
            };
            world.tell(machine, event.unwrap());
        }
        // Somebody on the machine itself stops it.
        "halt" => {
            let (unit, epoch) = (name(rest[1]), Epoch { incarnation: 9, counter: 0 });
            let backend = &mut world.nodes.get_mut(rest[0]).unwrap().backend;
            let (by_hand, stop) = (backend.connection(), BackendRequest::Stop { unit, epoch });
            let event = backend.request(by_hand, stop, world.now);
            world.tell(rest[0], event.unwrap());
        }
        "again" => {
            let unit = name(rest[1]);
            let status = world.nodes[rest[0]].backend.status(&unit).unwrap().clone();
            world.edit(|edit| edit.start_again(&unit, &status).unwrap());
            // Whoever looked at the same run asks again.
            world.edit(|edit| edit.start_again(&unit, &status).unwrap());
        }
        "put" | "delete" => {
            let key = rest[0].as_bytes().to_vec();
            let op = match rest.get(1) {
                Some(value) => {
                    Op::Put(SpaceId::User, PutRequest::new(key, value.as_bytes().to_vec()))
                }
                None => Op::Delete(SpaceId::User, DeleteRequest::new(KeyRange::key(key))),
            };
            world.apply(Txn::unconditional(vec![op]));
            world.settle();
        }
        // How a unit that was tried behaves, and which endpoints a machine's proxies follow.
        "accepts" | "is-silent" => {
            let (machine, run) = world.probes.remove(&name(rest[0])).unwrap();
            let why = || format!("it says {}", rest.get(1).unwrap_or(&"nothing"));
            let (unit, is_well) = (name(rest[0]), words[0] == "accepts");
            let answers = if is_well { Ok(()) } else { Err(why()) };
            world.say(&machine, AgentEvent::Probed { unit, run, answers });
        }
        "follow" => {
            let followed = match rest[1] {
                "none" => None,
                "old" => Some(0),
                "new" => Some(world.view().routes_revision()),
                other => panic!("unknown word {other}"),
            };
            world.say(rest[0], AgentEvent::Followed(followed));
        }
        "listens" => {
            let ports = rest[1..].iter().map(|port| port.parse().unwrap()).collect();
            world.say(rest[0], AgentEvent::Listening(ports));
        }
        "image" => {
            let text = rest.get(3..).unwrap_or_default().join(" ");
            let state = match rest[2] {
                "here" => Some(ImageState::Here),
                "coming" => Some(ImageState::Coming(text)),
                "failed" => Some(ImageState::Failed(text)),
                "unknown" => None,
                other => panic!("unknown word {other}"),
            };
            world.image(rest[0], rest[1], state);
        }
        "fill" => world.fill(rest[0], rest[1].parse().unwrap(), false),
        "elect" => world.elect(),
        "cut-off" => world.cut_off(rest[0]),
        "reach" => world.reach(rest[0]),
        "hold-up" => world.hold_up(),
        "go-on" => world.go_on(),
        "answers" => {
            world.only_agents = rest.get(1) == Some(&"agents");
            world.answers_lost = match rest[0] {
                "come" => None,
                "lost" => Some(true),
                "never" => Some(false),
                other => panic!("unknown word {other}"),
            };
        }
        "wait" => world.wait(Duration::from_millis(rest[0].parse().unwrap())),
        "show" => show(world),
        other => panic!("unknown command {other}"),
    }
    std::mem::take(&mut world.log)
}

fn show(world: &mut World) {
    let mut out = String::new();
    for (machine, node) in &world.nodes {
        let BackendEvent::Snapshot(_, units) = node.backend.snapshot() else { unreachable!() };
        for status in units {
            let (unit, sub) = (&status.unit, status.sub);
            let (epoch, revision, restart) = (status.epoch, status.revision, status.restart);
            let restart = restart.0;
            writeln!(
                out,
                "{machine}: {unit} {sub}, epoch {epoch}, revision {revision}, restart {restart}"
            )
            .unwrap();
        }
    }
    for (machine, node) in &world.nodes {
        let id = node.agent.as_ref().map(|agent| agent.machine());
        let report = id.and_then(|id| world.leader.reports().get(&id));
        for it in report.iter().flat_map(|report| &report.preparing) {
            writeln!(out, "{machine}: {} waits: {machine} {}", it.unit, it.text).unwrap();
        }
    }
    for (unit, stored) in world.view().reasons() {
        let reason = &stored.value;
        writeln!(out, "{unit}: {}: {}", reason.kind, reason.sentence).unwrap();
        for line in &reason.candidates {
            writeln!(out, "  {line}").unwrap();
        }
    }
    world.log += &out;
}

#[test]
fn scripts_happen_as_they_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut world = World::new();
        world.log.clear();
        let mut out = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                writeln!(out, "{line}").unwrap();
            } else if let Some(command) = line.strip_prefix("> ") {
                writeln!(out, "> {command}").unwrap();
                out += &run(&mut world, command);
            }
        }
        expect_file![file].assert_eq(&out);
    }
}
