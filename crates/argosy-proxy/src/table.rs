//! The table: where each service is. Plain data, and its form on disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use argosy_model::{Epoch, HealthCheck, MachineId};

use crate::Protocol;

mod file;
#[cfg(test)]
mod tests;

/// Where all services are, at one generation. A proxy follows rising generations only and
/// ignores a table whose generation is not above the one it has, be it from the disk; so
/// whoever makes tables goes on counting after a restart. Generation 0 stands for no table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Rises with every change.
    pub generation: u64,
    /// The endpoints of each service, by its name.
    pub services: BTreeMap<String, Vec<Endpoint>>,
    /// Where the proxy listens beside its configured listeners, if it is told at which address
    /// ([`crate::ProxyConfig::published_at`]); each port once.
    pub published: Vec<Published>,
}

/// A port on which a service is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The service.
    pub service: String,
}

/// One instance of a service that may be sent requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The instance, such as `web@1.service`; unique within its service.
    pub instance: String,
    /// The machine it runs on.
    pub machine: MachineId,
    /// The epoch it runs with. A changed epoch is another endpoint, with a clean record.
    pub epoch: Epoch,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where its machine stands; empty when unknown.
    pub zone: String,
    /// How it is asked whether it is well; `None` is for whoever runs the proxy to say.
    pub check: Option<HealthCheck>,
    /// Whether its registration still holds.
    pub standing: Standing,
}

/// Whether an endpoint's registration still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It is registered.
    #[default]
    Held,
    /// Its registration ran out and nobody withdrew it: it may be gone, or whoever renews
    /// registrations may be. [`crate::expiry`] says whether it is still used.
    Expired,
}

/// The table on disk cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Reading the file failed.
    #[error("cannot read the table {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Writing the file failed; what was there before still is.
    #[error("cannot write the table {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error("{} is no table: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Written by a later version.
    #[error("{} has format {format}; this version knows up to {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format known here.
        known: u32,
    },
}

impl Table {
    /// Reads a stored table; none if the file does not exist.
    pub fn load(path: &Path) -> Result<Option<Table>, TableError> {
        file::load(path)
    }

    /// Stores the table in place of what was there. When this returns it survives the machine's
    /// death; when it fails the older table is still there.
    pub fn store(&self, path: &Path) -> Result<(), TableError> {
        file::store(self, path)
    }
}
