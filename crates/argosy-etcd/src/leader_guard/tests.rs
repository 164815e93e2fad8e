//! When a missing leader ends a request or stream.

use argosy_store::MemberId;
use tonic::service::Interceptor;

use super::*;

const LED: Leadership =
    Leadership { term: argosy_model::Term(2), leader: Some(MemberId(1)), is_leader: true };

fn leaderless() -> Leadership {
    Leadership { leader: None, is_leader: false, ..LED }
}

#[test]
fn only_requests_that_ask_for_a_leader_are_refused() {
    let (sender, receiver) = watch::channel(leaderless());
    let mut guard = LeaderGuard(receiver);
    let asking = |value: &'static str| {
        let mut request = Request::new(());
        request.metadata_mut().insert("hasleader", value.parse().unwrap());
        request
    };
    assert!(guard.call(Request::new(())).is_ok());
    assert!(guard.call(asking("false")).is_ok());
    let refused = guard.call(asking("true")).unwrap_err();
    assert_eq!(refused.message(), "etcdserver: no leader");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    sender.send_replace(LED);
    assert!(guard.call(asking("true")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_short_absence_is_forgiven() {
    let (sender, receiver) = watch::channel(LED);
    let lost = tokio::spawn(lost(receiver));
    for _ in 0..3 {
        sender.send_replace(leaderless());
        tokio::time::sleep(LEADERLESS_MAX - Duration::from_millis(1)).await;
        sender.send_replace(LED);
        tokio::time::sleep(LEADERLESS_MAX * 2).await;
        assert!(!lost.is_finished());
    }
    sender.send_replace(leaderless());
    tokio::time::sleep(LEADERLESS_MAX + Duration::from_millis(1)).await;
    assert!(lost.is_finished());
}
