//! Runs `tests/scripts/*.txt`: lines that begin with `> ` are commands, what follows is what
//! they print. `UPDATE_EXPECT=1` writes the output anew.

use std::fmt::Write;
use std::path::PathBuf;

use expect_test::expect_file;

use argosy_model::{MachineState, RestartCount, UnitRevision, Wanted};
use argosy_scheduler::{PlanInput, PlanMachine, PlanUnit, check_plan, plan};

use crate::cluster::{carry_out, confirm, images, machine, machine_id, name, placement, unit_of};

struct Session {
    input: PlanInput,
    epoch: u64,
}

impl Session {
    fn machine(&mut self, text: &str) -> &mut PlanMachine {
        let id = machine_id(text);
        self.input.machines.iter_mut().find(|facts| facts.machine.id == id).unwrap()
    }

    fn unit(&mut self, text: &str) -> &mut PlanUnit {
        let name = name(text);
        self.input.units.iter_mut().find(|unit| unit.name == name).unwrap()
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(verb), rest) = (words.first(), words.get(1..).unwrap_or(&[])) else {
            return String::new();
        };
        match *verb {
            "machine" => {
                let labels: Vec<_> = rest[1..].iter().filter_map(|w| w.split_once('=')).collect();
                self.input.machines.push(machine(rest[0], &labels));
            }
            "ready" => self.machine(rest[0]).machine.state = MachineState::Ready,
            "cordon" => self.machine(rest[0]).machine.state = MachineState::Cordoned,
            "lost" => self.machine(rest[0]).machine.state = MachineState::Lost,
            "disk-full" => self.machine(rest[0]).machine.disk_full = true,
            "disk-free" => self.machine(rest[0]).machine.disk_full = false,
            "fenced" => self.machine(rest[0]).fence_passed = true,
            "label" => {
                let (key, value) = rest[1].split_once('=').unwrap();
                let labels = &mut self.machine(rest[0]).machine.metadata;
                labels.insert(key.to_owned(), value.to_owned());
            }
            "unit" => {
                let new = unit_of(rest[0], placement(&rest[1..]), &images(&rest[1..]));
                match self.input.units.iter_mut().find(|unit| unit.name == new.name) {
                    Some(old) => {
                        old.spec = new.spec;
                        old.revision = UnitRevision(old.revision.0 + 1);
                    }
                    None => self.input.units.push(new),
                }
            }
            "broken" => self.unit(rest[0]).spec = Err(rest[1..].join(" ")),
            "stop" => {
                self.unit(rest[0]).wanted = Wanted::Stop(format!("{} was stopped", rest[0]));
            }
            "start" => self.unit(rest[0]).wanted = Wanted::Run,
            "unknown" => self.unit(rest[0]).wanted = Wanted::Unknown(rest[1..].join(" ")),
            "restart" => {
                let unit = self.unit(rest[0]);
                unit.restart = RestartCount(unit.restart.0 + 1);
            }
            "moves" => self.input.moves_max = rest[0].parse().unwrap(),
            "hold" => self.input.hold = Some(rest.join(" ")).filter(|why| !why.is_empty()),
            "hold-moves" => {
                self.input.hold_moves = Some(rest.join(" ")).filter(|why| !why.is_empty());
            }
            "unready" => {
                self.unit(rest[0]).placed.iter_mut().for_each(|placed| placed.ready = false);
            }
            "confirm" => confirm(&mut self.input),
            "plan" => return self.plan(),
            other => panic!("unknown command {other}"),
        }
        String::new()
    }

    fn plan(&mut self) -> String {
        let plan = plan(&self.input);
        let mut out = String::new();
        for step in &plan.steps {
            writeln!(out, "{step}").unwrap();
        }
        for (machine, images) in &plan.standby {
            let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(" ") };
            writeln!(out, "{} stands by with {names}", machine.short()).unwrap();
        }
        for (unit, reason) in &plan.reasons {
            writeln!(out, "{unit}: {}: {}", reason.kind, reason.sentence).unwrap();
            for line in &reason.candidates {
                writeln!(out, "  {line}").unwrap();
            }
        }
        for (unit, machine, why) in &plan.report.skipped {
            writeln!(out, "{unit} not on {}: {why}", machine.short()).unwrap();
        }
        for violation in check_plan(&self.input, &plan) {
            writeln!(out, "VIOLATION {violation}").unwrap();
        }
        let report = &plan.report;
        writeln!(
            out,
            "wanted {}, placed {}, moving {}",
            report.wanted, report.placed, report.moving
        )
        .unwrap();
        carry_out(&mut self.input, &plan, &mut self.epoch);
        out
    }
}

#[test]
fn scripts_print_what_they_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let input = PlanInput { moves_max: 10, ..PlanInput::default() };
        let mut session = Session { input, epoch: 0 };
        let mut out = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                writeln!(out, "{line}").unwrap();
            } else if let Some(command) = line.strip_prefix("> ") {
                writeln!(out, "> {command}").unwrap();
                out += &session.run(command);
            }
        }
        expect_file![file].assert_eq(&out);
    }
}
