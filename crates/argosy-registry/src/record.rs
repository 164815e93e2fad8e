//! The stored records: what the registry holds, and its protobuf form with a format number.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use argosy_model::{
    EndpointProtocol, Epoch, HealthCheck, Machine, MachineId, MachineState, RestartCount, Term,
    UnitName, UnitRevision, UnixMicros,
};

mod convert;
mod unknown;
mod wire;

/// What a user wants of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Desired {
    /// What its template says: the instances `1..=Replicas` of a running template run.
    #[default]
    Inherit,
    /// Run it.
    Run,
    /// Keep its text and do not run it.
    Stop,
}

/// `units/NAME`. It is never removed, so that no revision, epoch or restart count is ever used
/// twice; a destroyed unit keeps its record with `destroyed` set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredUnit {
    /// The newest revision of its own text; 0 when it never had one.
    pub revision: UnitRevision,
    /// Whether its own text counts; an instance without one follows its template.
    pub own_text: bool,
    /// What is wanted.
    pub desired: Desired,
    /// How often a restart was asked for.
    pub restart: RestartCount,
    /// The last epoch handed out.
    pub epoch: Epoch,
    /// It was destroyed: stop it everywhere, then forget its text.
    pub destroyed: bool,
    /// The machine that holds its data, once it has run with `Data=local`.
    pub home: Option<MachineId>,
    /// For a template: how many instances, when set by scaling; else `Replicas=` decides.
    pub replicas: Option<u32>,
}

/// `revisions/NAME/N`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredRevision {
    /// The unit file.
    pub text: String,
    /// Who submitted it.
    pub author: String,
    /// When, for display.
    pub at: UnixMicros,
}

/// `machines/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMachine {
    /// Its id.
    pub id: MachineId,
    /// A name for people, unique in the cluster.
    pub name: String,
    /// Where other machines reach it: an IP address, no port.
    pub address: String,
    /// Labels.
    pub metadata: BTreeMap<String, String>,
    /// Takes no new units; set by its operator.
    pub cordoned: bool,
    /// Not heard from; set and cleared by the leader.
    pub lost: bool,
    /// It may hold a long grant: its daemon was about to begin anew. Set by the leader before it
    /// sends one, and cleared when none can hold any more.
    pub long_grant: bool,
    /// Takes no new units as long as its disk is full; set and cleared by the leader, as the machine
    /// says.
    pub disk_full: bool,
    /// Where other machines connect to it, beside `address`; 0 when it takes no connections.
    pub port: u16,
    /// Its store member; 0 when it holds no part of the store.
    pub member: u64,
}

impl StoredMachine {
    /// Returns the machine as the scheduler sees it.
    pub fn machine(&self) -> Machine {
        Machine {
            id: self.id,
            name: self.name.clone(),
            address: self.address.clone(),
            metadata: self.metadata.clone(),
            state: match (self.lost, self.cordoned) {
                (true, _) => MachineState::Lost,
                (false, true) => MachineState::Cordoned,
                (false, false) => MachineState::Ready,
            },
            disk_full: self.disk_full,
        }
    }
}

/// `endpoints/SERVICE/INSTANCE`: where a ready unit is, and the key that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// The unit.
    pub unit: UnitName,
    /// The machine it runs on.
    pub machine: MachineId,
    /// The epoch it runs with.
    pub epoch: Epoch,
    /// The announced key in the user space, beginning with `/`; empty if none is announced.
    pub key: String,
    /// What was written there.
    pub value: String,
    /// The services it answers for.
    pub services: Vec<StoredService>,
}

/// Where a ready unit answers for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredService {
    /// The service.
    pub service: String,
    /// What is spoken there.
    pub protocol: EndpointProtocol,
    /// Where.
    pub address: SocketAddr,
    /// The key in the user space that holds the address.
    pub key: String,
    /// How proxies ask whether it is well.
    pub check: HealthCheck,
}

impl StoredEndpoint {
    /// Returns the keys of the user space that say where the unit is, with their values.
    pub fn keys(&self) -> BTreeMap<&str, String> {
        let services = self.services.iter();
        let mirrored = services.map(|service| (service.key.as_str(), service.address.to_string()));
        let announced = (!self.key.is_empty()).then(|| (self.key.as_str(), self.value.clone()));
        mirrored.chain(announced).collect()
    }
}

/// `leader`: who may change what machines are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderMark {
    /// Its leadership term.
    pub term: Term,
    /// Its store member.
    pub member: u64,
}

/// `tokens/ID`: the right to join once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Names it in lists; no secret.
    pub id: String,
    /// SHA-256 of its secret: whoever reads the record still cannot join.
    pub secret_hash: [u8; 32],
    /// After this it is refused.
    pub expires: UnixMicros,
    /// The machine that joined with it, and the SHA-256 of its public key: only the same machine
    /// with the same key may use it again.
    pub used_by: Option<(MachineId, [u8; 32])>,
}

/// `secrets/authority`: what signs the machines' certificates. Only store members can read it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAuthority {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: String,
}

impl std::fmt::Debug for StoredAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAuthority").finish_non_exhaustive()
    }
}

/// A stored record cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not protobuf of the expected message.
    #[error("not a record of this kind")]
    Decode(#[source] prost::DecodeError),
    /// Written by a later version in a format this one does not know.
    #[error("format {format} is not known to this version, which knows up to {known}")]
    Format {
        /// The record's format.
        format: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A field holds what it may not.
    #[error("field {field} holds a bad value")]
    Value {
        /// The field's name.
        field: &'static str,
    },
}

/// What a record is stored as. Writing keeps the fields of `previous` that this version does
/// not know, so that an older leader loses nothing a newer one has stored.
pub trait Record: Sized {
    /// Reads a stored value.
    fn read(bytes: &[u8]) -> Result<Self, RecordError>;
    /// Writes the value; `previous` is what the key held before, empty if nothing.
    fn write(&self, previous: &[u8]) -> Vec<u8>;
}

/// A record with the revision at which it was last changed, which guards its next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// The registry revision of its last change.
    pub mod_revision: argosy_kv::Revision,
    /// The stored bytes, for fields this version does not know.
    pub stored: bytes::Bytes,
}

#[cfg(test)]
mod tests;
