//! The cluster's own certificate authority, and what a machine asks of it.

use std::fmt;
use std::time::{Duration, SystemTime};

use argosy_model::{ClusterId, MachineId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::certificate::{
    CertificateError, KeyHash, authority_name, is_signed_by, machine_name, read_authority,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the authority is valid: longer than a cluster is likely to live unattended.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3653 * DAY.as_secs());

/// How long a machine's certificate is valid unless told otherwise: one year. It is renewed
/// after two thirds of it.
pub const MACHINE_CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * DAY.as_secs());

/// Clocks of a joining machine and of the issuer may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A request for a P-256 certificate has about 400 bytes; this leaves room for odd extensions.
const SIGNING_REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The authority cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Key or certificate could not be made.
    #[error("cannot make the cluster's certificate authority")]
    Create {
        /// Why.
        source: rcgen::Error,
    },
    /// The text is not the certificate of an authority.
    #[error("cannot read the certificate of the cluster's authority: {detail}")]
    Certificate {
        /// What is wrong with it.
        detail: String,
    },
    /// The text is not a private key.
    #[error("cannot read the private key of the cluster's authority")]
    Key {
        /// Why.
        source: rcgen::Error,
    },
    /// The private key is not that of the certificate.
    #[error("the private key does not belong to the certificate of the cluster's authority")]
    KeyMismatch,
    /// The text is not a signing request that proves possession of its key.
    #[error("cannot read the certificate signing request: {detail}")]
    SigningRequest {
        /// What is wrong with it.
        detail: String,
    },
    /// The validity is empty.
    #[error("a certificate cannot end before it begins")]
    EmptyValidity,
    /// Signing failed.
    #[error("cannot issue a certificate for machine {machine}")]
    Issue {
        /// For whom.
        machine: MachineId,
        /// Why.
        source: rcgen::Error,
    },
}

/// From when to when a certificate is valid, by the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last moment. Cut to the authority's own end.
    pub until: SystemTime,
}

impl Validity {
    /// Returns the validity of `life` from `now`, begun five minutes earlier for clocks that are
    /// behind.
    pub fn starting(now: SystemTime, life: Duration) -> Self {
        Validity { from: now - CLOCK_SKEW, until: now + life }
    }

    /// Returns what a machine gets at `now`: one year.
    pub fn of_machine(now: SystemTime) -> Self {
        Validity::starting(now, MACHINE_CERTIFICATE_LIFE)
    }
}

/// A certificate signing request (PKCS #10) whose signature proves that the asker has the key.
/// Whatever names it asks for are ignored.
#[derive(Clone)]
pub struct SigningRequest {
    pem: String,
    public_key: rcgen::PublicKey,
}

impl SigningRequest {
    /// Reads one from PEM. Only P-256 and Ed25519 keys are taken.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        let refused = |detail: String| AuthorityError::SigningRequest { detail };
        if pem.len() > SIGNING_REQUEST_BYTES_MAX {
            return Err(refused(format!("longer than {SIGNING_REQUEST_BYTES_MAX} bytes")));
        }
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| refused(error.to_string()))?;
        let request = CertificateSigningRequestParams::from_der(&der)
            .map_err(|error| refused(error.to_string()))?;
        let public_key = request.public_key;
        let algorithm = PublicKeyData::algorithm(&public_key);
        if *algorithm != PKCS_ECDSA_P256_SHA256 && *algorithm != PKCS_ED25519 {
            return Err(refused("its key is neither P-256 nor Ed25519".to_owned()));
        }
        // The kind of key was derived from the kind of signature: only if both agree does the
        // certificate carry the key that was asked for.
        let (_, parsed) =
            X509CertificationRequest::from_der(&der).map_err(|error| refused(error.to_string()))?;
        let asked = parsed.certification_request_info.subject_pki.raw;
        if public_key.subject_public_key_info() != asked {
            return Err(refused("its key is neither P-256 nor Ed25519".to_owned()));
        }
        Ok(SigningRequest { pem: pem.to_owned(), public_key })
    }

    /// Returns it as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the hash of the key to be certified.
    pub fn key(&self) -> KeyHash {
        KeyHash::of(&self.public_key.subject_public_key_info())
    }
}

impl fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningRequest").field("key", &self.key()).finish_non_exhaustive()
    }
}

/// The cluster's certificate authority with its private key. Whoever holds it is the cluster.
pub struct ClusterCa {
    cluster: ClusterId,
    pin: KeyHash,
    expires: SystemTime,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterCa {
    /// Makes a new authority with a P-256 key, valid for ten years.
    pub fn create(cluster: ClusterId) -> Result<Self, AuthorityError> {
        let now = SystemTime::now();
        let failed = |source| AuthorityError::Create { source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + AUTHORITY_LIFE).into();
        params.distinguished_name = subject(&format!("Argosy cluster {cluster}"));
        params.subject_alt_names = vec![uri(&authority_name(cluster)).map_err(failed)?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// Reads what [`certificate_pem`](Self::certificate_pem) and [`key_pem`](Self::key_pem) gave.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let unreadable = |detail: String| AuthorityError::Certificate { detail };
        let der = certificate_der(certificate).map_err(unreadable)?;
        let facts = check_authority(&der).map_err(unreadable)?;
        let key = KeyPair::from_pem(key).map_err(|source| AuthorityError::Key { source })?;
        if KeyHash::of(&key.subject_public_key_info()) != facts.key {
            return Err(AuthorityError::KeyMismatch);
        }
        let issuer =
            Issuer::from_ca_cert_der(&der, key).map_err(|error| unreadable(error.to_string()))?;
        Ok(ClusterCa {
            cluster: facts.cluster,
            pin: facts.key,
            expires: facts.expires,
            certificate_pem: certificate.to_owned(),
            issuer,
        })
    }

    /// Returns the cluster it speaks for.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the hash of its public key, which tokens carry.
    pub fn pin(&self) -> KeyHash {
        self.pin
    }

    /// Returns when it ends.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Returns its certificate, which is no secret.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns its private key. Never to be logged, sent to a worker or put on a client port.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues the certificate of a machine, for both ends of a connection, as PEM.
    pub fn issue(
        &self,
        request: &SigningRequest,
        machine: MachineId,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        let failed = |source| AuthorityError::Issue { machine, source };
        let until = validity.until.min(self.expires);
        if validity.from >= until {
            return Err(AuthorityError::EmptyValidity);
        }
        let mut params = CertificateParams::default();
        params.not_before = validity.from.into();
        params.not_after = until.into();
        params.distinguished_name = subject(&format!("Argosy machine {machine}"));
        params.subject_alt_names = vec![uri(&machine_name(self.cluster, machine)).map_err(failed)?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(failed)?;
        Ok(certificate.pem())
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa")
            .field("cluster", &self.cluster)
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}

/// Reads the first certificate of a PEM text.
pub(crate) fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())
}

/// Reads an authority's certificate and checks that its own key signed it.
pub(crate) fn check_authority(der: &[u8]) -> Result<crate::certificate::AuthorityFacts, String> {
    let facts = read_authority(der).map_err(|error: CertificateError| error.to_string())?;
    match is_signed_by(der, der) {
        Ok(true) => Ok(facts),
        _ => Err("it is not signed by its own key".to_owned()),
    }
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    subject
}

fn uri(name: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(name.try_into()?))
}
