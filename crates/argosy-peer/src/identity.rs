//! What a machine proves itself with: its key, which never leaves it, and its certificate.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use argosy_model::{ClusterId, MachineId};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::SigningRequest;
use crate::authority::check_authority;
use crate::certificate::{CertificateError, KeyHash, PeerIdentity, is_signed_by, read_machine};
use crate::files::{self, FileError};

/// The file of the private key in the identity's folder, 0600.
const KEY_FILE: &str = "machine.key";
/// The file of the machine's certificate followed by the authority's: one file, so that both
/// change at once.
const CERTIFICATE_FILE: &str = "machine.crt";

/// A machine's key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key could not be made or read.
    #[error("cannot use the machine's private key")]
    Key {
        /// Why.
        source: rcgen::Error,
    },
    /// The text must hold two certificates.
    #[error("cannot read the machine's certificate: {detail}")]
    Pem {
        /// What is wrong with it.
        detail: String,
    },
    /// The machine's certificate does not say what it must.
    #[error("cannot use the machine's certificate")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// The authority's certificate does not say what it must.
    #[error("cannot use the certificate of the cluster's authority: {detail}")]
    Authority {
        /// What is wrong with it.
        detail: String,
    },
    /// The certificate is for another key.
    #[error("the machine's certificate is for another key than the one on this machine")]
    KeyMismatch,
    /// The authority did not sign the certificate.
    #[error("the machine's certificate is not signed by the cluster's authority")]
    NotSigned,
    /// Machine and authority are of different clusters.
    #[error(
        "the machine's certificate is for cluster {certificate}, its authority is of {authority}"
    )]
    Cluster {
        /// The cluster the machine's certificate names.
        certificate: ClusterId,
        /// The cluster of the authority.
        authority: ClusterId,
    },
}

/// A machine's private key. Made on the machine before it joins and kept, so that a join that
/// was cut off can be repeated with the same token.
pub struct MachineKey {
    pair: KeyPair,
}

impl MachineKey {
    /// Makes a P-256 key.
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|source| IdentityError::Key { source })?;
        Ok(MachineKey { pair })
    }

    /// Reads the key in `folder` (`machine.key`), or makes one and stores it there, 0600. The
    /// folder must exist.
    pub fn load_or_generate(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join(KEY_FILE);
        match files::read(&path) {
            Ok(pem) => MachineKey::from_pem(&pem),
            Err(error) if error.is_not_found() => {
                let key = MachineKey::generate()?;
                files::write(&path, &key.pair.serialize_pem())?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a key from PEM (PKCS #8).
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let pair = KeyPair::from_pem(pem).map_err(|source| IdentityError::Key { source })?;
        Ok(MachineKey { pair })
    }

    /// Returns the hash of its public half.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.pair.subject_public_key_info())
    }

    /// Returns a request to certify it.
    pub fn signing_request(&self) -> Result<SigningRequest, IdentityError> {
        let failed = |source| IdentityError::Key { source };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(failed)?;
        let pem = request.pem().map_err(failed)?;
        SigningRequest::from_pem(&pem)
            .map_err(|error| IdentityError::Pem { detail: error.to_string() })
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineKey").field("hash", &self.hash()).finish_non_exhaustive()
    }
}

/// A machine's key, certificate and authority, checked against each other.
pub struct Identity {
    facts: PeerIdentity,
    issued_by: KeyHash,
    key: PrivatePkcs8KeyDer<'static>,
    key_pem: String,
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    chain_pem: String,
}

impl Identity {
    /// Puts a key and the issued certificates together. An expired certificate is taken: what
    /// to do about it is decided where it is used.
    pub fn new(
        key: &MachineKey,
        certificate: &str,
        authority: &str,
    ) -> Result<Self, IdentityError> {
        Self::from_chain(key, &format!("{}\n{}\n", certificate.trim(), authority.trim()))
    }

    fn from_chain(key: &MachineKey, chain_pem: &str) -> Result<Self, IdentityError> {
        let pem = |detail: String| IdentityError::Pem { detail };
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| pem(error.to_string()))?;
        let [certificate, authority] = <[CertificateDer<'_>; 2]>::try_from(chain)
            .map_err(|chain| pem(format!("{} certificates instead of two", chain.len())))?;
        let unreadable = |source| IdentityError::Certificate { source };
        let facts = read_machine(&certificate).map_err(unreadable)?;
        let issuer =
            check_authority(&authority).map_err(|detail| IdentityError::Authority { detail })?;
        if facts.key != key.hash() {
            return Err(IdentityError::KeyMismatch);
        }
        if facts.cluster != issuer.cluster {
            return Err(IdentityError::Cluster {
                certificate: facts.cluster,
                authority: issuer.cluster,
            });
        }
        if !is_signed_by(&certificate, &authority).map_err(unreadable)? {
            return Err(IdentityError::NotSigned);
        }
        Ok(Self::assemble(key, chain_pem, facts, issuer.key, [certificate, authority]))
    }

    fn assemble(
        key: &MachineKey,
        chain_pem: &str,
        facts: PeerIdentity,
        issued_by: KeyHash,
        [certificate, authority]: [CertificateDer<'static>; 2],
    ) -> Self {
        Identity {
            facts,
            issued_by,
            key: PrivatePkcs8KeyDer::from(key.pair.serialize_der()),
            key_pem: key.pair.serialize_pem(),
            certificate,
            authority,
            chain_pem: chain_pem.to_owned(),
        }
    }

    /// An identity that [`new`](Self::new) would refuse, as an attacker could build it.
    #[cfg(test)]
    pub(crate) fn forged(key: &MachineKey, certificate: &str, authority: &str) -> Self {
        let der = |pem: &str| crate::authority::certificate_der(pem).unwrap();
        let [certificate, authority] = [der(certificate), der(authority)];
        let facts = read_machine(&certificate).unwrap();
        let pin = crate::certificate::read_authority(&authority).unwrap().key;
        Self::assemble(key, "", facts, pin, [certificate, authority])
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let key = MachineKey::from_pem(&files::read(&folder.join(KEY_FILE))?)?;
        Self::from_chain(&key, &files::read(&folder.join(CERTIFICATE_FILE))?)
    }

    /// Writes `machine.key` and `machine.crt` into an existing folder, each 0600 and atomically.
    /// A renewal keeps the key, so a crash between the two leaves a pair that fits.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let key = folder.join(KEY_FILE);
        match files::read(&key) {
            Ok(stored) if stored == self.key_pem => {}
            Ok(_) => files::write(&key, &self.key_pem)?,
            Err(error) if error.is_not_found() => files::write(&key, &self.key_pem)?,
            Err(error) => return Err(error.into()),
        }
        Ok(files::write(&folder.join(CERTIFICATE_FILE), &self.chain_pem)?)
    }

    /// Returns the cluster.
    pub fn cluster(&self) -> ClusterId {
        self.facts.cluster
    }

    /// Returns the machine.
    pub fn machine(&self) -> MachineId {
        self.facts.machine
    }

    /// Returns what a peer sees of this machine.
    pub fn facts(&self) -> &PeerIdentity {
        &self.facts
    }

    /// Returns the hash of the authority's key.
    pub fn authority_pin(&self) -> KeyHash {
        self.issued_by
    }

    /// Returns when the certificate ends.
    pub fn expires(&self) -> SystemTime {
        self.facts.expires
    }

    /// Whether two thirds of the certificate's life are over at `now`, so that a new one should
    /// be asked for.
    pub fn is_renewal_due(&self, now: SystemTime) -> bool {
        let life = self.facts.expires.duration_since(self.facts.valid_from).unwrap_or_default();
        now >= self.facts.expires - life / 3
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("facts", &self.facts).finish_non_exhaustive()
    }
}
