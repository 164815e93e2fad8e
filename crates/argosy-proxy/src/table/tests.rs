//! A table survives the way to the disk and back; anything else is refused, never guessed.

use std::fs;

use super::*;

fn table() -> Table {
    let endpoint = |number: u8, standing| Endpoint {
        instance: format!("web@{number}.service"),
        machine: MachineId(u128::from(number) << 100 | 7),
        epoch: Epoch { incarnation: 2, counter: u64::from(number) },
        address: format!("[fd00::{number}]:80{number}").parse().unwrap(),
        zone: "a".to_owned(),
        check: (number == 1).then(|| HealthCheck::Http("/up".to_owned())),
        standing,
    };
    let endpoints = vec![endpoint(1, Standing::Held), endpoint(2, Standing::Expired)];
    let services = [("web".to_owned(), endpoints), ("none".to_owned(), Vec::new())];
    let published = [(8080, Protocol::Http, "web"), (5432, Protocol::Tcp, "db")];
    let published = published.map(|(port, protocol, service)| Published {
        port,
        protocol,
        service: service.to_owned(),
    });
    Table { generation: 9, services: services.into(), published: published.into() }
}

#[test]
fn what_is_stored_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    assert_eq!(Table::load(&path).unwrap(), None);
    Table::default().store(&path).unwrap();
    table().store(&path).unwrap();
    assert_eq!(Table::load(&path).unwrap(), Some(table()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn every_damaged_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    table().store(&path).unwrap();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        assert!(matches!(Table::load(&path), Err(TableError::Damaged { .. })), "byte {at}");
        fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(Table::load(&path), Err(TableError::Damaged { .. })), "cut at {at}");
    }
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    let body = [8, 2]; // field 1, value 2
    let bytes = [&b"argotab\n"[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat();
    fs::write(&path, bytes).unwrap();
    let error = Table::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("has format 2; this version knows up to 1"), "{error}");
}

#[test]
fn a_failed_write_leaves_the_older_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    table().store(&path).unwrap();
    fs::create_dir(dir.path().join("table.new")).unwrap();
    assert!(matches!(Table::default().store(&path), Err(TableError::Write { .. })));
    assert_eq!(Table::load(&path).unwrap(), Some(table()));
}
