//! Tests of the disk: what it may lose, and what it may not.

use super::*;

fn written() -> SimDisk {
    let mut disk = SimDisk::new();
    disk.create("1.wal", 2048).unwrap();
    disk.write_at("1.wal", 0, &[1; 1024]).unwrap();
    disk.sync_data("1.wal").unwrap();
    disk.sync_dir().unwrap();
    disk
}

#[test]
fn synced_bytes_and_names_survive_every_crash() {
    for seed in 0..50 {
        let mut disk = written();
        disk.write_at("1.wal", 1024, &[2; 1024]).unwrap();
        disk.create("2.wal", 10).unwrap();
        disk.crash(&mut Random::new(seed));
        assert_eq!(disk.read("1.wal").unwrap()[..1024], [1; 1024]);
    }
}

#[test]
fn unsynced_bytes_may_survive_be_lost_or_be_torn() {
    let mut fates = BTreeSet::new();
    for seed in 0..50 {
        let mut disk = written();
        disk.write_at("1.wal", 1024, &[2; 1024]).unwrap();
        disk.crash(&mut Random::new(seed));
        let file = disk.read("1.wal").unwrap();
        fates.insert((file[1024], file[1536]));
    }
    assert_eq!(fates, [(0, 0), (0, 2), (2, 0), (2, 2)].into());
}

#[test]
fn an_unsynced_name_may_be_lost() {
    let lists: BTreeSet<_> = (0..50)
        .map(|seed| {
            let mut disk = written();
            disk.rename("1.wal", "2.wal").unwrap();
            disk.crash(&mut Random::new(seed));
            disk.list().unwrap()
        })
        .collect();
    assert_eq!(lists.len(), 2);
}

#[test]
fn a_machine_that_dies_does_nothing_more_until_it_is_restarted() {
    let mut disk = written();
    disk.set_fuse(1);
    disk.write_at("1.wal", 1024, &[2; 10]).unwrap();
    assert!(disk.sync_data("1.wal").is_err());
    assert!(disk.died() && disk.sync_dir().is_err());
    disk.crash(&mut Random::new(1));
    assert!(disk.sync_data("1.wal").is_ok());
}

#[test]
fn rot_hits_only_what_was_synced_before_the_last_write() {
    for seed in 0..50 {
        let mut disk = written();
        disk.write_at("1.wal", 1024, &[2; 100]).unwrap();
        disk.sync_data("1.wal").unwrap();
        let before = disk.read("1.wal").unwrap();
        let rot = disk.rot(&mut Random::new(seed)).unwrap();
        let after = disk.read("1.wal").unwrap();
        assert_ne!(before[..1024], after[..1024]);
        assert_eq!(before[1024..], after[1024..]);
        disk.restore(&rot);
        assert_eq!(disk.read("1.wal").unwrap(), before);
    }
}
