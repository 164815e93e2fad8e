//! Signatures as cosign and skopeo attach them to images: a text that names an image and a digest,
//! and a signature of that text by a key.

use std::path::PathBuf;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::identity::Identity;
use super::{KeyError, PolicyError};
use crate::digest::Digest;
use crate::reference::Reference;

/// What the text of a signature says that it is (cosign's specification of signatures).
const KIND: &str = "cosign container image signature";

/// What each key may be for. A key is for one of them; the others refuse it.
const ALGORITHMS: [&'static dyn VerificationAlgorithm; 5] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &ED25519,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// A signature by one of these keys, for a name that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigstoreSigned {
    pub(super) keys: Vec<KeySource>,
    pub(super) identity: Identity,
}

/// Where a public key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    File(PathBuf),
    /// In the policy.
    Data(Vec<u8>),
}

/// A signature as it is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// What is signed.
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// What is signed, in the form of containers-signature(5).
#[derive(Debug, Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: SignedImage,
    identity: SignedIdentity,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedIdentity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

impl SigstoreSigned {
    /// Verifies that one of the signatures is by one of the keys, for this name, and for one of the
    /// digests: the manifest's, or the index's that names the manifest.
    pub(crate) fn verify(
        &self,
        scope: &str,
        reference: &Reference,
        digests: &[&Digest],
        signatures: &[Signature],
    ) -> Result<(), PolicyError> {
        let mut keys = Vec::new();
        for source in &self.keys {
            let wrong = |error| PolicyError::Key {
                key: source.shown(),
                scope: scope.to_owned(),
                source: error,
            };
            keys.push(Key::read(source).map_err(wrong)?);
        }
        let mut refusals = Vec::new();
        for signature in signatures {
            match self.refusal(reference, digests, signature, &keys) {
                None => return Ok(()),
                Some(why) if refusals.contains(&why) => {}
                Some(why) => refusals.push(why),
            }
        }
        let why = match refusals.is_empty() {
            true => "it has none".to_owned(),
            false => refusals.join("; "),
        };
        Err(PolicyError::Unsigned { image: reference.familiar(), scope: scope.to_owned(), why })
    }

    /// Returns why a signature does not count.
    fn refusal(
        &self,
        reference: &Reference,
        digests: &[&Digest],
        signature: &Signature,
        keys: &[Key],
    ) -> Option<String> {
        // Nothing is read of a text that nobody known has signed.
        if !keys.iter().any(|key| key.has_signed(signature)) {
            return Some("one is by another key".to_owned());
        }
        let Ok(Payload { critical }) = serde_json::from_slice(&signature.payload) else {
            return Some("one signs a text that is not understood".to_owned());
        };
        if critical.kind != KIND {
            return Some(format!("one is no {KIND}, but a {:?}", critical.kind));
        }
        if !digests.iter().any(|digest| digest.to_string() == critical.image.digest) {
            return Some(format!("one is for {:?}", critical.image.digest));
        }
        let signed = &critical.identity.reference;
        (!self.identity.fits(reference, signed)).then(|| format!("one is for the name {signed:?}"))
    }
}

impl KeySource {
    fn shown(&self) -> String {
        match self {
            KeySource::File(path) => path.display().to_string(),
            KeySource::Data(_) => "the key in keyData".to_owned(),
        }
    }
}

/// A public key, with what it is for.
struct Key(ParsedPublicKey);

impl Key {
    /// Reads a key as PEM has it (RFC 5280, SubjectPublicKeyInfo).
    fn read(source: &KeySource) -> Result<Key, KeyError> {
        let text = match source {
            KeySource::Data(data) => data.clone(),
            KeySource::File(path) => std::fs::read(path)
                .map_err(|source| KeyError::Read { path: path.clone(), source })?,
        };
        let inside = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|_| KeyError::Pem)?;
        let read = |algorithm: &&'static dyn VerificationAlgorithm| {
            ParsedPublicKey::new(*algorithm, inside.as_ref()).ok()
        };
        ALGORITHMS.iter().find_map(read).map(Key).ok_or(KeyError::Kind)
    }

    fn has_signed(&self, signature: &Signature) -> bool {
        self.0.verify_sig(&signature.payload, &signature.signature).is_ok()
    }
}
