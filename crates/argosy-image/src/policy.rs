//! Signature policy: which images are accepted at all, as containers-policy.json(5) says it.
//!
//! Signatures are not verified yet. A policy that asks for one is never taken as "accept": such
//! images are refused and the message says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

use crate::reference::Reference;

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

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
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
}

impl Policy {
    /// Accepts everything, as a machine without a policy does.
    pub fn accept_anything() -> Self {
        let kind = "insecureAcceptAnything".to_owned();
        Self { default: vec![Requirement { kind }], transports: BTreeMap::new() }
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

    /// Whether an image of a registry may be pulled.
    pub fn check(&self, reference: &Reference) -> Result<(), PolicyError> {
        let (scope, requirements) = self.requirements(reference);
        let image = reference.familiar();
        if requirements.is_empty() {
            return Err(PolicyError::Empty { image, scope });
        }
        for requirement in requirements {
            match requirement.kind.as_str() {
                "insecureAcceptAnything" => {}
                "reject" => return Err(PolicyError::Rejected { image, scope }),
                kind => {
                    let kind = kind.to_owned();
                    return Err(PolicyError::Unsupported { image, scope, kind });
                }
            }
        }
        Ok(())
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
mod tests {
    use super::*;

    const POLICY: &str = r#"{
        "default": [{"type": "reject"}],
        "transports": {"docker": {
            "docker.io/library": [{"type": "insecureAcceptAnything"}],
            "docker.io/library/bad": [{"type": "reject"}],
            "quay.io": [{"type": "sigstoreSigned", "keyPath": "/k"}],
            "*.example.org": [{"type": "insecureAcceptAnything"}],
            "void.io": []
        }}
    }"#;

    fn answer(text: &str) -> String {
        let policy: Policy = serde_json::from_str(POLICY).unwrap();
        match policy.check(&text.parse().unwrap()) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_narrowest_scope_decides() {
        assert_eq!(answer("busybox"), "accepted");
        assert_eq!(answer("registry.example.org/a/b"), "accepted");
        assert!(
            answer("library/bad")
                .contains("rejected by the signature policy for \"docker.io/library/bad\"")
        );
        assert!(answer("user/app").contains("for \"default\""));
        assert!(answer("void.io/app").contains("no requirement"));
    }

    #[test]
    fn what_cannot_be_verified_is_refused_and_never_accepted() {
        assert!(
            answer("quay.io/a/b")
                .contains("asks for \"sigstoreSigned\", which argosy cannot verify")
        );
    }
}
