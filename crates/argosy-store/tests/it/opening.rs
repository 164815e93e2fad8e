//! What opening refuses, and how it says so.

use std::fs;
use std::os::unix::fs::FileExt as _;

use argosy_model::ClusterId;
use argosy_store::{MemberId, OpenError, Store, StoreError};

use crate::fixture::{CLUSTER, Home, get, led, put, runtime};

/// Fills a new store with `writes` keys and shuts it down.
fn filled(writes: u64) -> Home {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        for number in 0..writes {
            put(&handle, &format!("key-{number}"), "value").await.unwrap();
        }
        store.shutdown();
    });
    home
}

#[test]
fn a_store_reopens_with_all_its_keys() {
    let home = filled(50);
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        for number in 0..50 {
            let value = get(&handle, &format!("key-{number}"));
            assert_eq!(value.as_deref(), Some(&b"value"[..]), "key {number}");
        }
        assert_eq!(get(&handle, "key-50"), None);
        handle.read_barrier().await.unwrap();
        assert_eq!(handle.status().recovery.checkpoint, 1);
    });
}

#[test]
fn an_empty_directory_holds_no_store() {
    let home = Home::empty();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(&refused, OpenError::NotInitialised { path } if *path == home.path()));
    fs::create_dir(home.path()).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(refused, OpenError::NotInitialised { .. }), "{refused:?}");
}

#[test]
fn a_store_is_not_made_over_another() {
    let home = filled(1);
    let refused = Store::initialise(&home.config()).unwrap_err();
    assert!(matches!(refused, OpenError::AlreadyInitialised { .. }), "{refused:?}");
    assert_eq!(get(&home.open().handle(), "key-1"), None);
}

#[test]
fn an_interrupted_making_is_repeated() {
    let home = Home::empty();
    fs::create_dir_all(home.path().join("wal.new")).unwrap();
    fs::write(home.path().join("wal.new/new.tmp"), b"half").unwrap();
    fs::write(home.path().join("checkpoint"), b"half").unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(refused, OpenError::NotInitialised { .. }), "{refused:?}");
    Store::initialise(&home.config()).unwrap();
    home.open().shutdown();
}

#[test]
fn a_lost_log_is_missed_and_never_begun_anew() {
    let home = filled(1);
    fs::remove_dir_all(home.path().join("wal")).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(&refused, OpenError::LogMissing { path } if path.ends_with("wal")));
    let refused = Store::initialise(&home.config()).unwrap_err();
    assert!(matches!(refused, OpenError::AlreadyInitialised { .. }), "{refused:?}");
    assert!(home.path().join("checkpoint").exists());

    // An empty folder in its place is no log either.
    fs::create_dir(home.path().join("wal")).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(refused, OpenError::LogMissing { .. }), "{refused:?}");
}

#[test]
fn a_lost_checkpoint_is_refused() {
    let home = filled(1);
    fs::remove_file(home.path().join("checkpoint")).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(refused, OpenError::Checkpoint { .. }), "{refused:?}");
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let home = Home::new();
    let first = home.open();
    let refused = Store::open(home.config()).err().unwrap();
    assert!(matches!(&refused, OpenError::Locked { path } if *path == home.path()));
    let refused = Store::initialise(&home.config()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    first.shutdown();
    home.open().shutdown();
}

#[test]
fn another_clusters_directory_is_refused() {
    let home = Home::new();
    let mut config = home.config();
    config.cluster_id = ClusterId(0xbad);
    let refused = Store::open(config).err().unwrap();
    let OpenError::ForeignCluster { found, expected, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!((*found, *expected), (CLUSTER, ClusterId(0xbad)));
    assert!(refused.to_string().contains(&CLUSTER.to_string()), "{refused}");
}

#[test]
fn another_members_directory_is_refused() {
    let home = Home::new();
    let mut config = home.config();
    config.member_id = MemberId(7);
    let refused = Store::open(config).err().unwrap();
    assert!(matches!(refused, OpenError::ForeignMember { expected: MemberId(7), .. }));
}

#[test]
fn a_log_of_another_cluster_under_the_right_checkpoint_is_refused() {
    let (home, other) = (Home::new(), Home::empty());
    let mut config = other.config();
    config.cluster_id = ClusterId(0xbad);
    Store::initialise(&config).unwrap();
    fs::remove_dir_all(home.path().join("wal")).unwrap();
    fs::rename(other.path().join("wal"), home.path().join("wal")).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    let OpenError::ForeignCluster { path, found, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*found, ClusterId(0xbad));
    assert!(path.starts_with(home.path().join("wal")), "{path:?}");
}

#[test]
fn a_damaged_log_is_refused_with_file_and_offset() {
    let home = filled(40);
    let segment = home.segments().remove(0);
    let content = fs::read(&segment).unwrap();
    // A key in the middle of what was written and synced, with later groups behind it.
    let place = content.windows(6).position(|window| window == b"key-20").unwrap() as u64;
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"K", place).unwrap();
    drop(file);

    let refused = Store::open(home.config()).err().unwrap();
    let OpenError::CorruptLog { path, offset } = &refused else { panic!("{refused:?}") };
    assert_eq!(*path, segment);
    assert!(*offset <= place && place - *offset < 256, "offset {offset}, damage at {place}");
    let text = refused.to_string();
    assert!(text.contains(&segment.display().to_string()), "{text}");
    assert!(text.contains(&format!("offset {offset}")), "{text}");

    // A refusal changes nothing: with the byte put back, the store is whole.
    fs::write(&segment, content).unwrap();
    home.open().shutdown();
}

#[test]
fn a_log_that_was_cut_short_is_refused_with_file_and_offset() {
    let home = filled(40);
    let segment = home.segments().remove(0);
    let content = fs::read(&segment).unwrap();
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(3_000).unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    let OpenError::Log { path, source } = &refused else { panic!("{refused:?}") };
    assert_eq!(*path, segment.parent().unwrap());
    let text = source.to_string();
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(text.starts_with(&format!("{name} ends at offset 3000, not at ")), "{text}");

    fs::write(&segment, content).unwrap();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        assert_eq!(get(&handle, "key-39").as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let home = filled(1);
    let path = home.path().join("checkpoint");
    fs::write(&path, b"not a checkpoint").unwrap();
    let refused = Store::open(home.config()).err().unwrap();
    let OpenError::Checkpoint { path: named, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*named, path);
}

#[test]
fn a_handle_outlives_its_store_and_says_so() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        put(&handle, "key", "value").await.unwrap();
        store.shutdown();
        assert_eq!(put(&handle, "key", "late").await, Err(StoreError::Closed));
        assert_eq!(handle.read_barrier().await, Err(StoreError::Closed));
        assert_eq!(get(&handle, "key").as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn a_command_that_is_too_large_changes_nothing() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let refused = put(&handle, "key", vec![0; argosy_store::COMMAND_BYTES_MAX]).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
        put(&handle, "other", "fits").await.unwrap();
        assert_eq!(get(&handle, "key"), None);
    });
}
