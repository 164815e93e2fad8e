//! The stored form: a mark, a checksum, then a protobuf message with a format number.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use argosy_model::{Epoch, HealthCheck, MachineId};
use prost::Message;

use super::{Endpoint, Published, Standing, Table, TableError};
use crate::Protocol;

/// The newest format.
const FORMAT: u32 = 1;
/// The first bytes of the file.
const MARK: &[u8; 8] = b"argotab\n";
/// Mark and CRC-32C, little endian, of everything after it.
const HEADER_BYTES: usize = MARK.len() + 4;

#[derive(Clone, PartialEq, prost::Message)]
struct TableMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(message, repeated, tag = "3")]
    services: Vec<ServiceMessage>,
    #[prost(message, repeated, tag = "4")]
    published: Vec<PublishedMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PublishedMessage {
    #[prost(uint32, tag = "1")]
    port: u32,
    /// 1 HTTP, 2 TCP.
    #[prost(uint32, tag = "2")]
    protocol: u32,
    #[prost(string, tag = "3")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServiceMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<EndpointMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EndpointMessage {
    #[prost(string, tag = "1")]
    instance: String,
    /// Sixteen bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    machine: Vec<u8>,
    #[prost(uint64, tag = "3")]
    incarnation: u64,
    #[prost(uint64, tag = "4")]
    counter: u64,
    #[prost(string, tag = "5")]
    address: String,
    #[prost(string, tag = "6")]
    zone: String,
    #[prost(bool, tag = "7")]
    expired: bool,
    /// Empty for none.
    #[prost(string, tag = "8")]
    check: String,
}

pub(super) fn load(path: &Path) -> Result<Option<Table>, TableError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TableError::Read { path: path.to_owned(), source }),
    };
    let damaged = |what| TableError::Damaged { path: path.to_owned(), what };
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(damaged("it is too short"));
    };
    let (mark, sum) = header.split_at(MARK.len());
    if mark != MARK {
        return Err(damaged("it does not begin with the mark of a table"));
    }
    if sum != crc32c::crc32c(body).to_le_bytes() {
        return Err(damaged("its checksum is wrong"));
    }
    let message = TableMessage::decode(body).map_err(|_| damaged("it is no protobuf message"))?;
    if message.format > FORMAT {
        let (format, known) = (message.format, FORMAT);
        return Err(TableError::Format { path: path.to_owned(), format, known });
    }
    let mut table = Table { generation: message.generation, ..Table::default() };
    for service in message.services {
        let endpoints: Option<Vec<Endpoint>> = service.endpoints.into_iter().map(read).collect();
        let endpoints = endpoints.ok_or_else(|| damaged("an endpoint holds a bad value"))?;
        table.services.insert(service.name, endpoints);
    }
    let published: Option<_> = message.published.into_iter().map(read_published).collect();
    table.published = published.ok_or_else(|| damaged("a published port holds a bad value"))?;
    Ok(Some(table))
}

pub(super) fn store(table: &Table, path: &Path) -> Result<(), TableError> {
    let body = message(table).encode_to_vec();
    let making = path.with_extension("new");
    let write = || {
        let mut file = File::create(&making)?;
        file.write_all(MARK)?;
        file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&making, path)?;
        // The new name is durable once its directory is.
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    write().map_err(|source| TableError::Write { path: path.to_owned(), source })
}

fn message(table: &Table) -> TableMessage {
    let endpoint = |endpoint: &Endpoint| EndpointMessage {
        instance: endpoint.instance.clone(),
        machine: endpoint.machine.0.to_be_bytes().to_vec(),
        incarnation: endpoint.epoch.incarnation,
        counter: endpoint.epoch.counter,
        address: endpoint.address.to_string(),
        zone: endpoint.zone.clone(),
        expired: endpoint.standing == Standing::Expired,
        check: endpoint.check.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let service = |(name, endpoints): (&String, &Vec<Endpoint>)| ServiceMessage {
        name: name.clone(),
        endpoints: endpoints.iter().map(endpoint).collect(),
    };
    let services = table.services.iter().map(service).collect();
    let published = |published: &Published| PublishedMessage {
        port: u32::from(published.port),
        protocol: match published.protocol {
            Protocol::Http => 1,
            Protocol::Tcp => 2,
        },
        service: published.service.clone(),
    };
    let published = table.published.iter().map(published).collect();
    TableMessage { format: FORMAT, generation: table.generation, services, published }
}

fn read_published(message: PublishedMessage) -> Option<Published> {
    let protocol = match message.protocol {
        1 => Protocol::Http,
        2 => Protocol::Tcp,
        _ => return None,
    };
    let port = u16::try_from(message.port).ok()?;
    Some(Published { port, protocol, service: message.service })
}

/// None when a field holds what it may not.
fn read(message: EndpointMessage) -> Option<Endpoint> {
    let EndpointMessage { instance, machine, incarnation, counter, address, zone, .. } = message;
    Some(Endpoint {
        instance,
        machine: MachineId(u128::from_be_bytes(machine.try_into().ok()?)),
        epoch: Epoch { incarnation, counter },
        address: address.parse().ok()?,
        zone,
        // A kind of a later version is as good as none.
        check: HealthCheck::parse(&message.check),
        standing: if message.expired { Standing::Expired } else { Standing::Held },
    })
}
