//! A token opens the door once, in time, with its secret.

use argosy_kv::{Command, CommandKind, Response};

use super::*;

const MACHINE: (MachineId, [u8; 32]) = (MachineId(1), [1; 32]);
const OTHER: (MachineId, [u8; 32]) = (MachineId(2), [2; 32]);
const HASH: [u8; 32] = [7; 32];

fn token() -> StoredToken {
    StoredToken { id: "t1".into(), secret_hash: HASH, expires: UnixMicros(100), used_by: None }
}

/// Applies a transaction; tells whether its guards held.
fn apply(state: &mut State, txn: Txn) -> bool {
    let command = Command { proposed_at: UnixMicros(0), kind: CommandKind::Txn(txn) };
    let index = state.applied_index() + 1;
    match state.apply(index, 1, &command).response.unwrap() {
        Response::Txn(response) => response.succeeded,
        other => panic!("{other:?}"),
    }
}

fn with_token() -> State {
    let mut state = State::new();
    assert!(apply(&mut state, add_token(&token())));
    state
}

#[test]
fn a_token_is_used_once() {
    let mut state = with_token();
    let first = use_token(&state, "t1", HASH, MACHINE, UnixMicros(50)).unwrap();
    let racing = use_token(&state, "t1", HASH, OTHER, UnixMicros(50)).unwrap();
    assert!(apply(&mut state, first));
    assert!(!apply(&mut state, racing), "two machines joined with one token");
    assert_eq!(tokens(&state).unwrap()[0].used_by, Some(MACHINE));
    let again = use_token(&state, "t1", HASH, OTHER, UnixMicros(50));
    assert_eq!(again, Err(TokenRefused::Used));
    let other_key = use_token(&state, "t1", HASH, (MACHINE.0, [9; 32]), UnixMicros(50));
    assert_eq!(other_key, Err(TokenRefused::Used));
    assert!(use_token(&state, "t1", HASH, MACHINE, UnixMicros(50)).is_ok());
}

#[test]
fn a_wrong_late_or_revoked_token_is_refused() {
    let mut state = with_token();
    let refused = |state: &State, id: &str, hash, now| {
        use_token(state, id, hash, MACHINE, UnixMicros(now)).unwrap_err()
    };
    assert_eq!(refused(&state, "t2", HASH, 50), TokenRefused::Unknown);
    assert_eq!(refused(&state, "t1", [8; 32], 50), TokenRefused::Unknown);
    assert_eq!(refused(&state, "t1", HASH, 101), TokenRefused::Expired);
    assert!(apply(&mut state, revoke_token("t1")));
    assert_eq!(refused(&state, "t1", HASH, 50), TokenRefused::Unknown);
}

#[test]
fn the_authority_is_set_once_and_not_shown() {
    let mut state = State::new();
    assert_eq!(authority(&state), None);
    let first = StoredAuthority { certificate: "C".into(), key: "K".into() };
    assert!(apply(&mut state, set_authority(&first)));
    let other = StoredAuthority { certificate: "D".into(), key: "L".into() };
    assert!(!apply(&mut state, set_authority(&other)));
    assert_eq!(authority(&state), Some(Ok(first.clone())));
    assert_eq!(format!("{first:?}"), "StoredAuthority { .. }");
}

#[test]
fn together_needs_the_guards_of_both() {
    let mut state = with_token();
    let used = use_token(&state, "t1", HASH, MACHINE, UnixMicros(50)).unwrap();
    let taken = StoredAuthority { certificate: "C".into(), key: "K".into() };
    assert!(apply(&mut state, set_authority(&taken)));
    assert!(!apply(&mut state, together(used, set_authority(&taken))));
    assert_eq!(tokens(&state).unwrap()[0].used_by, None);
}
