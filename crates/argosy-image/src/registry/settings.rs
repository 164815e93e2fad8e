//! How registries are reached: mirrors, transports, certificates.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::reference::{DEFAULT_REGISTRY, Reference};

/// Where docker.io's registry really is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TLS with a verified certificate.
    Tls,
    /// TLS with whatever certificate.
    TlsUnverified,
    /// Plain HTTP.
    Plain,
}

/// What is said about registries. Everything has a default that needs no word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registries {
    #[serde(rename = "registry")]
    pub registries: Vec<RegistrySettings>,
}

/// What is said about one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// `docker.io`, `registry.example.org:5000`: as in names of images.
    pub name: String,
    /// Asked first, in this order.
    pub mirrors: Vec<Mirror>,
    /// TLS; plain HTTP for a loopback address.
    pub transport: Option<Transport>,
    /// Certificates in PEM that sign the registry's, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Nothing is pulled from it or pushed to it, mirrors included.
    pub blocked: bool,
}

/// Another place with a registry's images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// `HOST[:PORT]`, with a path before the repository if there is one.
    pub location: String,
    #[serde(default)]
    pub transport: Option<Transport>,
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) transport: Transport,
    pub(crate) ca: Option<PathBuf>,
    /// The repository there.
    pub(crate) repository: String,
    /// The name under which its credentials are looked for.
    pub(crate) credentials: String,
    pub(crate) is_mirror: bool,
}

impl Endpoint {
    pub(crate) const fn scheme(&self) -> &'static str {
        match self.transport {
            Transport::Plain => "http",
            Transport::Tls | Transport::TlsUnverified => "https",
        }
    }

    /// The URL of something in the repository.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}/v2/{}/{path}", self.scheme(), self.authority, self.repository)
    }
}

impl Registries {
    fn settings(&self, registry: &str) -> Option<&RegistrySettings> {
        self.registries.iter().find(|settings| settings.name == registry)
    }

    /// Whether the registry of a reference must not be used.
    pub(crate) fn is_blocked(&self, reference: &Reference) -> bool {
        self.settings(reference.registry()).is_some_and(|settings| settings.blocked)
    }

    /// Where an image may be, the mirrors first.
    pub(crate) fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        let mirrors = self.settings(reference.registry()).map_or(&[][..], |found| &found.mirrors);
        let mut endpoints: Vec<Endpoint> = mirrors
            .iter()
            .map(|mirror| {
                let (host, prefix) =
                    mirror.location.split_once('/').unwrap_or((&mirror.location, ""));
                let prefix = prefix.trim_end_matches('/');
                let separator = if prefix.is_empty() { "" } else { "/" };
                Endpoint {
                    authority: host.to_owned(),
                    transport: mirror.transport.unwrap_or_else(|| usual_transport(host)),
                    ca: mirror.ca.clone(),
                    repository: format!("{prefix}{separator}{}", reference.repository()),
                    credentials: mirror.location.clone(),
                    is_mirror: true,
                }
            })
            .collect();
        endpoints.push(self.origin(reference));
        endpoints
    }

    /// The registry itself.
    pub(crate) fn origin(&self, reference: &Reference) -> Endpoint {
        let registry = reference.registry();
        let settings = self.settings(registry);
        let authority = if registry == DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
        Endpoint {
            authority: authority.to_owned(),
            transport: settings
                .and_then(|settings| settings.transport)
                .unwrap_or_else(|| usual_transport(registry)),
            ca: settings.and_then(|settings| settings.ca.clone()),
            repository: reference.repository().to_owned(),
            credentials: reference.name(),
            is_mirror: false,
        }
    }
}

fn usual_transport(authority: &str) -> Transport {
    if is_loopback(host_of(authority)) { Transport::Plain } else { Transport::Tls }
}

/// The host of an authority, without port and brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_plain_and_all_else_is_not() {
        let registries = Registries::default();
        for (name, url) in [
            ("busybox", "https://registry-1.docker.io/v2/library/busybox/x"),
            ("localhost:5000/a", "http://localhost:5000/v2/a/x"),
            ("127.0.0.9/a", "http://127.0.0.9/v2/a/x"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/a/x"),
            ("10.0.0.1:5000/a", "https://10.0.0.1:5000/v2/a/x"),
        ] {
            let endpoints = registries.endpoints(&name.parse().unwrap());
            assert_eq!(endpoints.len(), 1);
            assert_eq!(endpoints[0].url("x"), url);
        }
    }

    #[test]
    fn mirrors_come_first_with_their_path() {
        let mirror = Mirror { location: "m.example/cache/".into(), transport: None, ca: None };
        let settings = RegistrySettings {
            name: "docker.io".into(),
            mirrors: vec![mirror],
            ..RegistrySettings::default()
        };
        let registries = Registries { registries: vec![settings] };
        let urls: Vec<String> = registries
            .endpoints(&"busybox".parse().unwrap())
            .iter()
            .map(|endpoint| endpoint.url("tags"))
            .collect();
        assert_eq!(
            urls,
            [
                "https://m.example/v2/cache/library/busybox/tags",
                "https://registry-1.docker.io/v2/library/busybox/tags"
            ]
        );
    }
}
