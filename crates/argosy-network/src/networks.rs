//! The networks of this machine: their definitions, and who has which address in them.
//!
//! Everything is in files, under one lock; nothing runs. Definitions outlive a boot. Reservations
//! do not, and a reservation is written before its address is used: whoever is killed in between
//! leaves a record that the next collection removes.

mod definitions;
mod devices;
mod reservations;

use std::path::PathBuf;

pub(crate) use devices::{BRIDGE_GROUP, make_bridge};
pub use reservations::{Attach, ReserveRequest};
pub(crate) use reservations::{Reservation, directory as reservations_directory, read_all};

use crate::spec::{DEFAULT_NETWORK, FORMAT};
use crate::{Endpoint, Network, NetworkError, files};

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub id: String,
    pub name: String,
    pub endpoint: Endpoint,
}

/// The networks of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// Definitions, which survive a boot.
    pub data_dir: PathBuf,
    /// This boot's reservations and the lock.
    pub run_dir: PathBuf,
}

impl Networks {
    /// Returns all networks that were made, by name.
    pub fn list(&self) -> Result<Vec<Network>, NetworkError> {
        let mut networks = Vec::new();
        for path in files::records(&self.data_dir)? {
            let Some(network) = files::read::<Network>(&path)? else { continue };
            if network.format != FORMAT {
                return Err(NetworkError::Format { path, format: network.format });
            }
            networks.push(network);
        }
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// Finds a network by its name, its id, or what only its id begins with.
    pub fn find(&self, name: &str) -> Result<Network, NetworkError> {
        let networks = self.list()?;
        if let Some(named) = networks.iter().find(|it| it.name == name || it.id == name) {
            return Ok(named.clone());
        }
        let mut begun =
            networks.into_iter().filter(|it| !name.is_empty() && it.id.starts_with(name));
        match (begun.next(), begun.next()) {
            (Some(network), None) => Ok(network),
            (Some(_), Some(_)) => Err(NetworkError::Ambiguous { start: name.to_owned() }),
            (None, _) => Err(NetworkError::NotFound { name: name.to_owned() }),
        }
    }

    /// Removes a network that no container is on, with its bridge.
    pub fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let lock = files::Lock::take(&self.run_dir)?;
        let network = self.find(name)?;
        if network.name == DEFAULT_NETWORK {
            return Err(NetworkError::Default { name: network.name });
        }
        self.remove_one(&network, &lock)
    }

    /// Removes all networks that no container is on, except the default one; returns their names.
    pub fn prune(&self) -> Result<Vec<String>, NetworkError> {
        let lock = files::Lock::take(&self.run_dir)?;
        let mut removed = Vec::new();
        for network in self.list()?.into_iter().filter(|it| it.name != DEFAULT_NETWORK) {
            match self.remove_one(&network, &lock) {
                Ok(()) => removed.push(network.name),
                Err(NetworkError::InUse { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    fn remove_one(&self, network: &Network, _lock: &files::Lock) -> Result<(), NetworkError> {
        let containers = self.containers(&network.name)?;
        let containers: Vec<String> = containers.into_iter().map(|it| it.name).collect();
        if !containers.is_empty() {
            return Err(NetworkError::InUse { name: network.name.clone(), containers });
        }
        // The bridge first: without a definition nobody would know whose it is.
        devices::remove_bridges(std::slice::from_ref(network))?;
        files::remove(&files::record(&self.data_dir, &network.name))?;
        reservations::forget_last(&self.run_dir, &network.name)
    }

    /// Returns the containers that are on a network, by their ids.
    pub fn containers(&self, name: &str) -> Result<Vec<Attached>, NetworkError> {
        let network = self.find(name)?;
        let mut found = Vec::new();
        for reservation in read_all(&self.run_dir)? {
            let Reservation { id, name, endpoints, .. } = reservation;
            let endpoint = endpoints.into_iter().find(|it| it.network == network.name);
            found.extend(endpoint.map(|endpoint| Attached { id, name, endpoint }));
        }
        Ok(found)
    }
}
