//! Notify sockets.

use argosy_keeper::{EventKind, SpawnId};

use crate::stand::{Setup, Stand, unit, ways};

#[test]
fn a_message_comes_with_its_sender_and_before_the_senders_exit() {
    for (mode, user, _) in ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        let mut record = stand.shell(1, "a.service", "");
        record.program = env!("CARGO_BIN_EXE_keeper-stand").to_owned();
        record.argv = ["stand", "notify", "READY=1\nSTATUS=it's up"].map(str::to_owned).to_vec();
        record.notify = true;
        supervisor.spawn(record);
        let exited = |kind: &EventKind| matches!(kind, EventKind::Exited { .. });
        let events = supervisor.events_until(exited);
        let EventKind::Spawned { pid, .. } = events[0] else { panic!("{events:?}") };
        let text = "READY=1\nSTATUS=it's up".to_owned();
        let notify = EventKind::Notify { unit: unit("a.service"), pid, text };
        assert_eq!(events[1..3], [EventKind::Executed { spawn_id: SpawnId(1) }, notify]);
        assert_eq!(events.len(), 4, "{events:?}");
        stand.end(supervisor);
    }
}

#[test]
fn a_flood_of_messages_waits_for_acknowledgements_and_none_is_lost() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let mut record = stand.shell(1, "a.service", "");
    record.program = env!("CARGO_BIN_EXE_keeper-stand").to_owned();
    record.argv = ["stand", "notify-flood", "6000"].map(str::to_owned).to_vec();
    record.notify = true;
    supervisor.spawn(record);
    // Without an acknowledgement the keeper holds a bounded number.
    supervisor.until(|supervisor| supervisor.seen > 4000);
    let mut next = 0;
    loop {
        let event = supervisor.event();
        supervisor.acknowledge(event.seq);
        match event.kind {
            EventKind::Notify { text, .. } => {
                assert_eq!(text, format!("STATUS={next}"));
                next += 1;
            }
            EventKind::Exited { .. } => break,
            _ => {}
        }
    }
    assert_eq!(next, 6000);
    stand.end(supervisor);
}
