//! Which subnet and which address is free: plain functions of what is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::spec::{self, DEFAULT_NETWORK, FORMAT};
use crate::{Network, NetworkError, NetworkSpec, Subnet};

/// The default network's, which is podman's; and if podman or another has it, what lies below.
const DEFAULT_SUBNETS: [Ipv4Addr; 9] = [
    Ipv4Addr::new(10, 88, 0, 0),
    Ipv4Addr::new(10, 87, 0, 0),
    Ipv4Addr::new(10, 86, 0, 0),
    Ipv4Addr::new(10, 85, 0, 0),
    Ipv4Addr::new(10, 84, 0, 0),
    Ipv4Addr::new(10, 83, 0, 0),
    Ipv4Addr::new(10, 82, 0, 0),
    Ipv4Addr::new(10, 81, 0, 0),
    Ipv4Addr::new(10, 80, 0, 0),
];
const DEFAULT_PREFIX: u8 = 16;
/// Where other networks get theirs, a /24 each: the second bytes from podman's on, as many as make
/// ten thousand networks.
const POOL: std::ops::Range<u8> = 89..128;
const POOL_PREFIX: u8 = 24;
/// A subnet has its own address, its broadcast address, the gateway's and at least one more.
const PREFIX_MAX: u8 = 30;
/// The bridge of the default network, and what others' names begin with.
const INTERFACE: &str = "argosy";

/// What a machine has that networks must keep clear of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Where its routes lead, without those of its networks' own bridges.
    pub(crate) routes: Vec<IpNet>,
    pub(crate) interfaces: BTreeSet<String>,
}

/// Who makes a network, and when.
#[derive(Debug, Clone)]
pub(crate) struct Birth {
    pub(crate) id: String,
    pub(crate) created_s: u64,
}

/// Decides all of a new network, or refuses it.
pub(crate) fn network(
    spec: &NetworkSpec,
    others: &[Network],
    machine: &Machine,
    birth: Birth,
) -> Result<Network, NetworkError> {
    spec::check_name(&spec.name)?;
    let options = spec::options(&spec.options)?;
    if spec.ipv6 || spec.subnets.iter().any(|it| matches!(it.net, IpNet::V6(_))) {
        return Err(NetworkError::Ipv6);
    }
    let wanted = spec.interface.clone().or(options.interface);
    let interface = interface(wanted, &spec.name, others, machine)?;
    let (net, gateway, range) = match spec.subnets.as_slice() {
        [] => {
            let net = free_subnet(&spec.name, others, machine).ok_or(NetworkError::NoSubnet)?;
            (net, first_host(net), None)
        }
        [subnet] => given_subnet(subnet, others, machine)?,
        _ => return Err(NetworkError::SeveralSubnets),
    };
    Ok(Network {
        format: FORMAT,
        id: birth.id,
        name: spec.name.clone(),
        driver: spec.driver,
        interface,
        net,
        gateway,
        range,
        internal: spec.internal,
        dns: spec.dns,
        dns_servers: spec.dns_servers.clone(),
        mtu: options.mtu,
        isolate: options.isolate,
        labels: spec.labels.clone(),
        options: spec.options.clone(),
        created_s: birth.created_s,
    })
}

fn interface(
    wanted: Option<String>,
    network: &str,
    others: &[Network],
    machine: &Machine,
) -> Result<String, NetworkError> {
    let is_taken = |name: &str| {
        machine.interfaces.contains(name) || others.iter().any(|it| it.interface == name)
    };
    match wanted {
        Some(name) => {
            spec::check_interface(&name)?;
            if is_taken(&name) { Err(NetworkError::InterfaceTaken { name }) } else { Ok(name) }
        }
        // The number 0 is kept for the default network, which may be made later than others.
        None => {
            let first = u32::from(network != DEFAULT_NETWORK);
            let mut names = (first..).map(|number| format!("{INTERFACE}{number}"));
            names.find(|name| !is_taken(name)).ok_or(NetworkError::NoSubnet)
        }
    }
}

fn given_subnet(
    subnet: &Subnet,
    others: &[Network],
    machine: &Machine,
) -> Result<(Ipv4Net, Ipv4Addr, Option<Ipv4Net>), NetworkError> {
    let IpNet::V4(net) = subnet.net.trunc() else { return Err(NetworkError::Ipv6) };
    if net.prefix_len() > PREFIX_MAX {
        return Err(NetworkError::SubnetTooSmall { net: net.into() });
    }
    if let Some(other) = others.iter().find(|other| overlap(net, other.net.into())) {
        let (other, network) = (other.net.into(), other.name.clone());
        return Err(NetworkError::OverlapsNetwork { net: net.into(), other, network });
    }
    if let Some(other) = machine.routes.iter().find(|route| overlap(net, **route)) {
        return Err(NetworkError::OverlapsRoute { net: net.into(), other: *other });
    }
    let gateway = match subnet.gateway {
        None => first_host(net),
        Some(IpAddr::V4(gateway)) if is_host(net, gateway) => gateway,
        Some(gateway) => return Err(NetworkError::BadGateway { gateway, net: net.into() }),
    };
    let range = match subnet.range.map(|range| range.trunc()) {
        None => None,
        Some(IpNet::V4(range)) if net.contains(&range) => Some(range),
        Some(range) => return Err(NetworkError::BadRange { range, net: net.into() }),
    };
    Ok((net, gateway, range))
}

fn free_subnet(network: &str, others: &[Network], machine: &Machine) -> Option<Ipv4Net> {
    let is_free = |net: &Ipv4Net| {
        others.iter().all(|other| !overlap(*net, other.net.into()))
            && machine.routes.iter().all(|route| !overlap(*net, *route))
    };
    if network == DEFAULT_NETWORK {
        let nets = DEFAULT_SUBNETS.map(|start| Ipv4Net::new_assert(start, DEFAULT_PREFIX));
        return nets.into_iter().find(is_free);
    }
    let starts = POOL.flat_map(|b| (0..=255).map(move |c| Ipv4Addr::new(10, b, c, 0)));
    starts.map(|start| Ipv4Net::new_assert(start, POOL_PREFIX)).find(is_free)
}

fn overlap(net: Ipv4Net, other: IpNet) -> bool {
    match other {
        IpNet::V4(other) => net.contains(&other.network()) || other.contains(&net.network()),
        IpNet::V6(_) => false,
    }
}

fn first_host(net: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()) + 1)
}

/// Whether an address is neither the subnet's own nor its broadcast address.
fn is_host(net: Ipv4Net, address: Ipv4Addr) -> bool {
    net.contains(&address) && address != net.network() && address != net.broadcast()
}

/// Whether a container may have an address at all.
pub(crate) fn is_for_containers(network: &Network, address: Ipv4Addr) -> bool {
    is_host(network.net, address) && address != network.gateway
}

/// The next free address after the one that was given last. Going round instead of taking the
/// lowest keeps an address unused for as long as can be, while others may still remember whose it
/// was.
pub(crate) fn next_address(
    network: &Network,
    taken: &BTreeMap<Ipv4Addr, String>,
    last: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let range = network.range.unwrap_or(network.net);
    let (start, end) = (u32::from(range.network()), u32::from(range.broadcast()));
    let after = last.map(u32::from).filter(|last| (start..end).contains(last));
    let from = after.map_or(start, |last| last + 1);
    let is_free =
        |address: &Ipv4Addr| is_for_containers(network, *address) && !taken.contains_key(address);
    (from..=end).chain(start..from).map(Ipv4Addr::from).find(is_free)
}

#[cfg(test)]
mod tests;
