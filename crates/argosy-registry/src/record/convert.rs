//! From records to their messages and back.

use std::num::TryFromIntError;

use prost::Message;

use argosy_model::{
    Assignment, AssignmentEntry, EndpointProtocol, Epoch, Generation, HealthCheck, ImageEngine,
    MachineId, Reason, ReasonKind, RestartCount, Term, UnitImage, UnitName, UnitRevision,
    UnixMicros, Want,
};

use super::unknown::keep_unknown;
use super::wire::{
    AssignmentMessage, AuthorityMessage, EndpointMessage, EntryMessage, EpochMessage, FORMAT,
    LeaderMessage, MachineMessage, ReasonMessage, RevisionMessage, ServiceMessage, TokenMessage,
    UnitMessage,
};
use super::{
    Desired, LeaderMark, Record, RecordError, StoredAuthority, StoredEndpoint, StoredMachine,
    StoredRevision, StoredService, StoredToken, StoredUnit,
};

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, RecordError> {
    M::decode(bytes).map_err(RecordError::Decode)
}

fn check_format(format: u32) -> Result<(), RecordError> {
    match format {
        0 => Err(RecordError::Value { field: "format" }),
        1..=FORMAT => Ok(()),
        _ => Err(RecordError::Format { format, known: FORMAT }),
    }
}

fn machine_id(bytes: &[u8], field: &'static str) -> Result<MachineId, RecordError> {
    let bytes = bytes.try_into().map_err(|_| RecordError::Value { field })?;
    Ok(MachineId(u128::from_be_bytes(bytes)))
}

fn unit_name(text: String, field: &'static str) -> Result<UnitName, RecordError> {
    UnitName::new(text).map_err(|_| RecordError::Value { field })
}

fn epoch_message(epoch: Epoch) -> Option<EpochMessage> {
    Some(EpochMessage { incarnation: epoch.incarnation, counter: epoch.counter })
}

fn epoch(message: Option<EpochMessage>) -> Epoch {
    let message = message.unwrap_or_default();
    Epoch { incarnation: message.incarnation, counter: message.counter }
}

impl Record for StoredUnit {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: UnitMessage = decode(bytes)?;
        check_format(message.format)?;
        let desired = match message.desired {
            0 => Desired::Inherit,
            1 => Desired::Run,
            2 => Desired::Stop,
            _ => return Err(RecordError::Value { field: "desired" }),
        };
        let home = match message.home.as_slice() {
            [] => None,
            bytes => Some(machine_id(bytes, "home")?),
        };
        Ok(StoredUnit {
            revision: UnitRevision(message.revision),
            own_text: message.own_text,
            desired,
            restart: RestartCount(message.restart),
            epoch: epoch(message.epoch),
            destroyed: message.destroyed,
            home,
            replicas: message.replicas,
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = UnitMessage {
            format: FORMAT,
            revision: self.revision.0,
            own_text: self.own_text,
            desired: match self.desired {
                Desired::Inherit => 0,
                Desired::Run => 1,
                Desired::Stop => 2,
            },
            restart: self.restart.0,
            epoch: epoch_message(self.epoch),
            destroyed: self.destroyed,
            home: self.home.map(|id| id.0.to_be_bytes().to_vec()).unwrap_or_default(),
            replicas: self.replicas,
        };
        keep_unknown(message.encode_to_vec(), previous, 9)
    }
}

impl Record for StoredRevision {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: RevisionMessage = decode(bytes)?;
        check_format(message.format)?;
        let at = UnixMicros(message.at);
        Ok(StoredRevision { text: message.text, author: message.author, at })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = RevisionMessage {
            format: FORMAT,
            text: self.text.clone(),
            author: self.author.clone(),
            at: self.at.0,
        };
        keep_unknown(message.encode_to_vec(), previous, 4)
    }
}

impl Record for StoredMachine {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: MachineMessage = decode(bytes)?;
        check_format(message.format)?;
        Ok(StoredMachine {
            id: machine_id(&message.id, "id")?,
            name: message.name,
            address: message.address,
            metadata: message.metadata,
            cordoned: message.cordoned,
            lost: message.lost,
            long_grant: message.long_grant,
            disk_full: message.disk_full,
            port: u16::try_from(message.port).map_err(|_| RecordError::Value { field: "port" })?,
            member: message.member,
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = MachineMessage {
            format: FORMAT,
            id: self.id.0.to_be_bytes().to_vec(),
            name: self.name.clone(),
            address: self.address.clone(),
            metadata: self.metadata.clone(),
            cordoned: self.cordoned,
            lost: self.lost,
            port: u32::from(self.port),
            member: self.member,
            long_grant: self.long_grant,
            disk_full: self.disk_full,
        };
        keep_unknown(message.encode_to_vec(), previous, 11)
    }
}

fn read_entry(bytes: &[u8]) -> Result<AssignmentEntry, RecordError> {
    let entry: EntryMessage = decode(bytes)?;
    Ok(AssignmentEntry {
        unit: unit_name(entry.unit, "unit")?,
        revision: UnitRevision(entry.revision),
        epoch: epoch(entry.epoch),
        restart: RestartCount(entry.restart),
        want: match entry.want {
            1 => Want::Run,
            2 => Want::Stop,
            _ => return Err(RecordError::Value { field: "want" }),
        },
        ports: entry
            .ports
            .into_iter()
            .map(|(service, port)| Ok((service, u16::try_from(port)?)))
            .collect::<Result<_, TryFromIntError>>()
            .map_err(|_| RecordError::Value { field: "ports" })?,
    })
}

fn write_entry(entry: &AssignmentEntry, previous: &[u8]) -> Vec<u8> {
    let message = EntryMessage {
        unit: entry.unit.to_string(),
        revision: entry.revision.0,
        epoch: epoch_message(entry.epoch),
        restart: entry.restart.0,
        want: match entry.want {
            Want::Run => 1,
            Want::Stop => 2,
        },
        ports: entry.ports.iter().map(|(name, port)| (name.clone(), u32::from(*port))).collect(),
    };
    keep_unknown(message.encode_to_vec(), previous, 6)
}

fn standby(names: Vec<String>, engine: ImageEngine) -> impl Iterator<Item = UnitImage> {
    names.into_iter().map(move |name| UnitImage { name, engine })
}

impl Record for Assignment {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: AssignmentMessage = decode(bytes)?;
        check_format(message.format)?;
        let entries: Vec<AssignmentEntry> =
            message.entries.iter().map(|bytes| read_entry(bytes)).collect::<Result<_, _>>()?;
        if !entries.is_sorted_by(|a, b| a.unit < b.unit) {
            return Err(RecordError::Value { field: "entries" });
        }
        Ok(Assignment {
            machine: machine_id(&message.machine, "machine")?,
            generation: Generation(message.generation),
            entries,
            standby: standby(message.standby, ImageEngine::Argosy)
                .chain(standby(message.standby_docker, ImageEngine::Docker))
                .collect(),
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let before: AssignmentMessage = decode(previous).unwrap_or_default();
        let stored_entry = |unit: &UnitName| {
            let same = |bytes: &&Vec<u8>| read_entry(bytes).is_ok_and(|entry| &entry.unit == unit);
            before.entries.iter().find(same).map_or(&[][..], Vec::as_slice)
        };
        // A previous record without unknown fields re-encodes to itself; only then is the
        // search for each entry's old bytes worth nothing.
        let plain = before.encode_to_vec() == previous
            && before.entries.iter().all(|bytes| {
                read_entry(bytes).is_ok_and(|entry| &write_entry(&entry, &[]) == bytes)
            });
        let entry_bytes = |entry: &AssignmentEntry| match plain {
            true => write_entry(entry, &[]),
            false => write_entry(entry, stored_entry(&entry.unit)),
        };
        let names = |engine| {
            let images = self.standby.iter().filter(move |image| image.engine == engine);
            images.map(|image| image.name.clone()).collect()
        };
        let message = AssignmentMessage {
            format: FORMAT,
            machine: self.machine.0.to_be_bytes().to_vec(),
            generation: self.generation.0,
            entries: self.entries.iter().map(entry_bytes).collect(),
            standby: names(ImageEngine::Argosy),
            standby_docker: names(ImageEngine::Docker),
        };
        keep_unknown(message.encode_to_vec(), previous, 6)
    }
}

pub(super) const REASON_KINDS: [ReasonKind; 14] = [
    ReasonKind::NoMachine,
    ReasonKind::Conflict,
    ReasonKind::Metadata,
    ReasonKind::MachineNamed,
    ReasonKind::FenceWait,
    ReasonKind::DataBound,
    ReasonKind::StartFailed,
    ReasonKind::NotReady,
    ReasonKind::Ended,
    ReasonKind::NotAnnounced,
    ReasonKind::NotRouted,
    ReasonKind::Dependency,
    ReasonKind::NotWanted,
    ReasonKind::Unreadable,
];

impl Record for Reason {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: ReasonMessage = decode(bytes)?;
        check_format(message.format)?;
        let kind = REASON_KINDS.into_iter().find(|kind| kind.as_str() == message.kind);
        Ok(Reason {
            kind: kind.ok_or(RecordError::Value { field: "kind" })?,
            sentence: message.sentence,
            candidates: message.candidates,
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = ReasonMessage {
            format: FORMAT,
            kind: self.kind.as_str().to_owned(),
            sentence: self.sentence.clone(),
            candidates: self.candidates.clone(),
        };
        keep_unknown(message.encode_to_vec(), previous, 4)
    }
}

fn service(message: ServiceMessage) -> Result<StoredService, RecordError> {
    let protocol = EndpointProtocol::parse(&message.protocol);
    Ok(StoredService {
        service: message.service,
        protocol: protocol.ok_or(RecordError::Value { field: "protocol" })?,
        address: message.address.parse().map_err(|_| RecordError::Value { field: "address" })?,
        key: message.key,
        // An older daemon writes none. A kind of a newer one is no reason to lose the endpoint.
        check: HealthCheck::parse(&message.check).unwrap_or(HealthCheck::Tcp),
    })
}

fn service_message(service: &StoredService) -> ServiceMessage {
    ServiceMessage {
        service: service.service.clone(),
        protocol: service.protocol.as_str().to_owned(),
        address: service.address.to_string(),
        key: service.key.clone(),
        check: match &service.check {
            HealthCheck::Tcp => String::new(),
            check @ HealthCheck::Http(_) => check.to_string(),
        },
    }
}

impl Record for StoredEndpoint {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: EndpointMessage = decode(bytes)?;
        check_format(message.format)?;
        Ok(StoredEndpoint {
            unit: unit_name(message.unit, "unit")?,
            machine: machine_id(&message.machine, "machine")?,
            epoch: epoch(message.epoch),
            key: message.key,
            value: message.value,
            services: message.services.into_iter().map(service).collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = EndpointMessage {
            format: FORMAT,
            unit: self.unit.to_string(),
            machine: self.machine.0.to_be_bytes().to_vec(),
            epoch: epoch_message(self.epoch),
            key: self.key.clone(),
            value: self.value.clone(),
            services: self.services.iter().map(service_message).collect(),
        };
        keep_unknown(message.encode_to_vec(), previous, 7)
    }
}

impl Record for LeaderMark {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: LeaderMessage = decode(bytes)?;
        check_format(message.format)?;
        Ok(LeaderMark { term: Term(message.term), member: message.member })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = LeaderMessage { format: FORMAT, term: self.term.0, member: self.member };
        keep_unknown(message.encode_to_vec(), previous, 3)
    }
}

impl Record for StoredToken {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: TokenMessage = decode(bytes)?;
        check_format(message.format)?;
        let hash =
            |bytes: Vec<u8>, field| bytes.try_into().map_err(|_| RecordError::Value { field });
        Ok(StoredToken {
            id: message.id,
            secret_hash: hash(message.secret_hash, "secret_hash")?,
            expires: UnixMicros(message.expires),
            used_by: match message.used_by.as_slice() {
                [] => None,
                bytes => Some((machine_id(bytes, "used_by")?, hash(message.used_key, "used_key")?)),
            },
        })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let message = TokenMessage {
            format: FORMAT,
            id: self.id.clone(),
            secret_hash: self.secret_hash.to_vec(),
            expires: self.expires.0,
            used_by: self.used_by.map(|(id, _)| id.0.to_be_bytes().to_vec()).unwrap_or_default(),
            used_key: self.used_by.map(|(_, key)| key.to_vec()).unwrap_or_default(),
        };
        keep_unknown(message.encode_to_vec(), previous, 6)
    }
}

impl Record for StoredAuthority {
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let message: AuthorityMessage = decode(bytes)?;
        check_format(message.format)?;
        Ok(StoredAuthority { certificate: message.certificate, key: message.key })
    }

    fn write(&self, previous: &[u8]) -> Vec<u8> {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let message = AuthorityMessage { format: FORMAT, certificate, key };
        keep_unknown(message.encode_to_vec(), previous, 3)
    }
}
