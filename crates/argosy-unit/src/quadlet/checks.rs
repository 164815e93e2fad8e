//! Values of Quadlet keys that can be told to be wrong before there is an engine to ask.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::exit_status::signal;
use crate::values::is_normal_path;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Any text.
    Any,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// What the function accepts; the text says what that is.
    Is(&'static str, fn(&str) -> bool),
}

pub(super) const ANY: Check = Check::Any;
pub(super) const AUTO_UPDATE: Check = Check::OneOf(&["registry", "local"]);
pub(super) const PULL: Check = Check::OneOf(&["always", "missing", "never", "newer"]);
pub(super) const ON_FAILURE: Check = Check::OneOf(&["none", "kill", "stop"]);
pub(super) const EXIT_POLICY: Check = Check::OneOf(&["stop", "continue"]);
pub(super) const VOLUME_DRIVER: Check = Check::OneOf(&["local", "image"]);
pub(super) const NETWORK_DRIVER: Check = Check::OneOf(&["bridge"]);
pub(super) const IPAM_DRIVER: Check = Check::OneOf(&["host-local"]);
pub(super) const PATH: Check = Check::Is("expected an absolute path", is_normal_path);
pub(super) const PATH_AND_OPTIONS: Check =
    Check::Is("expected an absolute path, with options after a `:`", path_and_options);
pub(super) const SIGNAL: Check =
    Check::Is("expected a signal such as SIGTERM or 15", |text| signal(text).is_some());
pub(super) const NUMBER: Check = Check::Is("expected a number", is_number);
pub(super) const OWNER: Check =
    Check::Is("expected a number", |text| text == "root" || is_number(text));
pub(super) const PIDS: Check =
    Check::Is("expected a number, -1 for no limit", |text| text == "-1" || is_number(text));
pub(super) const SPAN: Check = Check::Is("expected a time span such as 30s or 1m30s", is_span);
pub(super) const INTERVAL: Check =
    Check::Is("expected a time span such as 30s or 1m30s, or `disable`", |text| {
        text == "disable" || is_span(text)
    });
pub(super) const SIZE: Check =
    Check::Is("expected bytes, with b, k, m, g or t behind the number", is_size);
pub(super) const IPV4: Check =
    Check::Is("expected an IPv4 address", |text| text.parse::<Ipv4Addr>().is_ok());
pub(super) const IPV6: Check =
    Check::Is("expected an IPv6 address", |text| text.parse::<Ipv6Addr>().is_ok());
pub(super) const IP: Check = Check::Is("expected an IP address", is_ip);
pub(super) const DNS: Check =
    Check::Is("expected an IP address or `none`", |text| text == "none" || is_ip(text));
pub(super) const SUBNET: Check = Check::Is("expected a network such as 10.89.1.0/24", is_subnet);
pub(super) const IP_RANGE: Check =
    Check::Is("expected a network, or two addresses with a `-` between", is_ip_range);
pub(super) const HOST: Check = Check::Is("expected a host name", is_host);
pub(super) const HOST_ADDRESS: Check =
    Check::Is("expected NAME:ADDRESS, where ADDRESS may be `host-gateway`", is_host_address);
pub(super) const PUBLISH: Check =
    Check::Is("expected [[ADDRESS:]HOSTPORT:]PORT[/tcp|/udp|/sctp]", is_publish);
pub(super) const EXPOSE: Check =
    Check::Is("expected PORT or FIRST-LAST, with /tcp or /udp", is_expose);
pub(super) const CAPABILITY: Check =
    Check::Is("expected a capability such as CAP_NET_ADMIN, or `all`", is_capability);
pub(super) const SECCOMP: Check = Check::Is("expected an absolute path or `unconfined`", |text| {
    text == "unconfined" || is_normal_path(text)
});
pub(super) const PAIR: Check = Check::Is("expected NAME=VALUE", |text| {
    text.split_once('=').is_some_and(|(name, _)| !name.is_empty())
});
pub(super) const USERNS: Check =
    Check::Is("expected auto, host, keep-id, nomap, private, container:NAME or ns:PATH", is_userns);
pub(super) const ID_MAP: Check =
    Check::Is("expected CONTAINER:HOST[:COUNT], all numbers", is_id_map);
pub(super) const ULIMIT: Check = Check::Is("expected NAME=SOFT[:HARD] or `host`", is_ulimit);
pub(super) const INTERFACE: Check =
    Check::Is("expected the name of a network interface, at most 15 bytes", is_interface);
pub(super) const NAME: Check =
    Check::Is("expected letters, digits, `_`, `.` and `-`, the first a letter or digit", is_name);

/// Tells whether `text` may name a container, a pod, a volume or a network.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
}

fn path_and_options(text: &str) -> bool {
    text.split(':').next().is_some_and(is_normal_path)
}

/// Go's durations: numbers with units from hours to nanoseconds, or a number of seconds.
fn is_span(text: &str) -> bool {
    if is_number(text) {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let after = &rest[digits..];
        let unit =
            ["ns", "us", "µs", "ms", "h", "m", "s"].iter().find(|unit| after.starts_with(**unit));
        match (rest[..digits].parse::<f64>(), unit) {
            (Ok(_), Some(unit)) => rest = &after[unit.len()..],
            _ => return false,
        }
    }
    !text.is_empty()
}

fn is_size(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix(['i', 'b']).unwrap_or(&text);
    let text = text.strip_suffix('i').unwrap_or(text);
    is_decimal(text.strip_suffix(['b', 'k', 'm', 'g', 't', 'p']).unwrap_or(text))
}

fn is_decimal(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_subnet(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let bits = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    is_number(length) && length.parse().is_ok_and(|length: u32| length <= bits)
}

fn is_ip_range(text: &str) -> bool {
    is_subnet(text) || text.split_once('-').is_some_and(|(from, to)| is_ip(from) && is_ip(to))
}

fn is_host(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    text.len() <= 253 && text.chars().all(allowed) && !text.starts_with(['-', '.'])
}

fn is_host_address(text: &str) -> bool {
    let Some((names, address)) = text.split_once(':') else { return false };
    let address =
        address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    names.split(';').all(|name| !name.is_empty() && is_host(name))
        && (address == "host-gateway" || is_ip(address))
}

/// A port, or two with a `-` between; how many that are.
fn ports(text: &str) -> Option<u32> {
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| plain && *port > 0).map(u32::from)
    };
    match text.split_once('-') {
        Some((first, last)) => {
            (port(last)? + 1).checked_sub(port(first)?).filter(|count| *count > 0)
        }
        None => port(text).map(|_| 1),
    }
}

fn without_protocol<'t>(text: &'t str, protocols: &[&str]) -> Option<&'t str> {
    match text.split_once('/') {
        Some((port, protocol)) => protocols.contains(&protocol).then_some(port),
        None => Some(text),
    }
}

fn is_expose(text: &str) -> bool {
    without_protocol(text, &["tcp", "udp", "sctp"]).is_some_and(|text| ports(text).is_some())
}

fn is_publish(text: &str) -> bool {
    let Some(text) = without_protocol(text, &["tcp", "udp", "sctp"]) else { return false };
    let (address, rest) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once("]:") {
            Some((address, rest)) => (Some(address), rest),
            None => return false,
        },
        None if text.matches(':').count() == 2 => match text.split_once(':') {
            Some((address, rest)) => (Some(address), rest),
            None => return false,
        },
        None => (None, text),
    };
    let (host, container) = match rest.split_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, rest),
    };
    let Some(count) = ports(container) else { return false };
    let host_fits = match host {
        Some("") => address.is_some(),
        Some(host) => ports(host) == Some(count),
        None => address.is_none(),
    };
    host_fits && address.is_none_or(|address| address.is_empty() || is_ip(address))
}

/// The capabilities of capabilities(7), without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "audit_control",
    "audit_read",
    "audit_write",
    "block_suspend",
    "bpf",
    "checkpoint_restore",
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "ipc_lock",
    "ipc_owner",
    "kill",
    "lease",
    "linux_immutable",
    "mac_admin",
    "mac_override",
    "mknod",
    "net_admin",
    "net_bind_service",
    "net_broadcast",
    "net_raw",
    "perfmon",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_boot",
    "sys_chroot",
    "sys_module",
    "sys_nice",
    "sys_pacct",
    "sys_ptrace",
    "sys_rawio",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "syslog",
    "wake_alarm",
];

fn is_capability(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text == "all" || CAPABILITIES.contains(&text.strip_prefix("cap_").unwrap_or(&text))
}

fn is_userns(text: &str) -> bool {
    let (mode, rest) = text.split_once(':').map_or((text, None), |(mode, rest)| (mode, Some(rest)));
    match mode {
        "auto" | "keep-id" => rest != Some(""),
        "host" | "nomap" | "private" => rest.is_none(),
        "container" | "ns" => rest.is_some_and(|rest| !rest.is_empty()),
        _ => false,
    }
}

fn is_id_map(text: &str) -> bool {
    let text = text.trim_start_matches(['+', 'u', 'g']);
    let parts: Vec<&str> = text.split(':').collect();
    let numbers = parts.iter().all(|part| is_number(part.strip_prefix('@').unwrap_or(part)));
    (2..=3).contains(&parts.len()) && numbers
}

fn is_ulimit(text: &str) -> bool {
    if text == "host" {
        return true;
    }
    let Some((name, limits)) = text.split_once('=') else { return false };
    let is_limit = |text: &str| matches!(text, "-1" | "unlimited") || text.parse::<u64>().is_ok();
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && is_limit(soft)
        && is_limit(hard)
}

fn is_interface(text: &str) -> bool {
    text.len() <= 15 && is_name(text)
}

#[cfg(test)]
mod tests;
