//! Published ports, as they are written: `[ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::PublishError;

/// A protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    pub fn one(port: u16) -> Ports {
        Ports { first: port, last: port }
    }

    pub(crate) fn count(self) -> usize {
        usize::from(self.last.saturating_sub(self.first)) + 1
    }
}

/// Ports of a container that are to be reached through the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The address of the machine; all of them if none is told.
    pub address: Option<IpAddr>,
    /// The machine's ports: as many as the container's, or a range from which one port takes the
    /// first free one. `None` is any free port for each.
    pub host: Option<Ports>,
    pub container: Ports,
    pub protocol: Protocol,
}

impl FromStr for Publish {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Publish, PublishError> {
        let syntax = || PublishError::Syntax { text: text.to_owned() };
        let (rest, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((rest, name)) if name.eq_ignore_ascii_case("tcp") => (rest, Protocol::Tcp),
            Some((rest, name)) if name.eq_ignore_ascii_case("udp") => (rest, Protocol::Udp),
            Some((_, name)) if name.eq_ignore_ascii_case("sctp") => {
                return Err(PublishError::Sctp { text: text.to_owned() });
            }
            Some(_) => return Err(syntax()),
        };
        let (rest, container) = rest.rsplit_once(':').unwrap_or(("", rest));
        let container = ports(container).filter(|it| it.first != 0).ok_or_else(syntax)?;
        let (address, host) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (address, host) = bracketed.split_once(']').ok_or_else(syntax)?;
                let address: std::net::Ipv6Addr = address.parse().map_err(|_| syntax())?;
                (Some(IpAddr::V6(address)), host.strip_prefix(':').ok_or_else(syntax)?)
            }
            None => match rest.split_once(':') {
                None => (None, rest),
                Some(("", host)) => (None, host),
                Some((address, host)) => {
                    let address: std::net::Ipv4Addr = address.parse().map_err(|_| syntax())?;
                    (Some(IpAddr::V4(address)), host)
                }
            },
        };
        let host = match host {
            "" | "0" => None,
            range => Some(ports(range).filter(|it| it.first != 0).ok_or_else(syntax)?),
        };
        if host.is_some_and(|host| host.count() != container.count() && container.count() != 1) {
            return Err(PublishError::Lengths { text: text.to_owned() });
        }
        Ok(Publish { address, host, container, protocol })
    }
}

fn ports(text: &str) -> Option<Ports> {
    // Not by the number's own reading alone, which takes a sign.
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(Ports { first, last })
}

#[cfg(test)]
mod tests;
