//! Who may join: tokens and the certificate authority, read from the state and never kept in the
//! cluster view.

use argosy_kv::{
    Compare, CompareResult, KeyRange, KvError, RangeRequest, Revision, SpaceId, State, Txn,
};
use argosy_model::{MachineId, UnixMicros};

use crate::record::{Record, RecordError, StoredAuthority, StoredToken, Versioned};
use crate::transaction::Draft;

const TOKENS: &str = "tokens/";
const AUTHORITY: &str = "secrets/authority";

/// Why a token does not open the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Never made, revoked, or its secret is another.
    #[error("the token is not known to this cluster")]
    Unknown,
    /// Another machine has joined with it.
    #[error("the token has been used already")]
    Used,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its record cannot be read.
    #[error("the token's record cannot be read")]
    Unreadable(#[source] RecordError),
}

fn token_key(id: &str) -> Vec<u8> {
    format!("{TOKENS}{id}").into_bytes()
}

/// Returns the transaction that stores a new token.
pub fn add_token(token: &StoredToken) -> Txn {
    let mut draft = Draft::default();
    draft.unchanged_at(token_key(&token.id), 0);
    draft.put(SpaceId::Registry, token_key(&token.id), token.write(&[]));
    draft.finish()
}

/// Returns the transaction that removes a token.
pub fn revoke_token(id: &str) -> Txn {
    let mut draft = Draft::default();
    draft.delete(SpaceId::Registry, token_key(id));
    draft.finish()
}

/// Returns every token, by id; those that cannot be read are left out.
pub fn tokens(state: &State) -> Result<Vec<StoredToken>, KvError> {
    let found = state.range(SpaceId::Registry, &RangeRequest::new(KeyRange::prefix(TOKENS)))?;
    Ok(found.kvs.iter().filter_map(|kv| StoredToken::read(&kv.value).ok()).collect())
}

/// Returns the transaction by which a machine, named by its id and the hash of its key, uses a
/// token up, if the token is good now. One whose join was cut off may use its own token again.
pub fn use_token(
    state: &State,
    id: &str,
    secret_hash: [u8; 32],
    machine: (MachineId, [u8; 32]),
    now: UnixMicros,
) -> Result<Txn, TokenRefused> {
    let stored = read::<StoredToken>(state, &token_key(id)).ok_or(TokenRefused::Unknown)?;
    let Versioned { value: token, mod_revision, stored } =
        stored.map_err(TokenRefused::Unreadable)?;
    // Only hashes are compared, so how long it takes tells nothing about the secret.
    if token.secret_hash != secret_hash {
        return Err(TokenRefused::Unknown);
    }
    if token.used_by.is_some_and(|user| user != machine) {
        return Err(TokenRefused::Used);
    }
    if now > token.expires {
        return Err(TokenRefused::Expired);
    }
    let used = StoredToken { used_by: Some(machine), ..token };
    let mut draft = Draft::default();
    draft.unchanged_at(token_key(id), mod_revision);
    draft.put(SpaceId::Registry, token_key(id), used.write(&stored));
    Ok(draft.finish())
}

/// Requires that no machine's record is newer than a registry revision: whoever counts machines and
/// adds one has counted right.
pub fn machines_as_of(revision: Revision) -> Txn {
    let range = KeyRange::prefix("machines/");
    let mut compare = Compare::mod_revision(SpaceId::Registry, Vec::new(), revision + 1);
    (compare.range, compare.result) = (range, CompareResult::Less);
    Txn { compare: vec![compare], ..Txn::default() }
}

/// Returns the transaction that stores the cluster's authority, once.
pub fn set_authority(authority: &StoredAuthority) -> Txn {
    let mut draft = Draft::default();
    draft.unchanged_at(AUTHORITY.as_bytes().to_vec(), 0);
    draft.put(SpaceId::Registry, AUTHORITY.as_bytes().to_vec(), authority.write(&[]));
    draft.finish()
}

/// Returns the cluster's authority, if it is there.
pub fn authority(state: &State) -> Option<Result<StoredAuthority, RecordError>> {
    let stored = read(state, AUTHORITY.as_bytes())?;
    Some(stored.map(|stored| stored.value))
}

/// Joins two transactions into one: all guards, all changes.
pub fn together(first: Txn, second: Txn) -> Txn {
    let mut all = first;
    all.compare.extend(second.compare);
    all.success.extend(second.success);
    all
}

fn read<T: Record>(state: &State, key: &[u8]) -> Option<Result<Versioned<T>, RecordError>> {
    let kv = state.get(SpaceId::Registry, key)?;
    Some(T::read(&kv.value).map(|value| Versioned {
        value,
        mod_revision: kv.mod_revision,
        stored: kv.value.clone(),
    }))
}

#[cfg(test)]
mod tests;
