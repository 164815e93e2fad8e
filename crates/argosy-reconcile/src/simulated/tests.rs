//! The simulated backend keeps the port's promises.

use std::collections::VecDeque;

use super::*;
use crate::conformance::{self, Harness};

struct Sim {
    backend: SimulatedBackend,
    events: VecDeque<BackendEvent>,
    now: Duration,
}

impl Harness for Sim {
    fn request(&mut self, connection: Connection, request: BackendRequest) {
        let event = self.backend.request(connection, request, self.now);
        self.events.extend(event);
    }

    fn now(&mut self) -> Duration {
        self.now
    }

    fn next_event(&mut self) -> Option<BackendEvent> {
        self.events.pop_front()
    }

    fn fence(&mut self, unit: &UnitName) {
        self.now = self.backend.grant().kill_at();
        let event = self.backend.fence(unit);
        self.events.extend(event);
        self.backend.grant().renew(self.now + GRANT, self.now);
    }

    fn restart(&mut self) {
        self.events.clear();
        self.events.push_back(self.backend.connect());
    }
}

const GRANT: Duration = Duration::from_secs(60);

fn behaviour(text: &str) -> Behaviour {
    match text {
        conformance::FAILS => Behaviour::Fails,
        conformance::BROKEN => Behaviour::Broken,
        conformance::WAITS => Behaviour::Waits,
        _ => Behaviour::Runs,
    }
}

#[test]
fn it_keeps_every_promise() {
    for (name, case) in conformance::CASES {
        let is_fenced = |text: &str| text == conformance::FENCED;
        let mut backend = SimulatedBackend::with_fences(behaviour, is_fenced);
        let now = Duration::from_secs(1000);
        backend.grant().renew(now + GRANT, now);
        let events = VecDeque::from([backend.connect()]);
        let mut sim = Sim { backend, events, now };
        if let Err(problem) = case(&mut sim) {
            panic!("{name}: {problem}");
        }
    }
}
