//! Making a network: its definition.

use std::time::SystemTime;

use argosy_netlink::RouteSocket;
use ipnet::IpNet;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{Networks, devices};
use crate::allocate::{self, Birth, Machine};
use crate::files::{self, Lasting, Lock};
use crate::spec::DEFAULT_NETWORK;
use crate::{Network, NetworkError, NetworkSpec};

/// 64 hexadecimal digits.
const ID_BYTES: usize = 32;

impl Networks {
    /// Makes a network: only its definition, until a container uses it.
    pub fn create(
        &self,
        spec: &NetworkSpec,
        ignore_existing: bool,
    ) -> Result<Network, NetworkError> {
        let lock = Lock::take(&self.run_dir)?;
        let others = self.list()?;
        match others.iter().find(|it| it.name == spec.name) {
            Some(existing) if ignore_existing => Ok(existing.clone()),
            Some(_) => Err(NetworkError::Exists { name: spec.name.clone() }),
            None => self.define(spec, &others, &lock),
        }
    }

    /// Finds the network of a name, and makes the default one at its first use.
    pub(super) fn find_or_make(&self, name: &str, lock: &Lock) -> Result<Network, NetworkError> {
        let name = if name == "default" { DEFAULT_NETWORK } else { name };
        match self.find(name) {
            Err(NetworkError::NotFound { .. }) if name == DEFAULT_NETWORK => {
                let name = name.to_owned();
                let spec = NetworkSpec { name, dns: true, ..NetworkSpec::default() };
                self.define(&spec, &self.list()?, lock)
            }
            other => other,
        }
    }

    fn define(
        &self,
        spec: &NetworkSpec,
        others: &[Network],
        _lock: &Lock,
    ) -> Result<Network, NetworkError> {
        let network = allocate::network(spec, others, &machine(others)?, birth()?)?;
        files::make_directory(&self.data_dir)?;
        let path = files::record(&self.data_dir, &network.name);
        files::write(&path, &network, Lasting::Always)?;
        Ok(network)
    }
}

/// What this machine has that a new network must keep clear of.
fn machine(networks: &[Network]) -> Result<Machine, NetworkError> {
    let read = || {
        let socket = RouteSocket::open()?;
        Ok((socket.links()?, socket.routes(false)?))
    };
    let (links, routes) = read().map_err(NetworkError::system("read this machine's routes"))?;
    let ours: Vec<u32> = links
        .iter()
        .filter(|link| devices::is_bridge_of(link, networks))
        .map(|link| link.index)
        .collect();
    let routes = routes.iter().filter(|it| it.interface.is_none_or(|index| !ours.contains(&index)));
    Ok(Machine {
        routes: routes.filter_map(|it| IpNet::new(it.destination, it.prefix).ok()).collect(),
        interfaces: links.into_iter().map(|link| link.name).collect(),
    })
}

fn birth() -> Result<Birth, NetworkError> {
    let mut bytes = [0; ID_BYTES];
    // A few bytes are always given whole.
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|it| NetworkError::system("make an id")(it.into()))?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Birth { id, created_s: since.as_secs() })
}
