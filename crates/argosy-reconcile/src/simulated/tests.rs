//! The simulated backend keeps the port's promises.

use std::collections::VecDeque;

use super::*;
use crate::conformance::{self, Harness};

struct Sim {
    backend: SimulatedBackend,
    events: VecDeque<BackendEvent>,
}

impl Harness for Sim {
    fn request(&mut self, request: BackendRequest) {
        let event = self.backend.request(request);
        self.events.push_back(event);
    }

    fn next_event(&mut self) -> Option<BackendEvent> {
        self.events.pop_front()
    }

    fn fence(&mut self, unit: &UnitName) {
        let event = self.backend.fence(unit);
        self.events.extend(event);
    }

    fn restart(&mut self) {
        self.events.clear();
        self.events.push_back(self.backend.snapshot());
    }
}

fn behaviour(text: &str) -> Behaviour {
    match text {
        conformance::FAILS => Behaviour::Fails,
        conformance::BROKEN => Behaviour::Broken,
        _ => Behaviour::Runs,
    }
}

#[test]
fn it_keeps_every_promise() {
    for (name, case) in conformance::CASES {
        let backend = SimulatedBackend::new(behaviour);
        let events = VecDeque::from([backend.snapshot()]);
        let mut sim = Sim { backend, events };
        if let Err(problem) = case(&mut sim) {
            panic!("{name}: {problem}");
        }
    }
}
