//! What a machine that holds no part of the store may change: its own endpoints, and the keys that
//! they announce.

use std::collections::BTreeMap;
use std::net::IpAddr;

use argosy_kv::{Compare, Op, PutRequest, SpaceId, Txn};
use argosy_model::{MachineId, Want};

use crate::endpoint::mirror_key;
use crate::keys::Key;
use crate::record::{Record, StoredEndpoint, StoredService};
use crate::view::{ClusterView, EndpointName};

/// Deepest nesting of a transaction that publishes or withdraws: one for each conditional write.
const DEPTH_MAX: usize = 3;

/// A machine may not do what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitRefused {
    /// It touches a record that is not its own endpoint.
    #[error("the record {key} is not for this machine to change")]
    Record {
        /// The key.
        key: String,
    },
    /// The record that it writes is no endpoint of a unit that it is told to run.
    #[error("the endpoint {key} says what its unit's text and assignment do not")]
    Endpoint {
        /// The key.
        key: String,
    },
    /// It touches a key of the user space that its endpoints do not announce.
    #[error("the key {key} is not announced by this machine's endpoints")]
    UserKey {
        /// The key.
        key: String,
    },
    /// It does something that publishing an endpoint does not need.
    #[error("a machine may only publish and withdraw its endpoints")]
    Unexpected,
}

/// The keys of the user space that a transaction may touch, and what it may write there.
type Allowed = BTreeMap<String, Vec<String>>;

/// Checks a transaction that `machine` asks for: nothing but what [`crate::announce`],
/// [`crate::announce_again`] and [`crate::withdraw`] make for its own endpoints. Its guards are
/// the machine's own: what it was decided on may be older than `view`.
///
/// # Errors
/// What it may not do.
pub fn check_commit(
    view: &ClusterView,
    machine: MachineId,
    txn: &Txn,
) -> Result<(), CommitRefused> {
    let mut allowed = Allowed::new();
    for stored in view.endpoints().values().filter(|stored| stored.value.machine == machine) {
        allow(&mut allowed, &stored.value);
    }
    for op in &txn.success {
        if let Op::Put(SpaceId::Registry, put) = op {
            let (name, endpoint) = endpoint_put(view, machine, put)?;
            allow(&mut allowed, &endpoint);
            // What it replaces may be another machine's, which had the unit before.
            if let Some(before) = view.endpoints().get(&name) {
                allow(&mut allowed, &before.value);
            }
        }
    }
    for compare in &txn.compare {
        check_compare(machine, compare, &allowed)?;
    }
    if !txn.failure.is_empty() {
        return Err(CommitRefused::Unexpected);
    }
    for op in &txn.success {
        match op {
            // Looked at above.
            Op::Put(SpaceId::Registry, _) => {}
            Op::Delete(SpaceId::Registry, delete) if delete.range.is_single() => {
                if !owns(view, machine, &delete.range.key) {
                    return Err(CommitRefused::Record { key: text(&delete.range.key) });
                }
            }
            other => check_user_op(other, &allowed, DEPTH_MAX)?,
        }
    }
    Ok(())
}

fn allow(allowed: &mut Allowed, endpoint: &StoredEndpoint) {
    for (key, value) in endpoint.keys() {
        allowed.entry(key.to_owned()).or_default().push(value);
    }
}

fn owns(view: &ClusterView, machine: MachineId, key: &[u8]) -> bool {
    let stored = match Key::parse(key) {
        Some(Key::Endpoint(unit, global)) => view.endpoints().get(&(unit, global)),
        _ => None,
    };
    stored.is_some_and(|stored| stored.value.machine == machine)
}

/// Reads a put of an endpoint that says nothing but what the unit's text and place allow.
fn endpoint_put(
    view: &ClusterView,
    machine: MachineId,
    put: &PutRequest,
) -> Result<(EndpointName, StoredEndpoint), CommitRefused> {
    let Some(Key::Endpoint(unit, global)) = Key::parse(&put.key) else {
        return Err(CommitRefused::Record { key: text(&put.key) });
    };
    let refused = || CommitRefused::Endpoint { key: text(&put.key) };
    let endpoint = StoredEndpoint::read(&put.value).map_err(|_| refused())?;
    let assignment = view.assignments().get(&machine).ok_or_else(refused)?;
    let entries = &assignment.value.entries;
    let entry = entries.iter().find(|entry| entry.unit == unit && entry.want == Want::Run);
    let entry = entry.filter(|entry| entry.epoch == endpoint.epoch).ok_or_else(refused)?;
    let spec = view.text(&unit, entry.revision).and_then(|text| view.read_text(&unit, text));
    let spec = spec.and_then(Result::ok).ok_or_else(refused)?;
    let address = view.machines().get(&machine).map(|stored| stored.value.address.as_str());
    let address: IpAddr = address.and_then(|address| address.parse().ok()).ok_or_else(refused)?;
    let service_fits = |service: &StoredService| {
        let own = spec.placement.global.then_some(machine);
        spec.traffic.endpoints.iter().any(|endpoint| endpoint.service == service.service)
            && service.key == mirror_key(&service.service, &unit, own)
            && service.address.ip() == address
    };
    let announced = spec.announce.as_ref().map_or("", |announced| announced.key.as_str());
    let is_at = |value: &str| value.parse() == Ok(address) || socket_ip(value) == Some(address);
    let fits = endpoint.unit == unit
        && endpoint.machine == machine
        && global == spec.placement.global.then_some(machine)
        && endpoint.key == announced
        && (announced.is_empty() || is_at(&endpoint.value))
        && endpoint.services.iter().all(service_fits);
    if fits { Ok(((unit, global), endpoint)) } else { Err(refused()) }
}

fn socket_ip(value: &str) -> Option<IpAddr> {
    value.parse::<std::net::SocketAddr>().ok().map(|address| address.ip())
}

/// A guard tells whether it holds: one on a foreign record would tell what is in it.
fn check_compare(
    machine: MachineId,
    compare: &Compare,
    allowed: &Allowed,
) -> Result<(), CommitRefused> {
    if !compare.range.is_single() {
        return Err(CommitRefused::Unexpected);
    }
    let key = &compare.range.key;
    match compare.space {
        SpaceId::User => user_key(key, allowed).map(drop),
        SpaceId::Registry => match Key::parse(key) {
            Some(Key::Assignment(of)) if of == machine => Ok(()),
            // Endpoints are told to everybody.
            Some(Key::Endpoint(..)) => Ok(()),
            _ => Err(CommitRefused::Record { key: text(key) }),
        },
    }
}

fn check_user_op(op: &Op, allowed: &Allowed, depth: usize) -> Result<(), CommitRefused> {
    match op {
        Op::Put(SpaceId::User, put) => {
            let values = user_key(&put.key, allowed)?;
            let plain = put.lease == 0 && !put.ignore_value && !put.ignore_lease;
            if plain && values.iter().any(|value| value.as_bytes() == put.value) {
                Ok(())
            } else {
                Err(CommitRefused::UserKey { key: text(&put.key) })
            }
        }
        Op::Delete(SpaceId::User, delete) if delete.range.is_single() => {
            user_key(&delete.range.key, allowed).map(drop)
        }
        Op::Txn(txn) if depth > 0 => {
            for compare in &txn.compare {
                if compare.space != SpaceId::User || !compare.range.is_single() {
                    return Err(CommitRefused::Unexpected);
                }
                user_key(&compare.range.key, allowed)?;
            }
            let mut ops = txn.success.iter().chain(&txn.failure);
            ops.try_for_each(|op| check_user_op(op, allowed, depth - 1))
        }
        _ => Err(CommitRefused::Unexpected),
    }
}

fn user_key<'a>(key: &[u8], allowed: &'a Allowed) -> Result<&'a [String], CommitRefused> {
    let found = std::str::from_utf8(key).ok().and_then(|key| allowed.get(key));
    found.map(Vec::as_slice).ok_or_else(|| CommitRefused::UserKey { key: text(key) })
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
