//! The rules of the packet filter for one container. Plain functions of what it is to have.
//!
//! Each container has a table of its own, which ends with its companion. What is true of a whole
//! network (isolation) stands in the table of each of its containers: as long as one of them is
//! there, so is the rule.

use std::net::{IpAddr, Ipv4Addr};

use argosy_netlink::{Chain, ChainKind, Family, Hook, Rule, Table};

use crate::networks::BRIDGE_GROUP;
use crate::texts::{RESOLVER, outside};
use crate::{Endpoint, Protocol, PublishedPort, StorePort};

/// Where others translate addresses and filter, too (`NF_IP_PRI_NAT_DST`, `FILTER`, `NAT_SRC`).
const DESTINATIONS: i32 = -100;
const FILTER: i32 = 0;
const SOURCES: i32 = 100;
/// Before destinations are translated by the container's own rules (`NF_IP_PRI_MANGLE`).
const DIVERT: i32 = -150;
/// Letters of an id that stand for it.
const SHORT_ID_BYTES: usize = 12;
const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);
const LOOPBACK_PREFIX: u8 = 8;
/// The table inside the container.
const INNER_TABLE: &str = "argosy";
const DNS_PORT: u16 = 53;

/// Ports of the machine that go to ports of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mapping {
    /// `None` for every address of the machine.
    address: Option<Ipv4Addr>,
    protocol: Protocol,
    first: u16,
    last: u16,
    /// `None` if each keeps its number.
    port: Option<u16>,
}

/// The table of a container in the machine's namespace.
pub(super) fn table(id: &str, endpoints: &[Endpoint], ports: &[PublishedPort]) -> Table {
    let short: String = id.chars().take(SHORT_ID_BYTES).collect();
    let mappings = mappings(ports);
    let destinations: Vec<Rule> = match outside(endpoints) {
        Some(to) => mappings.iter().map(|it| translate(it, to.address)).collect(),
        None => Vec::new(),
    };
    let mut chains = Vec::new();
    let mut add = |name, kind, hook, priority, rules: Vec<Rule>| {
        if !rules.is_empty() {
            chains.push(Chain { name, kind, hook, priority, drops: false, rules });
        }
    };
    let nat = ChainKind::Nat;
    add("prerouting", nat, Hook::Prerouting, DESTINATIONS, destinations.clone());
    add("output", nat, Hook::Output, DESTINATIONS, destinations);
    add("postrouting", nat, Hook::Postrouting, SOURCES, sources(endpoints, !mappings.is_empty()));
    let (forward, input) = walls(endpoints);
    add("forward", ChainKind::Filter, Hook::Forward, FILTER, forward);
    add("input", ChainKind::Filter, Hook::Input, FILTER, input);
    Table { family: Family::V4, name: format!("argosy-{short}"), chains }
}

fn translate(mapping: &Mapping, to: Ipv4Addr) -> Rule {
    let rule = Rule::new().protocol(number(mapping.protocol)).to_ports(mapping.first, mapping.last);
    let rule = match mapping.address {
        Some(address) => rule.to_address(address.into()),
        // What is for the loopback has an address there, with which it cannot leave the machine:
        // the companion carries it.
        None => rule.not_to_network(LOOPBACK.into(), LOOPBACK_PREFIX).to_own_address(),
    };
    rule.to_instead(to.into(), mapping.port)
}

fn sources(endpoints: &[Endpoint], publishes: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    for endpoint in endpoints.iter().filter(|it| !it.internal) {
        let out = Rule::new().from_address(endpoint.address.into()).not_out_by(&endpoint.bridge);
        rules.push(out.masquerade());
    }
    if let Some(to) = outside(endpoints).filter(|_| publishes) {
        // A neighbour that came by the machine's address must get its answer from there, and not
        // straight over the bridge.
        let hairpin = Rule::new()
            .from_network(to.net().network().into(), to.prefix)
            .to_address(to.address.into())
            .out_by(&to.bridge)
            .translated(true);
        rules.push(hairpin.masquerade());
    }
    rules
}

/// What may not be forwarded, and what may not come in.
fn walls(endpoints: &[Endpoint]) -> (Vec<Rule>, Vec<Rule>) {
    let (mut forward, mut input) = (Vec::new(), Vec::new());
    for endpoint in endpoints {
        // By the bridge and not by the address, which a container may forge.
        let bridge = endpoint.bridge.as_str();
        if endpoint.internal {
            forward.push(Rule::new().in_by(bridge).not_out_by(bridge).drop());
            forward.push(Rule::new().out_by(bridge).not_in_by(bridge).drop());
            input.push(Rule::new().in_by(bridge).new_connection().drop());
        } else if endpoint.isolate {
            // A published port is for everybody, other networks too.
            let from = Rule::new().in_by(bridge).not_out_by(bridge).out_by_group(BRIDGE_GROUP);
            forward.push(from.translated(false).drop());
            let to = Rule::new().out_by(bridge).not_in_by(bridge).in_by_group(BRIDGE_GROUP);
            forward.push(to.translated(false).drop());
        }
    }
    (forward, input)
}

/// Groups what is published into as few rules as can be.
fn mappings(ports: &[PublishedPort]) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for port in ports {
        let IpAddr::V4(address) = port.address else { continue };
        if address.is_loopback() {
            continue;
        }
        let address = Some(address).filter(|it| !it.is_unspecified());
        let kept = port.port == port.container_port;
        if let Some(last) = mappings.last_mut().filter(|last| {
            let same = (last.address, last.protocol) == (address, port.protocol);
            same && kept && last.port.is_none() && last.last.checked_add(1) == Some(port.port)
        }) {
            last.last = port.port;
            continue;
        }
        mappings.push(Mapping {
            address,
            protocol: port.protocol,
            first: port.port,
            last: port.port,
            port: (!kept).then_some(port.container_port),
        });
    }
    mappings
}

/// The sockets inside a container to which its packets are diverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Diversions {
    /// Where names are asked for by datagram.
    pub(super) datagrams: Option<u16>,
    /// Where names and the store are asked for by connection.
    pub(super) connections: Option<u16>,
    pub(super) names: bool,
}

/// The table inside the container's namespace. It translates nothing, so that no connection is
/// tracked for its sake: sockets of the companion get packets as they are (TPROXY), and the
/// container may listen on all these ports itself.
pub(super) fn inner_table(diversions: Diversions, store: &[StorePort]) -> Table {
    let mut rules = Vec::new();
    let at = IpAddr::from(RESOLVER);
    let dns = |protocol| {
        Rule::new().to_address(at).protocol(number(protocol)).to_ports(DNS_PORT, DNS_PORT)
    };
    if let Some(port) = diversions.datagrams {
        rules.push(dns(Protocol::Udp).to_socket_at(at, port));
    }
    if let Some(port) = diversions.connections {
        if diversions.names {
            rules.push(dns(Protocol::Tcp).to_socket_at(at, port));
        }
        for store in store {
            let local = IpAddr::from(Ipv4Addr::LOCALHOST);
            let to = Rule::new().to_address(local).protocol(number(Protocol::Tcp));
            let to = to.to_ports(store.port, store.port);
            // The container's own program comes first, if it listens there.
            rules.push(to.clone().with_socket().leave_chain());
            rules.push(to.to_socket_at(at, port));
        }
    }
    let (kind, hook) = (ChainKind::Filter, Hook::Prerouting);
    let chain = Chain { name: "prerouting", kind, hook, priority: DIVERT, drops: false, rules };
    Table { family: Family::V4, name: INNER_TABLE.to_owned(), chains: vec![chain] }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
    }
}

#[cfg(test)]
mod tests;
