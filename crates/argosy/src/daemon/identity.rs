//! Who this machine is: its id, and its place in a cluster, as files in the data directory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argosy_model::{ClusterId, MachineId};
use argosy_reconcile::Preset;
use argosy_store::MemberId;
use serde::{Deserialize, Serialize};

use super::book::Place;

/// Version of `machine.json`.
const FORMAT: u32 = 1;

/// This machine's place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) cluster_id: ClusterId,
    /// The store member's raft id, never reused within a cluster; 0 for a worker, which holds no
    /// part of the store.
    pub(crate) member_id: u64,
    /// Raised by every restore of the store.
    pub(crate) incarnation: u64,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// The machine port.
    pub(crate) port: u16,
    /// The time limits of the whole cluster.
    pub(crate) timing: Preset,
    /// The store members known when this machine joined; the registry knows better later.
    pub(crate) members: Vec<Place>,
}

impl Membership {
    /// Tells whether this machine holds the store.
    pub(crate) fn is_member(&self) -> bool {
        self.member_id != 0
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct MachineFile {
    format: u32,
    machine_id: String,
    cluster_id: String,
    member_id: u64,
    incarnation: u64,
    name: String,
    address: String,
    metadata: BTreeMap<String, String>,
    port: u16,
    /// A preset's name; clusters made before there were any have the default one.
    #[serde(default)]
    timing: String,
    /// Machine id, member id, machine port.
    members: Vec<(String, u64, SocketAddr)>,
}

/// An identity file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The kernel refused.
    #[error("cannot {operation} {path}")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// The file does not hold what it should.
    #[error("{path} does not hold {what}; restore it from a backup")]
    Content { path: PathBuf, what: &'static str },
    /// The data directory is put together from two machines.
    #[error(
        "{path} belongs to machine {found}, but this is machine {id}; restore both from one backup"
    )]
    OtherMachine { path: PathBuf, found: MachineId, id: MachineId },
    /// A later version wrote it.
    #[error("{path} has format {format}, this version knows {FORMAT}: run the newer version")]
    Format { path: PathBuf, format: u32 },
    /// The kernel gave no random bytes.
    #[error("cannot make an id")]
    Random(#[source] io::Error),
}

/// Returns this machine's id, made at the first call. A machine that belongs to a cluster never
/// gets a new one: a lost `id` is written again from `machine.json`.
pub(crate) fn machine_id(data_dir: &Path) -> Result<MachineId, IdentityError> {
    let path = data_dir.join("id");
    let member = match read_machine_file(data_dir)? {
        None => None,
        Some((path, file)) => Some(
            file.machine_id
                .parse::<MachineId>()
                .map_err(|_| IdentityError::Content { path, what: "the id of its machine" })?,
        ),
    };
    let id = stored_id(&path, member)?;
    match member {
        Some(found) if found != id => {
            let path = data_dir.join("machine.json");
            Err(IdentityError::OtherMachine { path, found, id })
        }
        _ => Ok(id),
    }
}

fn stored_id(path: &Path, member: Option<MachineId>) -> Result<MachineId, IdentityError> {
    let path = path.to_owned();
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim_end()
            .parse()
            .map_err(|_| IdentityError::Content { path, what: "an id of 32 hexadecimal digits" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = match member {
                Some(id) => id,
                None => MachineId(random_u128()?),
            };
            write_durably(&path, format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(source) => Err(IdentityError::File { operation: "read", path, source }),
    }
}

/// Returns this machine's place in a cluster; `None` when it has none yet.
pub(crate) fn membership(data_dir: &Path) -> Result<Option<Membership>, IdentityError> {
    let Some((path, file)) = read_machine_file(data_dir)? else {
        return Ok(None);
    };
    let Ok(cluster_id) = file.cluster_id.parse() else {
        return Err(IdentityError::Content { path, what: "a cluster id" });
    };
    let Some(members) = places(&file.members) else {
        return Err(IdentityError::Content { path, what: "machine ids" });
    };
    let Some(timing) = preset(&file.timing) else {
        return Err(IdentityError::Content { path, what: "a preset of time limits" });
    };
    let MachineFile { member_id, incarnation, name, address, metadata, port, .. } = file;
    Ok(Some(Membership {
        cluster_id,
        member_id,
        incarnation,
        name,
        address,
        metadata,
        port,
        timing,
        members,
    }))
}

fn read_machine_file(data_dir: &Path) -> Result<Option<(PathBuf, MachineFile)>, IdentityError> {
    let path = data_dir.join("machine.json");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::File { operation: "read", path, source }),
    };
    // The format first: a later one may have other fields.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    match serde_json::from_slice::<Format>(&bytes) {
        Ok(Format { format }) if format != FORMAT => Err(IdentityError::Format { path, format }),
        Ok(_) | Err(_) => match serde_json::from_slice(&bytes) {
            Ok(file) => Ok(Some((path, file))),
            Err(_) => Err(IdentityError::Content { path, what: "a machine's place in a cluster" }),
        },
    }
}

/// Reads a preset's name as files and welcomes have it; nothing stands for the default.
pub(crate) fn preset(name: &str) -> Option<Preset> {
    if name.is_empty() { Some(Preset::default()) } else { name.parse().ok() }
}

/// Reads store members from their written form; `None` if an id is not one.
pub(crate) fn places(members: &[(String, u64, SocketAddr)]) -> Option<Vec<Place>> {
    let place = |(machine, member, address): &(String, u64, SocketAddr)| {
        Some(Place {
            machine: machine.parse().ok()?,
            member: Some(MemberId(*member)),
            address: *address,
        })
    };
    members.iter().map(place).collect()
}

/// Stores this machine's place in a cluster. From then on it belongs to it.
pub(crate) fn store_membership(
    data_dir: &Path,
    machine_id: MachineId,
    membership: &Membership,
) -> Result<(), IdentityError> {
    let path = data_dir.join("machine.json");
    let file = MachineFile {
        format: FORMAT,
        machine_id: machine_id.to_string(),
        cluster_id: membership.cluster_id.to_string(),
        member_id: membership.member_id,
        incarnation: membership.incarnation,
        name: membership.name.clone(),
        address: membership.address.clone(),
        metadata: membership.metadata.clone(),
        port: membership.port,
        timing: membership.timing.to_string(),
        members: membership
            .members
            .iter()
            .filter_map(|place| Some((place.machine.to_string(), place.member?.0, place.address)))
            .collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| IdentityError::File {
        operation: "encode",
        path: path.clone(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    write_durably(&path, &bytes)
}

/// Replaces a file so that a crash leaves the old one or the new one.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    write_with(path, bytes, File::options().write(true).create(true).truncate(true))
}

/// The same for a file that only its owner may read.
pub(crate) fn write_privately(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    write_with(path, bytes, File::options().write(true).create(true).truncate(true).mode(0o600))
}

fn write_with(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<(), IdentityError> {
    let failed = |operation: &'static str| {
        let path = path.to_owned();
        move |source| IdentityError::File { operation, path, source }
    };
    let making = path.with_extension("new");
    let mut file = options.open(&making).map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("sync"))?;
    fs::rename(&making, path).map_err(failed("replace"))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed("sync the directory of"))
}

/// Returns 128 bits of the kernel's randomness.
pub(crate) fn random_u128() -> Result<u128, IdentityError> {
    let mut bytes = [0; 16];
    // getrandom(2) gives up to 256 bytes whole once it is seeded.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| IdentityError::Random(error.into()))?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let id = machine_id(dir.path()).unwrap();
        assert_eq!(machine_id(dir.path()).unwrap(), id);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(machine_id(other.path()).unwrap(), id);
    }

    #[test]
    fn the_membership_comes_back_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(membership(dir.path()).unwrap(), None);
        let stored = Membership {
            cluster_id: ClusterId(7),
            member_id: 9,
            incarnation: 1,
            name: "m1".into(),
            address: "127.0.0.1".into(),
            metadata: BTreeMap::from([("zone".into(), "a".into())]),
            port: 2380,
            timing: Preset::Lan,
            members: vec![Place {
                machine: MachineId(3),
                member: Some(MemberId(4)),
                address: "127.0.0.1:2380".parse().unwrap(),
            }],
        };
        store_membership(dir.path(), MachineId(5), &stored).unwrap();
        assert_eq!(membership(dir.path()).unwrap(), Some(stored));
        // A lost id comes back, another machine's is refused.
        assert_eq!(machine_id(dir.path()).unwrap(), MachineId(5));
        fs::write(dir.path().join("id"), format!("{}\n", MachineId(6))).unwrap();
        let error = machine_id(dir.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to machine"), "{error}");
        fs::write(dir.path().join("machine.json"), r#"{"format":99}"#).unwrap();
        let error = membership(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
        fs::write(dir.path().join("machine.json"), "{}").unwrap();
        let error = membership(dir.path()).unwrap_err().to_string();
        assert!(error.contains("machine.json does not hold"), "{error}");
    }
}
