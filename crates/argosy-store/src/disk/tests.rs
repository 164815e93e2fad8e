//! What the log may rely on.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use argosy_consensus::wal::{Disk as _, DiskOperation};

use super::RealDisk;

const LENGTH: u64 = (3 << 20) + 17;

fn disk(path: &Path) -> RealDisk {
    let folder = File::open(path).unwrap().into();
    RealDisk::new(folder, path.to_owned(), Arc::default())
}

#[test]
fn a_created_file_is_zero_and_has_its_blocks() {
    let home = tempfile::tempdir().unwrap();
    let mut disk = disk(home.path());
    disk.create("one", LENGTH).unwrap();
    let content = disk.read("one").unwrap();
    assert_eq!(content.len() as u64, LENGTH);
    assert!(content.iter().all(|byte| *byte == 0));
    let metadata = home.path().join("one").metadata().unwrap();
    assert!(metadata.blocks() * 512 >= LENGTH, "{} blocks", metadata.blocks());
    assert_eq!(metadata.mode() & 0o077, 0, "others may read the log");
}

#[test]
fn a_write_leaves_the_rest_and_the_length_alone() {
    let home = tempfile::tempdir().unwrap();
    let mut disk = disk(home.path());
    disk.create("one", 4096).unwrap();
    disk.write_at("one", 100, b"hello").unwrap();
    disk.sync_data("one").unwrap();
    let content = disk.read("one").unwrap();
    assert_eq!(content.len(), 4096);
    assert_eq!(&content[99..106], b"\0hello\0");
}

#[test]
fn creating_again_starts_from_zero() {
    let home = tempfile::tempdir().unwrap();
    let mut disk = disk(home.path());
    disk.create("one", 4096).unwrap();
    disk.write_at("one", 0, b"old").unwrap();
    disk.create("one", 2048).unwrap();
    assert_eq!(disk.read("one").unwrap(), vec![0; 2048]);
    disk.write_at("one", 0, b"new").unwrap();
    assert_eq!(&disk.read("one").unwrap()[..3], b"new");
}

#[test]
fn names_change_and_writes_follow_them() {
    let home = tempfile::tempdir().unwrap();
    let mut disk = disk(home.path());
    disk.create("one", 16).unwrap();
    disk.create("two", 16).unwrap();
    disk.write_at("one", 0, b"first").unwrap();
    disk.rename("one", "two").unwrap();
    disk.write_at("two", 5, b"-then").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["two"]);
    assert_eq!(&disk.read("two").unwrap()[..10], b"first-then");
    disk.remove("two").unwrap();
    disk.sync_dir().unwrap();
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn the_folder_is_the_opened_one_whatever_its_path_becomes() {
    let home = tempfile::tempdir().unwrap();
    let (path, moved) = (home.path().join("wal"), home.path().join("moved"));
    std::fs::create_dir(&path).unwrap();
    let mut disk = disk(&path);
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    disk.create("one", 16).unwrap();
    assert!(moved.join("one").exists());
    assert!(!path.join("one").exists());
}

#[test]
fn an_error_names_operation_and_file() {
    let home = tempfile::tempdir().unwrap();
    let mut disk = disk(home.path());
    let error = disk.write_at("missing", 0, b"x").unwrap_err();
    assert_eq!(error.operation, DiskOperation::Write);
    assert_eq!(error.name, home.path().join("missing").display().to_string());
    assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
}
