//! No event is lost or given twice to a supervisor that acknowledges.

use std::time::Duration;

use super::EventLog;
use crate::{EventKind, SpawnId};

fn log_of(count: u64) -> EventLog {
    let mut log = EventLog::default();
    for id in 1..=count {
        log.push(Duration::ZERO, EventKind::Executed { spawn_id: SpawnId(id) });
    }
    log
}

fn send_all(log: &mut EventLog) -> Vec<u64> {
    std::iter::from_fn(|| log.next_to_send().map(|event| event.seq)).collect()
}

#[test]
fn a_new_supervisor_gets_exactly_what_is_not_acknowledged() {
    let mut log = log_of(5);
    assert_eq!(send_all(&mut log), [1, 2, 3, 4, 5]);
    assert_eq!(log.acknowledge(3).len(), 3);
    log.rewind();
    assert_eq!(send_all(&mut log), [4, 5]);
    log.push(Duration::ZERO, EventKind::Executed { spawn_id: SpawnId(6) });
    assert_eq!(send_all(&mut log), [6]);
    assert_eq!(log.acknowledge(6).len(), 3);
    assert_eq!((log.len(), log.acknowledged()), (0, 6));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_cut() {
    let mut log = log_of(3);
    assert_eq!(log.next_to_send().map(|event| event.seq), Some(1));
    assert_eq!(log.acknowledge(u64::MAX).len(), 1);
    assert_eq!(log.acknowledge(0).len(), 0);
    assert_eq!(send_all(&mut log), [2, 3]);
}
