//! Announced endpoints: published and withdrawn by the machine that runs the unit.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use argosy_kv::{SpaceId, State, Txn};
use argosy_model::{AssignmentEntry, MachineId, UnitName, UnitSpec};

use crate::ClusterView;
use crate::edit::change;
use crate::keys::Key;
use crate::record::{StoredEndpoint, StoredService, Versioned};
use crate::transaction::Draft;
use crate::view::EndpointName;

/// Returns the name an endpoint is stored under: a global unit has one for each machine.
pub fn endpoint_name(unit: &UnitName, machine: MachineId, global: bool) -> EndpointName {
    (unit.clone(), global.then_some(machine))
}

/// Returns what a machine publishes of a unit that it runs by an assignment's entry: its services at
/// the machine's address, and the announced key. `None` while a port is not chosen, or when the
/// address is none.
pub fn endpoint_of(
    spec: &UnitSpec,
    entry: &AssignmentEntry,
    machine: MachineId,
    address: &str,
) -> Option<(EndpointName, StoredEndpoint)> {
    let services = services_of(spec, entry, machine, address)?;
    let mut endpoint = StoredEndpoint {
        unit: entry.unit.clone(),
        machine,
        epoch: entry.epoch,
        key: String::new(),
        value: String::new(),
        services,
    };
    if let Some(announced) = &spec.announce {
        let port = announced.port.or_else(|| announced_port(spec, &endpoint));
        endpoint.key.clone_from(&announced.key);
        endpoint.value = address_with(address, port);
    }
    Some((endpoint_name(&entry.unit, machine, spec.placement.global), endpoint))
}

/// Returns where a unit answers for its services; `None` while a port is not chosen.
pub fn services_of(
    spec: &UnitSpec,
    entry: &AssignmentEntry,
    machine: MachineId,
    address: &str,
) -> Option<Vec<StoredService>> {
    let address: IpAddr = address.parse().ok()?;
    let machine = spec.placement.global.then_some(machine);
    let services = spec.traffic.endpoints.iter().map(|endpoint| {
        let service = endpoint.service.clone();
        let port = endpoint.port.or_else(|| entry.ports.get(&service).copied())?;
        let key = mirror_key(&service, &entry.unit, machine);
        let address = SocketAddr::new(address, port);
        let (protocol, check) = (endpoint.protocol, spec.traffic.check_of(endpoint));
        Some(StoredService { service, protocol, address, key, check })
    });
    services.collect()
}

/// Returns the port that is announced with a key that names none: a chosen one.
fn announced_port(spec: &UnitSpec, endpoint: &StoredEndpoint) -> Option<u16> {
    let first = spec.traffic.endpoints.first().filter(|first| first.port.is_none())?;
    let service = endpoint.services.iter().find(|one| one.service == first.service)?;
    Some(service.address.port())
}

/// Returns `ADDRESS:PORT`, or the address alone when no port is announced.
fn address_with(address: &str, port: Option<u16>) -> String {
    // An address carries no port, so only one of version 6 has colons.
    let is_v6 = address.contains(':');
    match port {
        Some(port) if is_v6 => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

/// Publishes an endpoint: its record and the announced key, in one transaction. Guarded by the
/// machine's assignment, so that a unit taken away in the meantime is not announced, and by the
/// record it replaces. `None` if it is published already, or a newer epoch's is. A key under
/// which somebody else has written is left as it is.
pub fn announce(view: &ClusterView, name: &EndpointName, endpoint: &StoredEndpoint) -> Option<Txn> {
    let before = view.endpoints().get(name);
    if before.is_some_and(|before| &before.value == endpoint) {
        return None;
    }
    if before.is_some_and(|before| before.value.epoch > endpoint.epoch) {
        return None;
    }
    let mut draft = Draft::default();
    let assignment = Key::Assignment(endpoint.machine);
    draft.unchanged(&assignment, view.assignments().get(&endpoint.machine));
    let key = Key::Endpoint(name.0.clone(), name.1);
    change(&mut draft, key, endpoint, before);
    let old = before.map(|before| before.value.keys()).unwrap_or_default();
    let new = endpoint.keys();
    for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        draft.delete_user_key_if(key, value);
    }
    for (key, value) in &new {
        draft.put_user_key_if(key, value, old.get(key).map(String::as_str));
    }
    Some(draft.finish())
}

/// Returns the key under which a service's endpoint is mirrored for any client of the store:
/// `/services/NAME/INSTANCE`. INSTANCE is the unit's instance, else its name without suffix; a
/// global unit's tells its machine as well.
pub fn mirror_key(service: &str, unit: &UnitName, machine: Option<MachineId>) -> String {
    let instance = unit.instance().unwrap_or(unit.stem());
    match machine {
        None => format!("/services/{service}/{instance}"),
        Some(machine) => format!("/services/{service}/{instance}-{}", machine.short()),
    }
}

/// Writes a key of a published endpoint again, which somebody has deleted. It fails if the key
/// is there, or if the endpoint is not as `view` shows it.
pub fn announce_again(name: &EndpointName, endpoint: &Versioned<StoredEndpoint>, key: &str) -> Txn {
    let mut draft = Draft::default();
    draft.unchanged(&Key::Endpoint(name.0.clone(), name.1), Some(endpoint));
    draft.no_user_key(key);
    if let Some(value) = endpoint.value.keys().remove(key) {
        draft.put(SpaceId::User, key.as_bytes().to_vec(), value.into_bytes());
    }
    draft.finish()
}

/// Returns what a state holds under the keys that a machine's endpoints announce; `None` under a
/// key that is not there. `state` must be no older than `view`.
pub fn announced_keys(
    view: &ClusterView,
    machine: MachineId,
    state: &State,
) -> BTreeMap<String, Option<Vec<u8>>> {
    let endpoints = view.endpoints().values().map(|stored| &stored.value);
    let own = endpoints.filter(|endpoint| endpoint.machine == machine);
    let keys = own.flat_map(|endpoint| endpoint.keys().into_keys());
    keys.map(|key| {
        let found = state.get(SpaceId::User, key.as_bytes());
        (key.to_owned(), found.map(|found| found.value.to_vec()))
    })
    .collect()
}

#[cfg(test)]
mod tests;

/// Takes an endpoint back: its record, and the announced key if it still says so.
pub fn withdraw(name: &EndpointName, endpoint: &Versioned<StoredEndpoint>) -> Txn {
    let mut draft = Draft::default();
    withdraw_into(&mut draft, name, endpoint);
    draft.finish()
}

/// Writes a withdrawal into a larger transaction.
pub(crate) fn withdraw_into(
    draft: &mut Draft,
    name: &EndpointName,
    endpoint: &Versioned<StoredEndpoint>,
) {
    let key = Key::Endpoint(name.0.clone(), name.1);
    draft.unchanged(&key, Some(endpoint));
    draft.delete(SpaceId::Registry, key.to_bytes());
    for (key, value) in endpoint.value.keys() {
        draft.delete_user_key_if(key, &value);
    }
}
