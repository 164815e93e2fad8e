//! Writers that write at the same time share syncs.

use crate::fixture::{Home, led, put, runtime};

const WRITERS: u64 = 64;
const WRITES: u64 = 30;

#[test]
fn concurrent_writes_share_syncs() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let before = handle.status().wal;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let handle = handle.clone();
            writers.spawn(async move {
                for number in 0..WRITES {
                    put(&handle, &format!("{writer}/{number}"), "value").await.unwrap();
                }
            });
        }
        writers.join_all().await;
        let after = handle.status().wal;
        let (entries, groups) = (after.entries - before.entries, after.groups - before.groups);
        assert!(entries >= WRITERS * WRITES, "{entries} entries");
        assert!(groups >= WRITES, "{groups} syncs cannot have covered {WRITES} writes in a row");
        assert!(groups * 2 < entries, "{groups} syncs for {entries} entries");
    });
}

#[test]
fn one_writer_alone_has_each_write_synced() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let before = handle.status().wal.groups;
        for number in 0..20 {
            put(&handle, "key", format!("{number}")).await.unwrap();
        }
        assert!(handle.status().wal.groups - before >= 20, "a write was acknowledged unsynced");
    });
}
