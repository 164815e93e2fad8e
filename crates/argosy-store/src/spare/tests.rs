//! A spare is zero, whole, and given out once.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{SPARE, Spare, State};

const LENGTH: u64 = 70_000;

fn folder(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Takes as soon as there is something to take.
fn take(spare: &Spare, folder: &OwnedFd, name: &str) -> File {
    loop {
        if let Some(file) = spare.take(folder, name, LENGTH).unwrap() {
            return file;
        }
        std::thread::yield_now();
    }
}

#[test]
fn each_spare_is_another_file_of_zeroes() {
    let home = tempfile::tempdir().unwrap();
    let wal = home.path().join("wal");
    std::fs::create_dir(&wal).unwrap();
    // What an earlier run left behind may hold anything.
    std::fs::write(home.path().join(SPARE), vec![7; 100_000]).unwrap();
    let spare = Arc::new(Spare::new(folder(home.path()), LENGTH));
    let making = {
        let spare = Arc::clone(&spare);
        std::thread::spawn(move || spare.run())
    };
    let to = folder(&wal);
    for number in 0..20 {
        let name = format!("segment-{number}");
        let file = take(&spare, &to, &name);
        assert_eq!(std::fs::read(wal.join(&name)).unwrap(), vec![0; LENGTH as usize], "{name}");
        file.write_all_at(name.as_bytes(), 0).unwrap();
    }
    for number in 0..20 {
        let name = format!("segment-{number}");
        let content = std::fs::read(wal.join(&name)).unwrap();
        assert!(content.starts_with(name.as_bytes()), "{name} was given out twice");
    }
    spare.close();
    making.join().unwrap();
}

#[test]
fn nobody_waits_for_a_spare_and_another_length_is_not_given() {
    let home = tempfile::tempdir().unwrap();
    let spare = Spare::new(folder(home.path()), LENGTH);
    let to = folder(home.path());
    assert!(spare.take(&to, "segment", LENGTH).unwrap().is_none(), "nothing was made yet");
    std::thread::scope(|scope| {
        scope.spawn(|| spare.run());
        drop(take(&spare, &to, "segment"));
        assert!(spare.take(&to, "other", LENGTH + 1).unwrap().is_none());
        spare.close();
    });
    assert!(!home.path().join("other").exists());
}

#[test]
fn a_spare_that_cannot_be_made_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    // A folder of its name is in the way.
    std::fs::create_dir(home.path().join(SPARE)).unwrap();
    let spare = Spare::new(folder(home.path()), LENGTH);
    let to = folder(home.path());
    std::thread::scope(|scope| {
        scope.spawn(|| spare.run());
        while !matches!(*spare.lock(), State::Failed) {
            std::thread::yield_now();
        }
        assert!(spare.take(&to, "segment", LENGTH).unwrap().is_none());
        std::fs::remove_dir(home.path().join(SPARE)).unwrap();
        drop(take(&spare, &to, "segment"));
        spare.close();
    });
}
