//! The two files by which a container's programs find names.

use std::fmt::Write;
use std::net::IpAddr;

use crate::Endpoint;

/// Where a companion answers inside its container; docker's address.
pub const RESOLVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);
/// Names of the machine itself, by podman's habit and by docker's.
pub(crate) const MACHINE_NAMES: [&str; 2] = ["host.containers.internal", "host.docker.internal"];

/// What the caller of a container wants of its `/etc/resolv.conf`.
#[derive(Debug, Clone, Default)]
pub struct ResolverOptions {
    /// Used only where no network of the container finds names: else the companion asks them.
    pub servers: Vec<IpAddr>,
    /// The machine's own if there are none.
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// Returns the text of a container's `/etc/resolv.conf`. `of_machine` is the machine's.
pub fn resolv_conf(endpoints: &[Endpoint], wanted: &ResolverOptions, of_machine: &str) -> String {
    let lines =
        || of_machine.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let mut text = String::new();
    let search = match wanted.search.as_slice() {
        [] => lines().rfind(|(key, _)| *key == "search").map(|(_, rest)| rest.to_owned()),
        // Docker's way to say: none at all.
        [only] if only == "." => None,
        some => Some(some.join(" ")),
    };
    if let Some(search) = search {
        text += &format!("search {}\n", search.trim());
    }
    let by_name = endpoints.iter().any(|it| it.dns);
    if by_name {
        text += &format!("nameserver {RESOLVER}\n");
    } else if wanted.servers.is_empty() {
        // A server on the machine's own loopback cannot be reached from inside.
        for server in servers(of_machine).into_iter().filter(|it| !it.is_loopback()) {
            text += &format!("nameserver {server}\n");
        }
    } else {
        for server in &wanted.servers {
            text += &format!("nameserver {server}\n");
        }
    }
    let mut options = wanted.options.clone();
    if by_name && !options.iter().any(|it| it.starts_with("ndots:")) {
        // Containers' names have no dot: they are asked for as they are before any search domain.
        options.push("ndots:0".to_owned());
    }
    if !options.is_empty() {
        text += &format!("options {}\n", options.join(" "));
    }
    text
}

/// Returns the text of a container's `/etc/hosts`: itself, the machine, and what the caller adds.
pub fn hosts(endpoints: &[Endpoint], names: &[&str], added: &[(String, IpAddr)]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if !names.is_empty() {
        for endpoint in endpoints {
            text += &format!("{}\t{}\n", endpoint.address, names.join(" "));
        }
    }
    if let Some(outside) = outside(endpoints) {
        let named = |name: &&&str| added.iter().all(|(other, _)| other != **name);
        let names: Vec<&str> = MACHINE_NAMES.iter().filter(named).copied().collect();
        if !names.is_empty() {
            text += &format!("{}\t{}\n", outside.gateway, names.join(" "));
        }
    }
    for (name, address) in added {
        // Writing to a text cannot fail.
        let _written = writeln!(text, "{address}\t{name}");
    }
    text
}

/// The endpoint by which a container reaches the rest of the world.
pub(crate) fn outside(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    endpoints.iter().find(|it| !it.internal)
}

/// The servers of a `resolv.conf`.
pub(crate) fn servers(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver") {
            found.extend(words.next().and_then(|it| it.parse::<IpAddr>().ok()));
        }
    }
    found
}

#[cfg(test)]
mod tests;
