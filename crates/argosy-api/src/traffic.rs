//! What proxies and the daemon tell each other: `POST /v1/traffic` with a [`FollowRequest`] is
//! answered by the [`TableView`] that comes after the one followed, or by `null` when there is
//! none after a while.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::EpochView;

/// A proxy asks for the next table, and says how far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRequest {
    /// Tells this proxy from others of its machine, for as long as it runs.
    pub proxy: String,
    /// The generation it has; 0 for none.
    pub following: u64,
    /// The generation that all of its threads follow: no request that begins later goes where
    /// this table does not lead.
    pub acknowledged: u64,
    /// What it cannot do, one line each.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Where the services are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableView {
    /// The registry revision at which routes last changed.
    pub generation: u64,
    /// The endpoints of each service, by its name.
    pub services: BTreeMap<String, Vec<EndpointView>>,
    /// The ports on which services are published on every machine.
    pub published: Vec<PublishedView>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// The unit; a global one's with its machine.
    pub instance: String,
    /// The machine, 32 hexadecimal digits.
    pub machine: String,
    /// The epoch it runs with.
    pub epoch: EpochView,
    /// Where it answers.
    pub address: String,
    /// The machine's label `zone`; empty without one.
    pub zone: String,
    /// How it is asked whether it is well: `http:/PATH`; empty for a connection.
    #[serde(default)]
    pub check: String,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedView {
    /// The port.
    pub port: u16,
    /// `http` or `tcp`.
    pub protocol: String,
    /// The service.
    pub service: String,
}
