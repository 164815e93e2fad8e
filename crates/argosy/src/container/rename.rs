//! `argosy container rename`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use argosy_container::ContainerId;

use super::record::{self, EngineRecord};
use super::{Engine, names};
use crate::failure::{Exit, Failure};

/// Gives a container another name, which no other has.
pub(super) fn rename(engine: &Engine, wanted: &str, name: &str) -> Result<(), Failure> {
    ContainerId::new(name).map_err(|error| {
        Failure::from_error(Exit::BadInput, &error).with_help("choose another name")
    })?;
    let _naming = names::naming(engine)?;
    let id = engine.find(wanted)?;
    let Some(mut record) = engine.record(&id) else {
        let message = format!("container {wanted} has no record, and no name");
        return Err(Failure::new(Exit::BadInput, message));
    };
    for other in engine.ids()?.iter().filter(|other| **other != id) {
        let has_it = engine.record(other).is_some_and(|it| it.name == name);
        if has_it || other.as_str() == name {
            let message = format!("container {} has the name {name} already", other.short());
            return Err(Failure::new(Exit::Refused, message).with_help("choose another name"));
        }
    }
    let old = std::mem::replace(&mut record.name, name.to_owned());
    let path = engine.containers.data_dir.join(id.as_str()).join(record::FILE);
    replace(&path, &record).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot write {}: {error}", path.display()))
    })?;
    engine.tell_of(&id, Some(&record), "rename", &[("oldName", format!("/{old}"))]);
    Ok(())
}

/// Whoever reads it sees the old record or the new one, also after the machine has lost its power.
fn replace(path: &Path, record: &EngineRecord) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    fs::File::open(path.parent().unwrap_or(path))?.sync_all()
}
