//! Every word of the model survives the way through JSON.

use super::*;

fn sample() -> UnitStatus {
    let mut status = UnitStatus::dead(UnitName::new("web@1.service").unwrap());
    status.revision = UnitRevision(3);
    status.epoch = Epoch { incarnation: 1, counter: 7 };
    status.main_pid = Some(42);
    status.main_start_ticks = Some(991);
    status.restarts = 2;
    status.restart = RestartCount(5);
    status.invocation = Some(InvocationId(0xabc));
    status.since = UnixMicros(1_700_000_000_000_000);
    status.status_text = Some("serving".into());
    status
}

#[test]
fn a_status_survives_the_way_through_json() {
    let exits = [
        None,
        Some(ExitOutcome::Code(203)),
        Some(ExitOutcome::Signal { signal: 9, core: false }),
        Some(ExitOutcome::Unknown),
    ];
    for sub in SUBS {
        for result in RESULTS {
            for main_exit in exits {
                let status = UnitStatus { sub, result, main_exit, ..sample() };
                for view in
                    [UnitStatusView::from(&status), UnitStatusView::for_any_version(&status)]
                {
                    let json = serde_json::to_string(&view).unwrap();
                    let view: UnitStatusView = serde_json::from_str(&json).unwrap();
                    assert_eq!(UnitStatus::try_from(&view).unwrap(), status, "{json}");
                }
            }
        }
    }
}

#[test]
fn an_older_version_reads_an_end_by_the_fence_as_an_unknown_one() {
    let status = UnitStatus { result: UnitResult::Fenced, sub: SubState::Failed, ..sample() };
    assert_eq!(UnitStatusView::from(&status).result, "fenced");
    let view = UnitStatusView::for_any_version(&status);
    assert_eq!((view.result.as_str(), view.fenced), ("unknown", true));
    // One that does not have the field.
    let older = UnitStatusView { fenced: false, ..view };
    assert_eq!(UnitStatus::try_from(&older).unwrap().result, UnitResult::Unknown);
}

#[test]
fn an_unknown_word_is_named() {
    let mut view = UnitStatusView::from(&sample());
    view.sub = "hovering".into();
    let error = UnitStatus::try_from(&view).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the status of web@1.service has an unknown sub state \"hovering\""
    );
}
