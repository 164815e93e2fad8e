//! What a network is, as it is asked for and as it is kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::{Mac, NetworkError};

/// The network of a container that asks for none.
pub const DEFAULT_NETWORK: &str = "bridge";
/// The format of the files.
pub(crate) const FORMAT: u32 = 1;
/// `IFNAMSIZ` without its zero byte.
const INTERFACE_BYTES_MAX: usize = 15;
/// Docker's limit is its file system's; names appear in DNS, where a label has 63.
const NAME_BYTES_MAX: usize = 64;
const ID_BYTES_MAX: usize = 128;
/// RFC 791: every machine must forward this much. Ethernet's length field ends the other side.
const MTU_MIN: u32 = 68;
const MTU_MAX: u32 = 65535;

/// How packets get from one container to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the kernel on each machine.
    #[default]
    Bridge,
}

/// The addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub net: IpNet,
    /// The machine's own address in it; the first one if none is told.
    pub gateway: Option<IpAddr>,
    /// The part that containers get addresses from without asking for one.
    pub range: Option<IpNet>,
}

/// A network to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkSpec {
    pub name: String,
    pub driver: Driver,
    /// The bridge's name among the interfaces.
    pub interface: Option<String>,
    pub subnets: Vec<Subnet>,
    /// Nothing goes in or out.
    pub internal: bool,
    pub ipv6: bool,
    /// Whether containers find each other by name.
    pub dns: bool,
    /// Asked for what is no container's name, instead of the machine's own servers.
    pub dns_servers: Vec<IpAddr>,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

/// A network, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub format: u32,
    /// 64 hexadecimal digits, as docker's.
    pub id: String,
    pub name: String,
    pub driver: Driver,
    /// The bridge.
    pub interface: String,
    pub net: Ipv4Net,
    pub gateway: Ipv4Addr,
    pub range: Option<Ipv4Net>,
    pub internal: bool,
    pub dns: bool,
    pub dns_servers: Vec<IpAddr>,
    /// The longest packet, if it is not the kernel's default.
    pub mtu: Option<u32>,
    /// Whether it exchanges nothing with other networks of this machine.
    pub isolate: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970; for display.
    pub created_s: u64,
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub bridge: String,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Ipv4Addr,
    pub mac: Mac,
    /// The name of the interface inside the container.
    pub interface: String,
    /// Names of the container in this network, beside its own.
    pub aliases: Vec<String>,
    pub internal: bool,
    pub isolate: bool,
    pub dns: bool,
    pub dns_servers: Vec<IpAddr>,
    pub mtu: Option<u32>,
}

impl Endpoint {
    /// All addresses of the network.
    pub(crate) fn net(&self) -> Ipv4Net {
        Ipv4Net::new_assert(self.address, self.prefix).trunc()
    }
}

/// What the options of a network say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) interface: Option<String>,
    pub(crate) mtu: Option<u32>,
    pub(crate) isolate: bool,
}

/// Reads options, by our names and by docker's; an unknown one is refused by its name.
pub(crate) fn options(options: &BTreeMap<String, String>) -> Result<Options, NetworkError> {
    let mut read = Options { interface: None, mtu: None, isolate: true };
    for (key, value) in options {
        let bad =
            |wanted| NetworkError::BadOption { key: key.clone(), value: value.clone(), wanted };
        match key.as_str() {
            "mtu" | "com.docker.network.driver.mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (MTU_MIN..=MTU_MAX).contains(mtu));
                read.mtu = Some(mtu.ok_or_else(|| bad("68 to 65535"))?);
            }
            "isolate" => {
                read.isolate = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(bad("true or false")),
                }
            }
            "com.docker.network.bridge.name" => read.interface = Some(value.clone()),
            _ => return Err(NetworkError::UnknownOption { key: key.clone() }),
        }
    }
    Ok(read)
}

/// Names that mean something else where networks are named.
const RESERVED: [&str; 4] = ["host", "none", "default", "container"];

pub(crate) fn check_name(name: &str) -> Result<(), NetworkError> {
    if is_plain(name, NAME_BYTES_MAX) && !RESERVED.contains(&name) {
        Ok(())
    } else {
        Err(NetworkError::BadName { name: name.to_owned() })
    }
}

/// An id becomes a file's name.
pub(crate) fn check_id(name: &str) -> Result<(), NetworkError> {
    if is_plain(name, ID_BYTES_MAX) {
        Ok(())
    } else {
        Err(NetworkError::BadId { name: name.to_owned() })
    }
}

pub(crate) fn check_interface(name: &str) -> Result<(), NetworkError> {
    if is_plain(name, INTERFACE_BYTES_MAX) {
        Ok(())
    } else {
        Err(NetworkError::BadInterface { name: name.to_owned() })
    }
}

fn is_plain(name: &str, bytes_max: usize) -> bool {
    name.len() <= bytes_max
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || "_.-".contains(it))
}

#[cfg(test)]
mod tests;
