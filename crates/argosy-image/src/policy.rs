//! Signature policy: which images are accepted at all, as containers-policy.json(5) says it.
//!
//! A policy that asks for what cannot be verified here is never taken as "accept": such images are
//! refused and the message says so.

mod identity;
mod requirement;
mod sigstore;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::reference::Reference;
use requirement::Requirement;
pub(crate) use sigstore::{Signature, SigstoreSigned};

/// Where the containers tools look, first found first used.
pub const POLICY_FILES: [&str; 2] =
    ["/etc/containers/policy.json", "/usr/share/containers/policy.json"];

/// What to ask of images.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// What an image has to show before it is used.
#[derive(Debug, Clone)]
pub(crate) struct Demands<'a> {
    /// Which part of the policy asks for it.
    pub(crate) scope: String,
    /// Each of them has to be met.
    pub(crate) signatures: Vec<&'a SigstoreSigned>,
}

/// Why an image is not accepted, or the policy not used.
#[derive(Debug, Error)]
pub enum PolicyError {
    #[error("{image} is rejected by the signature policy for {scope:?}")]
    Rejected { image: String, scope: String },
    #[error(
        "the signature policy for {scope:?} asks for {kind:?}, which argosy cannot verify; {image} is refused"
    )]
    Unsupported { image: String, scope: String, kind: String },
    #[error("the signature policy has no requirement for {scope:?}; {image} is refused")]
    Empty { image: String, scope: String },
    #[error("cannot read the signature policy {path}")]
    Read { path: String, source: std::io::Error },
    #[error("the signature policy {path} is not written as it must be")]
    Parse { path: String, source: serde_json::Error },
    #[error("cannot use {key}, by which the signature policy for {scope:?} verifies")]
    Key { key: String, scope: String, source: KeyError },
    #[error("{image} has no signature that the signature policy for {scope:?} accepts: {why}")]
    Unsigned { image: String, scope: String, why: String },
}

/// A public key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("it is no PUBLIC KEY in PEM")]
    Pem,
    #[error("it is neither for ECDSA on P-256, P-384 or P-521, nor for Ed25519, nor for RSA")]
    Kind,
}

impl Policy {
    /// Accepts everything, as a machine without a policy does.
    pub fn accept_anything() -> Self {
        Self { default: vec![Requirement::AcceptAnything], transports: BTreeMap::new() }
    }

    /// Reads a policy file.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let shown = || path.display().to_string();
        let text =
            std::fs::read(path).map_err(|source| PolicyError::Read { path: shown(), source })?;
        serde_json::from_slice(&text).map_err(|source| PolicyError::Parse { path: shown(), source })
    }

    /// The policy of this machine; everything is accepted where there is none.
    pub fn of_this_machine() -> Result<Self, PolicyError> {
        for path in POLICY_FILES.map(Path::new) {
            match Self::read(path) {
                Err(PolicyError::Read { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Ok(Self::accept_anything())
    }

    /// Whether an image of a registry may be pulled, and what it has to show for it.
    pub(crate) fn check(&self, reference: &Reference) -> Result<Demands<'_>, PolicyError> {
        let (scope, requirements) = self.requirements(reference);
        let image = reference.familiar();
        if requirements.is_empty() {
            return Err(PolicyError::Empty { image, scope });
        }
        let mut signatures = Vec::new();
        for requirement in requirements {
            match requirement {
                Requirement::AcceptAnything => {}
                Requirement::Reject => return Err(PolicyError::Rejected { image, scope }),
                Requirement::Sigstore(signed) => signatures.push(signed),
                Requirement::Unknown { kind } => {
                    let kind = kind.clone();
                    return Err(PolicyError::Unsupported { image, scope, kind });
                }
            }
        }
        Ok(Demands { scope, signatures })
    }

    /// The narrowest scope that has a word about a reference, and its requirements.
    fn requirements(&self, reference: &Reference) -> (String, &[Requirement]) {
        if let Some(scopes) = self.transports.get("docker") {
            for scope in scopes_of(reference) {
                if let Some(requirements) = scopes.get(&scope) {
                    return (scope, requirements);
                }
            }
        }
        ("default".to_owned(), &self.default)
    }
}

/// The image, its repository, each folder above, the registry, `*.` and each domain above, and
/// the transport's own default.
fn scopes_of(reference: &Reference) -> Vec<String> {
    let name = reference.name();
    let mut scopes = vec![reference.to_string()];
    let mut rest = name.as_str();
    scopes.push(rest.to_owned());
    while let Some((above, _)) = rest.rsplit_once('/') {
        scopes.push(above.to_owned());
        rest = above;
    }
    let mut domain = reference.registry().split(':').next().unwrap_or_default();
    while let Some((_, above)) = domain.split_once('.') {
        scopes.push(format!("*.{above}"));
        domain = above;
    }
    scopes.push(String::new());
    scopes
}

#[cfg(test)]
mod tests;
