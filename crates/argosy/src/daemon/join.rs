//! Joining an existing cluster: a token becomes a certificate and, unless the cluster has enough
//! of them, an empty store that waits for the leader.

use std::sync::Arc;

use argosy_api::operator::JoinRequest;
use argosy_api::{ApiError, ErrorCode};
use argosy_peer::{DialTimeouts, JoinAttempt, JoinError, JoinToken, MachineKey};
use argosy_store::Store;

use super::admission::{JoinPayload, WelcomePayload};
use super::app::App;
use super::begin::{
    Beginning, Described, begin_store, check_no_store, describe, internal, make_private,
    save_identity, save_membership,
};
use super::identity::{self, Membership};
use super::listeners::{own_address, own_address_towards};
use super::node::Parts;
use crate::failure::chain;

/// Joins with a token. The machine belongs to the cluster once its place is stored; before that
/// the same machine may use the same token again.
pub(crate) async fn another(app: &Arc<App>, request: JoinRequest) -> Result<Beginning, ApiError> {
    let bad = |error: &dyn std::error::Error| {
        ApiError::new(ErrorCode::BadInput, chain(error))
            .with_help("make a token on a machine of the cluster: argosy token create")
    };
    let token = JoinToken::parse(&request.token).map_err(|error| bad(&error))?;
    if request.machine.timing.is_some() {
        return Err(ApiError::new(
            ErrorCode::BadInput,
            "a machine that joins has its cluster's time limits",
        ));
    }
    let usual = || token.addresses.iter().find_map(|to| own_address_towards(*to));
    let described = describe(request.machine, || usual().unwrap_or_else(own_address))?;
    let Described { name, address, metadata } = described;
    // Before the cluster is asked: it tries whether it reaches this machine, and a port that is
    // taken must leave nothing behind.
    let opened = app.listen.bind(address).await?;
    check_no_store(app)?;
    let tls = app.places.data_dir.join("tls");
    make_private(&tls)?;
    // Kept over a join that was cut off: the token is bound to it.
    let key = MachineKey::load_or_generate(&tls).map_err(|error| internal(&error))?;
    let port = app.listen.peer_port;
    let payload = JoinPayload { name, address: address.to_string(), port, metadata };
    let bytes = serde_json::to_vec(&payload).map_err(|error| internal(&error))?;
    let timeouts = DialTimeouts::default();
    let joined = argosy_peer::join(&token, app.machine_id, &key, &bytes, timeouts)
        .await
        .map_err(|error| refused(&error))?;
    let welcome: WelcomePayload =
        serde_json::from_slice(&joined.payload).map_err(|error| internal(&error))?;
    let members = identity::places(&welcome.members).ok_or_else(|| {
        ApiError::new(ErrorCode::Internal, "the cluster's answer names no machines")
    })?;
    let timing = identity::preset(&welcome.timing).ok_or_else(|| {
        let message = format!("the cluster has time limits {:?}", welcome.timing);
        ApiError::new(ErrorCode::Internal, message).with_help("run the cluster's version here too")
    })?;
    let JoinPayload { name, address, port, metadata } = payload;
    let membership = Membership {
        cluster_id: joined.identity.cluster(),
        member_id: welcome.member_id,
        incarnation: welcome.incarnation,
        name,
        address,
        metadata,
        port,
        timing,
        members,
    };
    save_identity(app, &joined.identity)?;
    let parts = Parts::with(opened, &membership, joined.identity)?;
    if !membership.is_member() {
        save_membership(app, &membership)?;
        return Ok(Beginning { membership, store: None, parts });
    }
    begin_store(app)?;
    let config = app.store_config(&membership);
    Store::join(&config).map_err(|error| internal(&error))?;
    save_membership(app, &membership)?;
    let store = Store::open_with_peers(config, Arc::new(parts.port.clone()))
        .map_err(|error| internal(&error))?;
    let store = Some(store);
    Ok(Beginning { membership, store, parts })
}

fn refused(error: &JoinError) -> ApiError {
    let (code, help) = match error {
        JoinError::Refused { source, .. } => (ErrorCode::Conflict, source.help.as_deref()),
        JoinError::NoAddress { attempts } => (ErrorCode::Unavailable, Some(way_in(attempts))),
        JoinError::BadAnswer { .. } => (
            ErrorCode::Unavailable,
            Some("compare the time and the version of argosy on both machines"),
        ),
        JoinError::PayloadTooLarge { .. } => (ErrorCode::BadInput, Some("give fewer labels")),
        JoinError::Key { .. } | JoinError::Tls { .. } => (ErrorCode::Unavailable, None),
    };
    let refused = ApiError::new(code, chain(error));
    match help {
        Some(help) => refused.with_help(help),
        None => refused,
    }
}

/// What to do when none of a token's addresses let the machine in.
fn way_in(attempts: &[JoinAttempt]) -> &'static str {
    if attempts.iter().all(|it| matches!(it, JoinAttempt::Unavailable { .. })) {
        return "try again in a moment: the token is still good for this machine";
    }
    "the token names these addresses: are they reached from here, is `argosy supervisor` running \
     there, and is the time right on both machines?"
}

#[cfg(test)]
mod tests {
    //! Tests that each refusal has a next step of its own.

    use argosy_peer::{JoinRefusal, JoinRefusalKind};

    use super::*;

    #[test]
    fn each_failure_has_its_own_next_step() {
        let address = "10.0.0.1:2380".parse().unwrap();
        let refusal = |help: Option<&str>| {
            let (kind, message) = (JoinRefusalKind::Refused, "no".to_owned());
            JoinRefusal { kind, message, help: help.map(str::to_owned) }
        };
        let help = |error: JoinError| refused(&error).help;
        let source = refusal(Some("--name"));
        assert_eq!(help(JoinError::Refused { address, source }).as_deref(), Some("--name"));
        // By an older version.
        assert_eq!(help(JoinError::Refused { address, source: refusal(None) }), None);
        let busy = || JoinAttempt::Unavailable { address, source: refusal(None) };
        let one = help(JoinError::NoAddress { attempts: vec![busy()] }).unwrap();
        assert!(one.contains("again") && !one.contains("time is"), "{one}");
        let attempts = vec![busy(), JoinAttempt::Dial(argosy_peer::DialError::JoinNeedsToken)];
        let unreached = help(JoinError::NoAddress { attempts }).unwrap();
        assert!(unreached.contains("addresses"), "{unreached}");
    }
}
