//! The protobuf messages of the records. Field numbers are for ever.

use std::collections::BTreeMap;

/// The newest format of every record.
pub(super) const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EpochMessage {
    #[prost(uint64, tag = "1")]
    pub(super) incarnation: u64,
    #[prost(uint64, tag = "2")]
    pub(super) counter: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnitMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(bool, tag = "3")]
    pub(super) own_text: bool,
    /// 0 inherit, 1 run, 2 stop.
    #[prost(uint32, tag = "4")]
    pub(super) desired: u32,
    #[prost(uint64, tag = "5")]
    pub(super) restart: u64,
    #[prost(message, optional, tag = "6")]
    pub(super) epoch: Option<EpochMessage>,
    #[prost(bool, tag = "7")]
    pub(super) destroyed: bool,
    /// Sixteen bytes, big endian; empty for none.
    #[prost(bytes = "vec", tag = "8")]
    pub(super) home: Vec<u8>,
    #[prost(uint32, optional, tag = "9")]
    pub(super) replicas: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RevisionMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(string, tag = "2")]
    pub(super) text: String,
    #[prost(string, tag = "3")]
    pub(super) author: String,
    #[prost(uint64, tag = "4")]
    pub(super) at: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MachineMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) address: String,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) metadata: BTreeMap<String, String>,
    #[prost(bool, tag = "6")]
    pub(super) cordoned: bool,
    #[prost(bool, tag = "7")]
    pub(super) lost: bool,
    #[prost(uint32, tag = "8")]
    pub(super) port: u32,
    #[prost(uint64, tag = "9")]
    pub(super) member: u64,
    #[prost(bool, tag = "10")]
    pub(super) long_grant: bool,
    #[prost(bool, tag = "11")]
    pub(super) disk_full: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryMessage {
    #[prost(string, tag = "1")]
    pub(super) unit: String,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(message, optional, tag = "3")]
    pub(super) epoch: Option<EpochMessage>,
    #[prost(uint64, tag = "4")]
    pub(super) restart: u64,
    /// 1 run, 2 stop; 0 is refused, so that a lost field is never an order.
    #[prost(uint32, tag = "5")]
    pub(super) want: u32,
    /// The ports chosen for it, by service.
    #[prost(btree_map = "string, uint32", tag = "6")]
    pub(super) ports: BTreeMap<String, u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AssignmentMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) machine: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(super) generation: u64,
    /// Each an [`EntryMessage`], kept as bytes so that unknown fields of an entry survive.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(super) entries: Vec<Vec<u8>>,
    /// Names of images to have in case units come, for this program's own engine.
    #[prost(string, repeated, tag = "5")]
    pub(super) standby: Vec<String>,
    /// The same, for whatever is called docker.
    #[prost(string, repeated, tag = "6")]
    pub(super) standby_docker: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReasonMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    /// [`argosy_model::ReasonKind::as_str`].
    #[prost(string, tag = "2")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    pub(super) sentence: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) candidates: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EndpointMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(string, tag = "2")]
    pub(super) unit: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) machine: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub(super) epoch: Option<EpochMessage>,
    #[prost(string, tag = "5")]
    pub(super) key: String,
    #[prost(string, tag = "6")]
    pub(super) value: String,
    #[prost(message, repeated, tag = "7")]
    pub(super) services: Vec<ServiceMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServiceMessage {
    #[prost(string, tag = "1")]
    pub(super) service: String,
    /// [`argosy_model::EndpointProtocol::as_str`].
    #[prost(string, tag = "2")]
    pub(super) protocol: String,
    #[prost(string, tag = "3")]
    pub(super) address: String,
    #[prost(string, tag = "4")]
    pub(super) key: String,
    /// [`argosy_model::HealthCheck`]; empty for a connection.
    #[prost(string, tag = "5")]
    pub(super) check: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaderMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, tag = "2")]
    pub(super) term: u64,
    #[prost(uint64, tag = "3")]
    pub(super) member: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) secret_hash: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(super) expires: u64,
    /// Sixteen bytes, big endian; empty while unused.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) used_by: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    pub(super) used_key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuthorityMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(string, tag = "2")]
    pub(super) certificate: String,
    #[prost(string, tag = "3")]
    pub(super) key: String,
}
