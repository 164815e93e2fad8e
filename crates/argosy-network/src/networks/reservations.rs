//! Who has which address: one record a container.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Networks, devices};
use crate::files::{self, Lasting, Lock};
use crate::{Endpoint, Mac, Network, NetworkError, allocate, spec};

/// A network that a container is to be on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attach {
    pub network: String,
    /// Any free address if none is told.
    pub ip: Option<IpAddr>,
    pub mac: Option<Mac>,
    /// Names of the container in this network only.
    pub aliases: Vec<String>,
    /// The interface's name inside: `eth0` and so on if none is told.
    pub interface: Option<String>,
}

/// A container that is to be on networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReserveRequest {
    pub id: String,
    pub name: String,
    /// Names of the container in all its networks, its host name among them.
    pub aliases: Vec<String>,
    pub networks: Vec<Attach>,
}

/// The record of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Where the records are.
pub(crate) fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("reservations")
}

/// Where it stands which address of a network was given last.
fn last_path(run_dir: &Path, network: &str) -> PathBuf {
    files::record(&run_dir.join("last"), network)
}

pub(super) fn forget_last(run_dir: &Path, network: &str) -> Result<(), NetworkError> {
    files::remove(&last_path(run_dir, network)).map(|_| ())
}

/// Returns all records.
pub(crate) fn read_all(run_dir: &Path) -> Result<Vec<Reservation>, NetworkError> {
    let mut found = Vec::new();
    for path in files::records(&directory(run_dir))? {
        found.extend(files::read(&path)?);
    }
    Ok(found)
}

impl Networks {
    /// Gives a container its addresses. A container that has some keeps those in the networks that
    /// it is still to be on.
    pub fn reserve(&self, request: &ReserveRequest) -> Result<Vec<Endpoint>, NetworkError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NetworkError::NeedsRoot);
        }
        spec::check_id(&request.id)?;
        let lock = Lock::take(&self.run_dir)?;
        let others = read_all(&self.run_dir)?;
        let (before, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|it| it.id == request.id);
        let before = before.into_iter().flat_map(|it| it.endpoints).collect::<Vec<_>>();
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for attach in &request.networks {
            let network = self.find_or_make(&attach.network, &lock)?;
            if endpoints.iter().any(|it| it.network == network.name) {
                return Err(NetworkError::AttachedTwice { network: network.name });
            }
            let address = self.choose(&network, attach.ip, &before, &others)?;
            let interface = interface(attach, &endpoints)?;
            endpoints.push(endpoint(network, address, interface, attach));
        }
        files::make_directory(&directory(&self.run_dir))?;
        let reservation = Reservation {
            id: request.id.clone(),
            name: request.name.clone(),
            aliases: request.aliases.clone(),
            endpoints: endpoints.clone(),
        };
        let path = files::record(&directory(&self.run_dir), &request.id);
        files::write(&path, &reservation, Lasting::Boot)?;
        Ok(endpoints)
    }

    /// Returns the networks that a container is on.
    pub fn endpoints(&self, id: &str) -> Result<Vec<Endpoint>, NetworkError> {
        spec::check_id(id)?;
        let path = files::record(&directory(&self.run_dir), id);
        Ok(files::read::<Reservation>(&path)?.map(|it| it.endpoints).unwrap_or_default())
    }

    /// Gives back what a container had, and takes away the bridges that nobody uses any more.
    pub fn release(&self, id: &str) -> Result<(), NetworkError> {
        spec::check_id(id)?;
        let lock = Lock::take(&self.run_dir)?;
        if files::remove(&files::record(&directory(&self.run_dir), id))? {
            self.remove_unused_bridges(&lock)?;
        }
        Ok(())
    }

    /// Gives back what containers had that are not there any more; returns their ids. A container
    /// must be there, for `is_alive`, before it reserves anything.
    pub fn collect(&self, is_alive: impl Fn(&str) -> bool) -> Result<Vec<String>, NetworkError> {
        let lock = Lock::take(&self.run_dir)?;
        files::sweep(&directory(&self.run_dir))?;
        files::sweep(&self.run_dir.join("last"))?;
        files::sweep(&self.data_dir)?;
        let mut collected = Vec::new();
        for reservation in read_all(&self.run_dir)? {
            if !is_alive(&reservation.id) {
                files::remove(&files::record(&directory(&self.run_dir), &reservation.id))?;
                collected.push(reservation.id);
            }
        }
        self.remove_unused_bridges(&lock)?;
        Ok(collected)
    }

    fn remove_unused_bridges(&self, _lock: &Lock) -> Result<(), NetworkError> {
        let used = read_all(&self.run_dir)?.into_iter().flat_map(|it| it.endpoints);
        let used: BTreeSet<String> = used.map(|it| it.network).collect();
        let mut unused = self.list()?;
        unused.retain(|it| !used.contains(&it.name));
        devices::remove_bridges(&unused)
    }

    fn choose(
        &self,
        network: &Network,
        wanted: Option<IpAddr>,
        before: &[Endpoint],
        others: &[Reservation],
    ) -> Result<Ipv4Addr, NetworkError> {
        let taken = taken(network, others);
        if let Some(address) = wanted {
            let name = || network.name.clone();
            let usable = match address {
                IpAddr::V4(v4) => Some(v4).filter(|v4| allocate::is_for_containers(network, *v4)),
                IpAddr::V6(_) => None,
            };
            let v4 = usable.ok_or_else(|| NetworkError::BadAddress { address, network: name() })?;
            return match taken.get(&v4) {
                None => Ok(v4),
                Some(container) => {
                    let container = container.clone();
                    Err(NetworkError::AddressTaken { address, network: name(), container })
                }
            };
        }
        let kept = before.iter().find(|it| it.network == network.name).map(|it| it.address);
        let is_free =
            |it: &Ipv4Addr| allocate::is_for_containers(network, *it) && !taken.contains_key(it);
        if let Some(kept) = kept.filter(is_free) {
            return Ok(kept);
        }
        let path = last_path(&self.run_dir, &network.name);
        // Without a readable record it begins anew: what is taken is known anyway.
        let last = files::read::<Ipv4Addr>(&path).unwrap_or(None);
        let address = allocate::next_address(network, &taken, last);
        let address =
            address.ok_or_else(|| NetworkError::NoAddress { network: network.name.clone() })?;
        files::make_directory(&self.run_dir.join("last"))?;
        files::write(&path, &address, Lasting::Boot)?;
        Ok(address)
    }
}

/// The addresses of a network that containers have, and the containers' names.
fn taken(network: &Network, others: &[Reservation]) -> BTreeMap<Ipv4Addr, String> {
    let mut taken = BTreeMap::new();
    for other in others {
        for endpoint in other.endpoints.iter().filter(|it| it.network == network.name) {
            taken.insert(endpoint.address, other.name.clone());
        }
    }
    taken
}

fn interface(attach: &Attach, endpoints: &[Endpoint]) -> Result<String, NetworkError> {
    let is_taken = |name: &str| endpoints.iter().any(|it| it.interface == name);
    match &attach.interface {
        Some(name) => {
            spec::check_interface(name)?;
            if is_taken(name) || name == "lo" {
                return Err(NetworkError::InterfaceTwice { name: name.clone() });
            }
            Ok(name.clone())
        }
        None => {
            let mut names = (0..=endpoints.len()).map(|number| format!("eth{number}"));
            let free = names.find(|name| !is_taken(name));
            // One more name than there are endpoints: one of them is free.
            Ok(free.unwrap_or_default())
        }
    }
}

fn endpoint(network: Network, address: Ipv4Addr, interface: String, attach: &Attach) -> Endpoint {
    Endpoint {
        network: network.name,
        bridge: network.interface,
        address,
        prefix: network.net.prefix_len(),
        gateway: network.gateway,
        mac: attach.mac.unwrap_or_else(|| Mac::of(address)),
        interface,
        aliases: attach.aliases.clone(),
        internal: network.internal,
        isolate: network.isolate,
        dns: network.dns,
        dns_servers: network.dns_servers,
        mtu: network.mtu,
    }
}
