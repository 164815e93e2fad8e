//! Who is called what on the networks of one container.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::message::{CLASS_IN, Query, Record, TYPE_A, TYPE_ANY, TYPE_PTR};
use crate::Endpoint;
use crate::networks::Reservation;
use crate::texts::{MACHINE_NAMES, outside};

/// Letters of an id that stand for it.
const SHORT_ID_BYTES: usize = 12;
/// Below which an address is asked for its name.
const REVERSE: &str = ".in-addr.arpa";

/// The names that one container can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Names {
    addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    names: BTreeMap<Ipv4Addr, String>,
    nets: Vec<Ipv4Net>,
}

/// What is known of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// The name is ours; there may be no record of the wanted type.
    Records(Vec<Record>),
    /// There is no such name.
    NoName,
    /// Others may know.
    Nothing,
}

impl Names {
    /// Takes from all reservations what a container on these networks may see.
    pub(crate) fn of(own: &[Endpoint], reservations: &[Reservation]) -> Names {
        let own: Vec<&Endpoint> = own.iter().filter(|it| it.dns).collect();
        let mut names = Names::default();
        names.nets.extend(own.iter().map(|it| it.net()));
        for reservation in reservations {
            for endpoint in &reservation.endpoints {
                if own.iter().any(|it| it.network == endpoint.network) {
                    names.add(reservation, endpoint);
                }
            }
        }
        let endpoints: Vec<Endpoint> = own.into_iter().cloned().collect();
        if let Some(outside) = outside(&endpoints) {
            for name in MACHINE_NAMES {
                names.addresses.insert(name.to_owned(), BTreeSet::from([outside.gateway]));
            }
            names.names.insert(outside.gateway, MACHINE_NAMES[0].to_owned());
        }
        names
    }

    fn add(&mut self, reservation: &Reservation, endpoint: &Endpoint) {
        let id: String = reservation.id.chars().take(SHORT_ID_BYTES).collect();
        let all = [&reservation.name, &id, &reservation.id];
        let aliases = reservation.aliases.iter().chain(&endpoint.aliases);
        for name in all.into_iter().chain(aliases).filter(|name| !name.is_empty()) {
            let name = name.to_ascii_lowercase();
            // Docker's habit: a name also within the network's.
            let within = format!("{name}.{}", endpoint.network.to_ascii_lowercase());
            for name in [name, within] {
                self.addresses.entry(name).or_default().insert(endpoint.address);
            }
        }
        self.names.insert(endpoint.address, reservation.name.clone());
    }

    /// Answers from what is known. Each `turn` begins with another of several addresses, so that
    /// clients that take the first one spread.
    pub(crate) fn look_up(&self, query: &Query, turn: usize) -> Known {
        let Some(name) = query.name.as_deref().filter(|_| query.class == CLASS_IN) else {
            return Known::Nothing;
        };
        if let Some(address) = name.strip_suffix(REVERSE).and_then(reversed) {
            return self.name_of(address, query.kind);
        }
        let Some(addresses) = self.addresses.get(name) else { return Known::Nothing };
        if query.kind != TYPE_A && query.kind != TYPE_ANY {
            // Nobody waits for an IPv6 address that others would be asked for.
            return Known::Records(Vec::new());
        }
        let mut records: Vec<Record> = addresses.iter().copied().map(Record::Address).collect();
        let first = turn % records.len();
        records.rotate_left(first);
        Known::Records(records)
    }

    fn name_of(&self, address: Ipv4Addr, kind: u16) -> Known {
        match self.names.get(&address) {
            Some(name) if kind == TYPE_PTR || kind == TYPE_ANY => {
                Known::Records(vec![Record::Name(name.clone())])
            }
            Some(_) => Known::Records(Vec::new()),
            // Nobody else knows addresses that are only here.
            None if self.nets.iter().any(|net| net.contains(&address)) => Known::NoName,
            None => Known::Nothing,
        }
    }
}

/// `4.3.2.1` for 1.2.3.4.
fn reversed(text: &str) -> Option<Ipv4Addr> {
    let [d, c, b, a] = text.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests;
