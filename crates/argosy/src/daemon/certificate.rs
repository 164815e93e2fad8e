//! This machine's certificate: a new one before it ends, and what is said of one that has ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use argosy_api::ClientError;
use argosy_model::MachineId;
use argosy_peer::{
    AuthorityError, Identity, IdentityError, MachineKey, SigningRequest, TlsConfigs, TlsError,
};
use http::Method;
use serde::{Deserialize, Serialize};

use super::admission::{self, AuthorityProblem};
use super::machine_port::MachinePort;
use super::store_access::StoreAccess;
use crate::failure::chain;

/// How often it is looked whether a new one is due: it is for a third of a year before the end.
const LOOK_EVERY: Duration = Duration::from_secs(86_400);
/// The pause before it is tried again, once it is due: a worker that begins knows no member yet.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long one member may take to certify: it signs, and asks nobody.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long before the end it is worth a word that it has not been renewed.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// A machine asks a member to certify its key anew. The connection says which machine it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RenewRequest {
    /// PKCS #10, in PEM.
    pub(super) signing_request: String,
}

/// What it is given, in PEM.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Renewed {
    pub(super) certificate: String,
    pub(super) authority: String,
}

/// A certificate could not be renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("key or certificate cannot be used")]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Authority(#[from] AuthorityProblem),
    #[error("the cluster's authority does not certify it")]
    Issue(#[from] AuthorityError),
    #[error("no member of the store is known yet")]
    NoMember,
    #[error("no member of the store certifies it")]
    Refused(#[from] ClientError),
    #[error("the new certificate is of another authority than the cluster's")]
    OtherAuthority,
    #[error("the new certificate cannot be used")]
    Tls(#[from] TlsError),
}

/// Renews this machine's certificate in time.
pub(super) struct Renewal {
    pub(super) folder: PathBuf,
    pub(super) machine: MachineId,
    pub(super) access: StoreAccess,
    pub(super) port: MachinePort,
    pub(super) tls: Arc<TlsConfigs>,
}

impl Renewal {
    /// Looks at the start and once a day, for ever.
    pub(super) async fn run(self) {
        loop {
            let pause = match self.renew_if_due(SystemTime::now()).await {
                Ok(None) => LOOK_EVERY,
                Ok(Some(ends)) => {
                    tracing::info!(
                        valid_until = date(ends),
                        "the machine's certificate is renewed"
                    );
                    LOOK_EVERY
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "the machine's certificate is due and not renewed");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns until when the new one is valid, if one was due.
    async fn renew_if_due(&self, now: SystemTime) -> Result<Option<SystemTime>, RenewError> {
        let Some((identity, key)) = due(&self.folder, now)? else { return Ok(None) };
        let renewed = self.certified(&key.signing_request()?).await?;
        let renewed = take_up(&identity, &key, &renewed)?;
        let ends = renewed.expires();
        renewed.save(&self.folder)?;
        self.tls.replace(renewed)?;
        Ok(Some(ends))
    }

    /// A member has the authority itself, also while it reaches nobody; a worker asks members.
    async fn certified(&self, request: &SigningRequest) -> Result<Renewed, RenewError> {
        let feed = match &self.access {
            StoreAccess::Member(store) => return admission::certify(store, self.machine, request),
            StoreAccess::Worker(feed) => feed,
        };
        let request = RenewRequest { signing_request: request.pem().to_owned() };
        let mut last = RenewError::NoMember;
        for member in feed.members() {
            let client = self.port.client_of_member(member).with_limit(ANSWER_MAX);
            match client.send(Method::POST, "/v1/certificate", &request).await {
                Ok(renewed) => return Ok(renewed),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

/// Returns what is stored in the folder, if a new certificate is due.
fn due(folder: &Path, now: SystemTime) -> Result<Option<(Identity, MachineKey)>, RenewError> {
    let identity = Identity::load(folder)?;
    if !identity.is_renewal_due(now) {
        return Ok(None);
    }
    Ok(Some((identity, MachineKey::load_or_generate(folder)?)))
}

/// Puts the kept key and the new certificate together, if it is of the same machine and authority.
fn take_up(old: &Identity, key: &MachineKey, renewed: &Renewed) -> Result<Identity, RenewError> {
    let new = Identity::new(key, &renewed.certificate, &renewed.authority)?;
    if new.authority_pin() != old.authority_pin() {
        return Err(RenewError::OtherAuthority);
    }
    if (new.cluster(), new.machine()) != (old.cluster(), old.machine()) {
        return Err(TlsError::OtherIdentity.into());
    }
    Ok(new)
}

fn date(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at)
        .map_or_else(|_| "an unknown time".to_owned(), |at| at.strftime("%F %T UTC").to_string())
}

/// Returns what is wrong with a certificate that is valid until `ends`, and what can be done. A
/// member makes itself a new one at any time.
pub(super) fn problem(ends: SystemTime, now: SystemTime, is_member: bool) -> Option<String> {
    if now + SOON < ends {
        return None;
    }
    let date = date(ends);
    Some(match (now > ends, is_member) {
        (true, false) => format!(
            "this machine's certificate was valid until {date}, so no other machine speaks with it; \
             its units run on; if its clock is right, it must join anew with an empty data directory, \
             another --name, and another --address or --peer-port"
        ),
        (true, true) => format!(
            "this machine's certificate was valid until {date}; as a member of the store it makes \
             itself a new one, and its log says why it could not"
        ),
        (false, _) => format!(
            "this machine's certificate is valid until {date} and is not renewed yet; its log says \
             why, and argosy list-machines who is away"
        ),
    })
}

#[cfg(test)]
mod tests {
    //! Tests of renewal, and of when an end is worth a word.

    use argosy_model::ClusterId;
    use argosy_peer::{ClusterCa, Validity};

    use super::*;

    const MACHINE: MachineId = MachineId(5);
    const DAY: Duration = Duration::from_secs(86_400);

    fn certified(
        authority: &ClusterCa,
        key: &MachineKey,
        machine: MachineId,
        life: Duration,
    ) -> Renewed {
        let validity = Validity::starting(SystemTime::now(), life);
        let request = key.signing_request().unwrap();
        let certificate = authority.issue(&request, machine, validity).unwrap();
        Renewed { certificate, authority: authority.certificate_pem().to_owned() }
    }

    #[test]
    fn a_certificate_is_renewed_in_its_last_third_with_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let authority = ClusterCa::create(ClusterId(7)).unwrap();
        let key = MachineKey::load_or_generate(folder.path()).unwrap();
        let first = certified(&authority, &key, MACHINE, 30 * DAY);
        let first = Identity::new(&key, &first.certificate, &first.authority).unwrap();
        first.save(folder.path()).unwrap();
        let now = SystemTime::now();
        assert!(due(folder.path(), now + 19 * DAY).unwrap().is_none());
        // Also after the end, for a member.
        assert!(due(folder.path(), now + 40 * DAY).unwrap().is_some());
        let (old, kept) = due(folder.path(), now + 21 * DAY).unwrap().unwrap();
        assert_eq!(kept.hash(), key.hash());
        let renewed = certified(&authority, &kept, MACHINE, 365 * DAY);
        let renewed = take_up(&old, &kept, &renewed).unwrap();
        let tls = TlsConfigs::new(old).unwrap();
        renewed.save(folder.path()).unwrap();
        tls.replace(renewed).unwrap();
        assert!(tls.identity().expires > now + 360 * DAY);
        assert!(due(folder.path(), now + 21 * DAY).unwrap().is_none());
    }

    #[test]
    fn a_certificate_of_others_is_not_taken_up() {
        let authority = ClusterCa::create(ClusterId(7)).unwrap();
        let key = MachineKey::generate().unwrap();
        let own = certified(&authority, &key, MACHINE, DAY);
        let own = Identity::new(&key, &own.certificate, &own.authority).unwrap();
        let impostor = ClusterCa::create(ClusterId(7)).unwrap();
        let foreign = certified(&impostor, &key, MACHINE, DAY);
        assert!(matches!(take_up(&own, &key, &foreign), Err(RenewError::OtherAuthority)));
        let other = certified(&authority, &key, MachineId(6), DAY);
        assert!(matches!(take_up(&own, &key, &other), Err(RenewError::Tls(_))));
    }

    #[test]
    fn the_end_is_told_before_and_after_with_what_can_be_done() {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(problem(ends, ends - 2 * SOON, false), None);
        let before = problem(ends, ends - SOON / 2, false).unwrap();
        assert!(before.contains("is valid until 2027-01-15 08:00:00 UTC"), "{before}");
        let after = problem(ends, ends + SOON, false).unwrap();
        assert!(after.contains("was valid until 2027-01-15 08:00:00 UTC"), "{after}");
        assert!(after.contains("join anew") && after.contains("--peer-port"), "{after}");
        assert!(!problem(ends, ends + SOON, true).unwrap().contains("join anew"));
    }
}
