//! Checkpoints: a restart reads only the log after the last one.

use argosy_store::{Store, StoreConfig};

use crate::fixture::{Home, delete, get, led, put, runtime, until};

const WRITES: u64 = 1_000;

fn frequent(home: &Home) -> StoreConfig {
    let mut config = home.config();
    config.checkpoint_entries = 100;
    config.segment_bytes = 64 << 10;
    config
}

#[test]
fn a_restart_reads_only_the_tail_and_older_segments_are_gone() {
    let home = Home::empty();
    let config = frequent(&home);
    Store::initialise(&config).unwrap();
    let first_segment = home.segments().remove(0);
    let total = runtime().block_on(async {
        let store = Store::open(config.clone()).unwrap();
        let handle = store.handle();
        led(&handle).await;
        for number in 0..WRITES {
            put(&handle, &format!("key-{number:04}"), vec![b'v'; 1 << 10]).await.unwrap();
        }
        let applied = handle.status().replica.applied;
        until(&handle, "the last checkpoint is written", |store| {
            store.status().checkpoint.applied + 100 >= applied
        })
        .await;
        let status = handle.status();
        assert!(status.checkpoint.written >= 5, "{status:?}");
        until(&handle, "old segments are removed", |store| store.status().wal.segments <= 4).await;
        store.shutdown();
        applied
    });
    assert!(!first_segment.exists(), "{first_segment:?} holds nothing above the checkpoint");
    assert!(home.segments().len() <= 4, "{:?}", home.segments());

    runtime().block_on(async {
        let store = Store::open(config).unwrap();
        let handle = store.handle();
        let recovery = handle.status().recovery;
        assert!(recovery.checkpoint + 200 >= total, "{recovery:?} of {total}");
        assert!(recovery.entries <= 200, "{recovery:?}");
        assert!(recovery.bytes < 400 << 10, "{recovery:?} is more than the tail");
        led(&handle).await;
        for number in 0..WRITES {
            assert!(get(&handle, &format!("key-{number:04}")).is_some(), "key {number}");
        }
    });
}

#[test]
fn a_checkpoint_writes_only_what_changed() {
    let home = Home::empty();
    let mut config = frequent(&home);
    config.checkpoint_entries = 500;
    Store::initialise(&config).unwrap();
    runtime().block_on(async {
        let store = Store::open(config.clone()).unwrap();
        let handle = store.handle();
        led(&handle).await;
        for number in 0..500 {
            put(&handle, &format!("cold-{number}"), "value").await.unwrap();
        }
        until(&handle, "the first checkpoint is written", |s| s.status().checkpoint.written >= 1)
            .await;
        let first = handle.status().checkpoint;
        assert!(first.changes >= 490, "{first:?}");
        for number in 0..500 {
            put(&handle, "hot", format!("{number}")).await.unwrap();
        }
        until(&handle, "the second checkpoint is written", |s| s.status().checkpoint.written >= 2)
            .await;
        // Each version of the hot key is a record; the cold keys are not touched again.
        let second = handle.status().checkpoint;
        assert!(second.changes <= 600, "{second:?}");
        store.shutdown();
    });
    let reopened = Store::open(config).unwrap();
    assert_eq!(get(&reopened.handle(), "cold-0").as_deref(), Some(&b"value"[..]));
}

#[test]
fn deletes_and_revisions_survive_a_checkpoint() {
    let home = Home::empty();
    let config = frequent(&home);
    Store::initialise(&config).unwrap();
    let revisions = runtime().block_on(async {
        let store = Store::open(config.clone()).unwrap();
        let handle = store.handle();
        led(&handle).await;
        put(&handle, "gone", "1").await.unwrap();
        until_checkpointed(&handle).await;
        delete(&handle, "gone").await.unwrap();
        until_checkpointed(&handle).await;
        store.shutdown();
        handle.view().revisions()
    });
    runtime().block_on(async {
        let store = Store::open(config).unwrap();
        let handle = store.handle();
        led(&handle).await;
        assert_eq!(get(&handle, "gone"), None);
        assert_eq!(handle.view().revisions(), revisions);
    });
}

/// Writes until everything written before is in a checkpoint.
async fn until_checkpointed(store: &argosy_store::StoreHandle) {
    let target = store.status().replica.applied;
    for number in 0.. {
        if store.status().checkpoint.applied >= target {
            return;
        }
        put(store, "filler", format!("{number}")).await.unwrap();
    }
}
