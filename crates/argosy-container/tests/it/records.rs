//! Containers on disk: there whole or not at all, and to be removed whatever is left of them.

use std::fs;

use argosy_container::{ContainerError, Lasting, State};

use crate::stand::Stand;

#[test]
fn a_container_appears_with_all_its_files_or_not_at_all() {
    let stand = Stand::new();
    let spec = stand.spec(&["true"]);
    for lasting in [Lasting::Boot, Lasting::Always] {
        let files = [("engine.json", b"{}".to_vec()), ("network.json", b"[]".to_vec())];
        stand.containers.create_with(&spec, &files, lasting).unwrap();
        let data = stand.containers.data_dir.join(spec.id.as_str());
        assert_eq!(fs::read(data.join("engine.json")).unwrap(), b"{}");
        assert_eq!(stand.containers.inspect(&spec.id).unwrap().state, State::Created);
        stand.containers.delete(&spec.id, false).unwrap();
        // No file may be there that cannot be written.
        let bad = [("no/such/place", Vec::new())];
        stand.containers.create_with(&spec, &bad, lasting).unwrap_err();
        let left = fs::read_dir(&stand.containers.data_dir).unwrap();
        assert_eq!(left.count(), 1, "only the lock is left");
    }
}

#[test]
fn a_container_whose_records_were_lost_disturbs_nobody_and_can_be_removed() {
    let stand = Stand::new();
    let specs = [(); 3].map(|()| stand.spec(&["true"]));
    for spec in &specs {
        stand.containers.create(spec).unwrap();
    }
    let data = |number: usize| stand.containers.data_dir.join(specs[number].id.as_str());
    // As a lost power leaves them: empty, or not there.
    fs::write(data(0).join("spec.json"), "").unwrap();
    fs::write(data(0).join("exit.json"), "").unwrap();
    fs::remove_file(data(1).join("spec.json")).unwrap();
    assert_eq!(stand.containers.list().unwrap().len(), 3);
    for spec in &specs[..2] {
        let error = stand.containers.inspect(&spec.id).unwrap_err();
        assert!(matches!(error, ContainerError::Damaged { .. }), "{error}");
    }
    stand.containers.collect().unwrap();
    stand.containers.delete(&specs[0].id, true).unwrap();
    stand.containers.delete(&specs[1].id, false).unwrap();
    // A run whose record was lost counts as none.
    let run = stand.containers.run_dir.join(specs[2].id.as_str());
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("run.json"), "").unwrap();
    assert_eq!(stand.containers.inspect(&specs[2].id).unwrap().state, State::Created);
    stand.containers.collect().unwrap();
    assert!(!run.exists());
    stand.containers.delete(&specs[2].id, true).unwrap();
}
