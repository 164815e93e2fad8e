//! Credentials from the files that docker, podman and skopeo write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

use crate::reference::DEFAULT_REGISTRY;

/// Docker's own name for its registry in these files.
const DOCKER_KEYS: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

/// What a registry is told about who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// Exchanged for a token at the registry's token service.
    IdentityToken(String),
}

/// Secrets do not go into logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password of {user:?}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Why credentials cannot be used.
#[derive(Debug, Error)]
pub enum AuthFileError {
    #[error("cannot read the credentials in {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the credentials in {} are not written as they must be", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the credentials for {key:?} in {} are damaged", path.display())]
    Damaged { path: PathBuf, key: String },
    #[error("{} keeps the credentials for {registry:?} in the program \"docker-credential-{helper}\", which argosy does not run; log in with a file instead: podman login --authfile", path.display())]
    Helper { path: PathBuf, registry: String, helper: String },
}

/// Files with credentials, the first that knows a registry is used.
#[derive(Debug, Clone, Default)]
pub struct AuthFiles {
    paths: Vec<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl AuthFiles {
    pub const fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }

    /// Where podman and docker look, `variable` being the environment.
    pub fn usual(variable: impl Fn(&str) -> Option<PathBuf>, user: u32) -> Self {
        let mut paths = Vec::new();
        paths.extend(variable("REGISTRY_AUTH_FILE"));
        match variable("XDG_RUNTIME_DIR") {
            Some(folder) => paths.push(folder.join("containers/auth.json")),
            None => paths.push(PathBuf::from(format!("/run/containers/{user}/auth.json"))),
        }
        let home = variable("HOME");
        let config = variable("XDG_CONFIG_HOME").or(home.as_ref().map(|home| home.join(".config")));
        paths.extend(config.map(|config| config.join("containers/auth.json")));
        let docker = variable("DOCKER_CONFIG").or(home.map(|home| home.join(".docker")));
        paths.extend(docker.map(|docker| docker.join("config.json")));
        Self { paths }
    }

    /// What is known for a name such as `quay.io/team/app`: the longest entry that begins it.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Credentials>, AuthFileError> {
        for path in &self.paths {
            let text = match std::fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(AuthFileError::Read { path: path.clone(), source }),
            };
            let wire: Wire = serde_json::from_slice(&text)
                .map_err(|source| AuthFileError::Parse { path: path.clone(), source })?;
            if let Some(found) = find_in(path, &wire, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn find_in(path: &Path, wire: &Wire, name: &str) -> Result<Option<Credentials>, AuthFileError> {
    let registry = name.split('/').next().unwrap_or(name);
    let mut keys: Vec<&str> =
        name.match_indices('/').map(|(place, _)| &name[..place]).chain([name]).collect();
    keys.reverse();
    if registry == DEFAULT_REGISTRY {
        keys.extend(DOCKER_KEYS);
    }
    let old = [format!("https://{registry}"), format!("https://{registry}/v1/")];
    keys.extend(old.iter().map(String::as_str));
    for key in &keys {
        if let Some(auth) = wire.auths.get(*key)
            && let Some(found) = read(path, key, auth)?
        {
            return Ok(Some(found));
        }
    }
    let listed = keys.iter().any(|key| wire.auths.contains_key(*key));
    let helper = wire.cred_helpers.get(registry).or(wire.creds_store.as_ref().filter(|_| listed));
    match helper {
        Some(helper) => Err(AuthFileError::Helper {
            path: path.to_owned(),
            registry: registry.to_owned(),
            helper: helper.clone(),
        }),
        None => Ok(None),
    }
}

fn read(path: &Path, key: &str, auth: &Auth) -> Result<Option<Credentials>, AuthFileError> {
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credentials::IdentityToken(auth.identitytoken.clone())));
    }
    if !auth.username.is_empty() {
        let (user, password) = (auth.username.clone(), auth.password.clone());
        return Ok(Some(Credentials::Password { user, password }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let damaged = || AuthFileError::Damaged { path: path.to_owned(), key: key.to_owned() };
    let text = STANDARD.decode(auth.auth.trim()).map_err(|_| damaged())?;
    let text = String::from_utf8(text).map_err(|_| damaged())?;
    let (user, password) = text.split_once(':').ok_or_else(damaged)?;
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Credentials::Password { user: user.to_owned(), password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, name: &str) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        std::fs::write(&path, text).unwrap();
        let missing = folder.path().join("missing.json");
        let files = AuthFiles::new(vec![missing, path]);
        files.find(name).map_err(|error| error.to_string()).map(|found| {
            found.map(|found| match found {
                Credentials::Password { user, password } => format!("{user}:{password}"),
                Credentials::IdentityToken(token) => format!("token {token}"),
            })
        })
    }

    #[test]
    fn the_longest_entry_wins() {
        let encode = |text: &str| STANDARD.encode(text);
        let text = format!(
            r#"{{"auths": {{"quay.io": {{"auth": "{}"}}, "quay.io/team": {{"auth": "{}"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "ghcr.io": {{"identitytoken": "abc"}}}}}}"#,
            encode("one:1"),
            encode("two:2:2"),
            encode("hub:h"),
        );
        assert_eq!(find(&text, "quay.io/other/app"), Ok(Some("one:1".into())));
        assert_eq!(find(&text, "quay.io/team/app"), Ok(Some("two:2:2".into())));
        assert_eq!(find(&text, "quay.io/teams"), Ok(Some("one:1".into())));
        assert_eq!(find(&text, "docker.io/library/busybox"), Ok(Some("hub:h".into())));
        assert_eq!(find(&text, "ghcr.io/a"), Ok(Some("token abc".into())));
        assert_eq!(find(&text, "example.org/a"), Ok(None));
    }

    #[test]
    fn a_helper_program_is_named_and_not_run() {
        let text = r#"{"auths": {"quay.io": {}}, "credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}}"#;
        assert!(find(text, "quay.io/a").unwrap_err().contains("docker-credential-desktop"));
        assert!(find(text, "gcr.io/a").unwrap_err().contains("docker-credential-gcloud"));
        assert_eq!(find(text, "other.io/a"), Ok(None));
        assert!(
            find(r#"{"auths": {"a.io": {"auth": "%%"}}}"#, "a.io/x")
                .unwrap_err()
                .contains("damaged")
        );
    }
}
