//! The lease clock of the leader.

use std::time::{Duration, Instant};

use argosy_kv::{CommandKind, LeaseId, Response};
use argosy_store::StoreHandle;

use crate::fixture::{Home, get, led, put_leased, runtime, until};

async fn grant(store: &StoreHandle, ttl_seconds: i64) -> LeaseId {
    let kind = CommandKind::LeaseGrant { id: 0, ttl_seconds, minimum_exempt: true };
    match store.execute(kind).await.unwrap() {
        Response::LeaseGrant { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_that_runs_out_takes_its_keys_along_and_not_before() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let begun = Instant::now();
        let id = grant(&handle, 1).await;
        put_leased(&handle, "mine", "value", id).await.unwrap();
        until(&handle, "the lease has run out", |store| get(store, "mine").is_none()).await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(handle.lease_renew(id).await, Ok(None));
        assert_eq!(handle.lease_remaining(id).await, Ok(None));
    });
}

#[test]
fn a_renewed_lease_stays() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let (kept, left) = (grant(&handle, 2).await, grant(&handle, 2).await);
        put_leased(&handle, "kept", "value", kept).await.unwrap();
        put_leased(&handle, "left", "value", left).await.unwrap();
        while get(&handle, "left").is_some() {
            assert_eq!(handle.lease_renew(kept).await, Ok(Some(2)));
            let remaining = handle.lease_remaining(kept).await.unwrap().unwrap();
            assert!(remaining > Duration::from_millis(1_500), "{remaining:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(get(&handle, "kept").is_some());
    });
}

#[test]
fn a_renewal_after_a_restart_takes_a_stored_remainder_away() {
    let home = Home::new();
    let id = runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let id = grant(&handle, 100).await;
        let kind = CommandKind::LeaseCheckpoint { id, remaining_seconds: 40 };
        handle.execute(kind).await.unwrap();
        store.shutdown();
        id
    });
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let remaining = handle.lease_remaining(id).await.unwrap().unwrap();
        assert!(remaining < Duration::from_secs(50), "{remaining:?} of the stored 40 s");
        assert_eq!(handle.lease_renew(id).await, Ok(Some(100)));
        // Else a new leader would cut the renewed lease short.
        assert_eq!(handle.view().lease(id).map(|lease| lease.remaining_seconds), Some(0));
        let remaining = handle.lease_remaining(id).await.unwrap().unwrap();
        assert!(remaining > Duration::from_secs(90), "{remaining:?}");
    });
}

#[test]
fn leases_are_listed_by_their_end() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let (late, early, middle) =
            (grant(&handle, 300).await, grant(&handle, 100).await, grant(&handle, 200).await);
        assert_eq!(handle.lease_list().await, Ok(vec![early, middle, late]));
    });
}

#[test]
fn leases_survive_a_restart_and_then_run_out() {
    let home = Home::new();
    let id = runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let id = grant(&handle, 1).await;
        put_leased(&handle, "mine", "value", id).await.unwrap();
        store.shutdown();
        id
    });
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        assert_eq!(handle.view().lease(id).map(|lease| lease.ttl_seconds), Some(1));
        until(&handle, "the lease has run out", |store| get(store, "mine").is_none()).await;
    });
}
