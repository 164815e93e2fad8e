//! Which name in a signature fits the name by which an image is pulled, as `signedIdentity` of
//! containers-policy.json(5) says it.

use serde::Deserialize;

use crate::reference::Reference;

/// What a signature has to be for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Identity {
    /// The very name; an image pulled by a digest has none.
    MatchExact,
    /// The very name, or the repository of an image pulled by its digest.
    #[default]
    MatchRepoDigestOrExact,
    MatchRepository,
    #[serde(rename_all = "camelCase")]
    ExactReference {
        docker_reference: String,
    },
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        docker_repository: String,
    },
    /// Names that begin so are taken for names that begin otherwise: those of a mirror.
    #[serde(rename = "remapIdentity", rename_all = "camelCase")]
    Remap {
        prefix: String,
        signed_prefix: String,
    },
}

impl Identity {
    /// Tells whether a signature for `signed` is one for `wanted`.
    pub(super) fn fits(&self, wanted: &Reference, signed: &str) -> bool {
        let Ok(read) = signed.parse::<Reference>() else { return false };
        match self {
            Identity::MatchExact => is_exact(&wanted.to_string(), signed, &read),
            Identity::MatchRepoDigestOrExact => is_exact_or_digest(wanted, signed, &read),
            Identity::MatchRepository => wanted.name() == read.name(),
            Identity::ExactReference { docker_reference } => {
                let own = docker_reference.parse::<Reference>();
                own.is_ok_and(|own| is_exact(&own.to_string(), signed, &read))
            }
            Identity::ExactRepository { docker_repository } => {
                let own = docker_repository.parse::<Reference>();
                own.is_ok_and(|own| own.name() == read.name())
            }
            Identity::Remap { prefix, signed_prefix } => {
                let Some(name) = remapped(&wanted.name(), prefix, signed_prefix) else {
                    return is_exact_or_digest(wanted, signed, &read);
                };
                let tail = wanted.to_string().split_off(wanted.name().len());
                // A name that cannot be is nobody's.
                let remapped = (name + &tail).parse::<Reference>();
                remapped.is_ok_and(|remapped| is_exact_or_digest(&remapped, signed, &read))
            }
        }
    }
}

/// A signature for a name without a tag is for no tag: it is not taken for `latest`.
fn is_exact(wanted: &str, signed: &str, read: &Reference) -> bool {
    let last = signed.rsplit('/').next().unwrap_or_default();
    last.contains([':', '@']) && wanted == read.to_string()
}

fn is_exact_or_digest(wanted: &Reference, signed: &str, read: &Reference) -> bool {
    if wanted.digest().is_some() {
        wanted.name() == read.name()
    } else {
        is_exact(&wanted.to_string(), signed, read)
    }
}

/// Changes the beginning of a repository's name: the whole of it, or up to a `/`.
fn remapped(name: &str, prefix: &str, signed_prefix: &str) -> Option<String> {
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{signed_prefix}{rest}"))
}
