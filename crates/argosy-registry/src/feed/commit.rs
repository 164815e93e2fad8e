//! What a machine that holds no part of the store may change: its own endpoints, and the keys that
//! they announce.

use std::collections::BTreeMap;

use argosy_kv::{Compare, Op, PutRequest, SpaceId, Txn};
use argosy_model::{MachineId, UnitName, Want};

use crate::endpoint::endpoint_of;
use crate::keys::Key;
use crate::record::{Record, StoredEndpoint};
use crate::transaction::Draft;
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
/// [`crate::announce_again`] and [`crate::withdraw`] make for its own endpoints. To the machine's
/// own guards are added those on what was checked, which may have changed since in turn.
///
/// # Errors
/// What it may not do.
pub fn guarded_commit(
    view: &ClusterView,
    machine: MachineId,
    txn: Txn,
) -> Result<Txn, CommitRefused> {
    check(view, machine, &txn)?;
    let mut draft = Draft::from(txn);
    draft.unchanged(&Key::Assignment(machine), view.assignments().get(&machine));
    for (unit, global) in draft.endpoints() {
        let stored = view.endpoints().get(&(unit.clone(), global));
        draft.unchanged(&Key::Endpoint(unit, global), stored);
    }
    Ok(draft.finish())
}

fn check(view: &ClusterView, machine: MachineId, txn: &Txn) -> Result<(), CommitRefused> {
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

/// Reads a put of an endpoint that says exactly what the unit's text and place make of it.
fn endpoint_put(
    view: &ClusterView,
    machine: MachineId,
    put: &PutRequest,
) -> Result<(EndpointName, StoredEndpoint), CommitRefused> {
    // There is one way to write a key.
    let key = Key::parse(&put.key).filter(|key| key.to_bytes() == put.key);
    let Some(Key::Endpoint(unit, global)) = key else {
        return Err(CommitRefused::Record { key: text(&put.key) });
    };
    let refused = || CommitRefused::Endpoint { key: text(&put.key) };
    let endpoint = StoredEndpoint::read(&put.value).map_err(|_| refused())?;
    let (name, wanted) = wanted_endpoint(view, machine, &unit).ok_or_else(refused)?;
    let before = view.endpoints().get(&name).map_or(&[][..], |before| &before.stored);
    // Nothing hides in fields that this version does not know.
    let same_bytes = [before, &[]].iter().any(|before| wanted.write(before) == put.value);
    let plain = put.lease == 0 && !put.ignore_value && !put.ignore_lease;
    if name == (unit, global) && endpoint == wanted && same_bytes && plain {
        Ok((name, endpoint))
    } else {
        Err(refused())
    }
}

/// Returns what a machine publishes of a unit that it is told to run; `None` if it is not told so.
fn wanted_endpoint(
    view: &ClusterView,
    machine: MachineId,
    unit: &UnitName,
) -> Option<(EndpointName, StoredEndpoint)> {
    let entries = &view.assignments().get(&machine)?.value.entries;
    let entry = entries.iter().find(|entry| &entry.unit == unit && entry.want == Want::Run)?;
    let spec = view.read_text(unit, view.text(unit, entry.revision)?)?.ok()?;
    endpoint_of(&spec, entry, machine, &view.machines().get(&machine)?.value.address)
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
