//! One keeper a directory, and a directory that short socket paths fit into.

use super::RuntimeDir;
use crate::KeeperError;

#[test]
fn a_directory_is_held_by_one_and_free_again_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let first = RuntimeDir::open(&path).unwrap();
    match RuntimeDir::open(&path) {
        Err(KeeperError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(first);
    drop(RuntimeDir::open(&path).unwrap());
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_path_too_long_for_sockets_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(90));
    assert!(matches!(RuntimeDir::open(&path), Err(KeeperError::RuntimeDirTooLong { .. })));
    assert!(!path.exists());
}
