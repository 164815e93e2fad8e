//! Reads out of a certificate what this port relies on: whose it is, which key, until when.
//!
//! The name of a machine is a URI in the subject alternative name (RFC 5280 4.2.1.6),
//! `argosy://CLUSTER/machine/MACHINE`; that of a cluster's authority is `argosy://CLUSTER`.
//! The subject is for people only and never read.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argosy_model::{ClusterId, MachineId};
use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

const SCHEME: &str = "argosy://";

/// SHA-256 of a public key (DER SubjectPublicKeyInfo): what a token pins the cluster's authority
/// by, and what tells two keys of one machine apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    pub(crate) fn of(public_key_info: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, public_key_info).as_ref());
        KeyHash(hash)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// Who is at the other end, as its verified certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The machine.
    pub machine: MachineId,
    /// Its key.
    pub key: KeyHash,
    /// When its certificate begins.
    pub valid_from: SystemTime,
    /// When its certificate ends. An open connection outlives it.
    pub expires: SystemTime,
}

/// A certificate does not say what one of this port must say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER of an X.509 certificate.
    #[error("not an X.509 certificate")]
    Malformed,
    /// It must carry exactly one name, and that a URI.
    #[error("the certificate does not carry exactly one URI as its name")]
    NotOneName,
    /// The URI is not of the expected form.
    #[error("the certificate's name {name:?} is not argosy://CLUSTER/machine/MACHINE")]
    NotAMachine {
        /// The URI found.
        name: String,
    },
    /// The URI is not of the expected form.
    #[error("the certificate's name {name:?} is not argosy://CLUSTER")]
    NotAnAuthority {
        /// The URI found.
        name: String,
    },
}

/// Returns the URI of a machine's certificate.
pub(crate) fn machine_name(cluster: ClusterId, machine: MachineId) -> String {
    format!("{SCHEME}{cluster}/machine/{machine}")
}

/// Returns the URI of the certificate of a cluster's authority.
pub(crate) fn authority_name(cluster: ClusterId) -> String {
    format!("{SCHEME}{cluster}")
}

/// Reads a machine's certificate. Verifies nothing.
pub(crate) fn read_machine(der: &[u8]) -> Result<PeerIdentity, CertificateError> {
    let certificate = parse(der)?;
    let name = only_name(&certificate)?;
    let ids = name.strip_prefix(SCHEME).and_then(|rest| rest.split_once("/machine/"));
    let ids = ids.and_then(|(cluster, machine)| Some((id(cluster)?, id(machine)?)));
    let Some((cluster, machine)) = ids else {
        return Err(CertificateError::NotAMachine { name: name.to_owned() });
    };
    Ok(PeerIdentity {
        cluster: ClusterId(cluster),
        machine: MachineId(machine),
        key: KeyHash::of(certificate.tbs_certificate.subject_pki.raw),
        valid_from: time(certificate.validity().not_before.timestamp()),
        expires: time(certificate.validity().not_after.timestamp()),
    })
}

/// The certificate of a cluster's authority, as far as it matters here.
pub(crate) struct AuthorityFacts {
    pub(crate) cluster: ClusterId,
    pub(crate) key: KeyHash,
    pub(crate) expires: SystemTime,
}

/// Reads the certificate of a cluster's authority. Verifies nothing.
pub(crate) fn read_authority(der: &[u8]) -> Result<AuthorityFacts, CertificateError> {
    let certificate = parse(der)?;
    let name = only_name(&certificate)?;
    let Some(cluster) = name.strip_prefix(SCHEME).and_then(id) else {
        return Err(CertificateError::NotAnAuthority { name: name.to_owned() });
    };
    Ok(AuthorityFacts {
        cluster: ClusterId(cluster),
        key: KeyHash::of(certificate.tbs_certificate.subject_pki.raw),
        expires: time(certificate.validity().not_after.timestamp()),
    })
}

/// Whether `issuer`'s key signed `der`. Looks at nothing else.
pub(crate) fn is_signed_by(der: &[u8], issuer: &[u8]) -> Result<bool, CertificateError> {
    let (certificate, issuer) = (parse(der)?, parse(issuer)?);
    Ok(certificate.verify_signature(Some(issuer.public_key())).is_ok())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Malformed),
    }
}

fn only_name<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, CertificateError> {
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    match names.map(|names| names.value.general_names.as_slice()) {
        Some([GeneralName::URI(name)]) => Ok(name),
        _ => Err(CertificateError::NotOneName),
    }
}

/// An id in the one spelling in which this port writes it: 32 lower-case digits.
fn id(text: &str) -> Option<u128> {
    let id: MachineId = text.parse().ok()?;
    (id.to_string() == text).then_some(id.0)
}

fn time(timestamp: i64) -> SystemTime {
    u64::try_from(timestamp).map_or(UNIX_EPOCH, |seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}
