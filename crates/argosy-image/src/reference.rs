//! References: what a user types to name an image, by docker's grammar.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::{Digest, DigestError};

/// The registry of a name without one.
pub(crate) const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of a name without tag and digest.
pub(crate) const DEFAULT_TAG: &str = "latest";
/// Where docker.io's one-word names are.
const OFFICIAL: &str = "library";
/// Docker's other names for its registry.
const DOCKER_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Docker's limit of registry and repository together; longer names are refused by registries.
const NAME_BYTES_MAX: usize = 255;
/// Docker's limit of a tag.
const TAG_BYTES_MAX: usize = 128;

/// A whole reference: registry, repository, and a tag, a digest, or both.
///
/// With both, the digest says which image it is and the tag is a note.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    #[error("the image name is empty")]
    Empty,
    #[error("image name {name:?} has a space or control character")]
    Space { name: String },
    #[error("image name {name:?} begins with a scheme; leave out {scheme:?}")]
    Scheme { name: String, scheme: String },
    #[error("image name {name:?} has no repository after the registry {registry:?}")]
    NoRepository { name: String, registry: String },
    #[error("repository {repository:?} must be lower case; try {lower:?}")]
    UpperCase { repository: String, lower: String },
    #[error(
        "part {part:?} of the repository must be letters a-z and digits, joined by one \".\", one or two \"_\", or any number of \"-\""
    )]
    Part { part: String },
    #[error("registry {registry:?} is not a host with an optional port")]
    Registry { registry: String },
    #[error(
        "tag {tag:?} must begin with a letter, digit or \"_\" and go on with these, \".\" and \"-\""
    )]
    Tag { tag: String },
    #[error("tag {tag:?} has more than {TAG_BYTES_MAX} characters")]
    TagLength { tag: String },
    #[error(
        "registry and repository together have {length} characters, at most {NAME_BYTES_MAX} are allowed"
    )]
    NameLength { length: usize },
    #[error("the digest after \"@\" is wrong")]
    Digest(#[from] DigestError),
}

impl Reference {
    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The registry and repository without tag and digest: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository at a digest, without a tag.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The last part of a registry's URL: what to ask for.
    pub(crate) fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// As people write it: without docker.io and `library/`.
    pub fn familiar(&self) -> String {
        let whole = self.to_string();
        let Some(rest) = whole.strip_prefix("docker.io/") else { return whole };
        let rest = rest.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(rest);
        rest.to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        check_text(text)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') && !tag.ends_with(']') => (rest, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = split_registry(text, rest)?;
        let tag = tag.map(checked_tag).transpose()?;
        check_repository(&repository)?;
        let length = registry.len() + 1 + repository.len();
        if length > NAME_BYTES_MAX {
            return Err(ReferenceError::NameLength { length });
        }
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self { registry, repository, tag, digest })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn check_text(text: &str) -> Result<(), ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(ReferenceError::Space { name: text.to_owned() });
    }
    for scheme in ["https://", "http://", "docker://", "oci://"] {
        if text.starts_with(scheme) {
            return Err(ReferenceError::Scheme {
                name: text.to_owned(),
                scheme: scheme.to_owned(),
            });
        }
    }
    Ok(())
}

/// Docker's rule: the first part is a registry if it has a dot or colon, is `localhost`, or has
/// upper-case letters, which a repository cannot have.
fn split_registry(text: &str, rest: &str) -> Result<(String, String), ReferenceError> {
    let first_is_registry = |first: &str| {
        first.contains(['.', ':', '['])
            || first == "localhost"
            || first.chars().any(char::is_uppercase)
    };
    let (registry, repository) = match rest.split_once('/') {
        Some((first, repository)) if first_is_registry(first) => (first, repository),
        _ => (DEFAULT_REGISTRY, rest),
    };
    if repository.is_empty() {
        return Err(ReferenceError::NoRepository {
            name: text.to_owned(),
            registry: registry.to_owned(),
        });
    }
    let registry = if DOCKER_ALIASES.contains(&registry) { DEFAULT_REGISTRY } else { registry };
    if !is_host(registry) {
        return Err(ReferenceError::Registry { registry: registry.to_owned() });
    }
    let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        format!("{OFFICIAL}/{repository}")
    } else {
        repository.to_owned()
    };
    Ok((registry.to_owned(), repository))
}

fn is_host(registry: &str) -> bool {
    let (host, port) = if let Some(rest) = registry.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else { return false };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        match port.strip_prefix(':') {
            Some(port) => (None, Some(port)),
            None if port.is_empty() => (None, None),
            None => return false,
        }
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        }
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
}

fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    if tag.len() > TAG_BYTES_MAX {
        return Err(ReferenceError::TagLength { tag: tag.to_owned() });
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good = tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if good { Ok(tag.to_owned()) } else { Err(ReferenceError::Tag { tag: tag.to_owned() }) }
}

fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase {
            repository: repository.to_owned(),
            lower: repository.to_ascii_lowercase(),
        });
    }
    match repository.split('/').find(|part| !is_part(part)) {
        Some(part) => Err(ReferenceError::Part { part: part.to_owned() }),
        None => Ok(()),
    }
}

/// `[a-z0-9]+ ((\.|_|__|-+) [a-z0-9]+)*`
fn is_part(part: &str) -> bool {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let mut separators = part.split(plain).filter(|text| !text.is_empty());
    part.starts_with(plain)
        && part.ends_with(plain)
        && separators.all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}
