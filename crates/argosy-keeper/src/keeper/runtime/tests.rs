//! One keeper a directory, and a directory that short socket paths fit into.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

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
fn what_a_killed_keeper_left_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    // As its child has it until it has become its program.
    let lock = File::create(dir.path().join("keeper.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    writeln!(&lock, "{}", dead.id()).unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| RuntimeDir::open(dir.path()).map(drop));
        // It has the file open beside this test.
        let path = dir.path().join("keeper.lock");
        let open = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|it| it == path)).count()
        };
        while open() < 2 && !next.is_finished() {
            std::thread::yield_now();
        }
        drop(lock);
        next.join().unwrap().unwrap();
    });
}

#[test]
fn a_path_too_long_for_sockets_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(90));
    assert!(matches!(RuntimeDir::open(&path), Err(KeeperError::RuntimeDirTooLong { .. })));
    assert!(!path.exists());
}
