//! One rule: what a packet must be like, and what then happens to it.
//!
//! A rule is a list of expressions of the kernel's virtual machine. Each condition here loads
//! something of the packet into a register and compares it; the first that does not hold ends the
//! rule.

use std::net::IpAddr;

use crate::message::{Message, NESTED};

/// `NFT_REG_VERDICT`, `NFT_REG_1` and `NFT_REG_2`.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// Comparisons: `NFT_CMP_EQ`, `NEQ`, `LTE`, `GTE`.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
/// Keys of `meta`.
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_PROTOCOL: u32 = 16;
const META_IN_GROUP: u32 = 21;
const META_OUT_GROUP: u32 = 22;
/// Keys of `ct`, and the bit of a new connection (`NF_CT_STATE_BIT(IP_CT_NEW)`) and of one whose
/// destination is translated (`IPS_DST_NAT`).
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const STATE_NEW: u32 = 1 << 3;
const STATUS_DST_NAT: u32 = 1 << 5;
/// Verdicts: `NF_DROP`, `NFT_RETURN`.
const DROP: i32 = 0;
const RETURN: i32 = -5;
/// The length of a name of an interface, `IFNAMSIZ`.
const NAME_BYTES: usize = 16;

/// A rule being written: conditions first, the action last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    expressions: Message,
}

impl Rule {
    pub fn new() -> Rule {
        Rule::default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.expressions.as_bytes()
    }

    pub fn from_address(self, address: IpAddr) -> Rule {
        self.address(address, true, EQUAL)
    }

    pub fn to_address(self, address: IpAddr) -> Rule {
        self.address(address, false, EQUAL)
    }

    /// From any address that begins like this one.
    pub fn from_network(self, address: IpAddr, prefix: u8) -> Rule {
        self.network(address, prefix, true, EQUAL)
    }

    /// Not to an address that begins like this one.
    pub fn not_to_network(self, address: IpAddr, prefix: u8) -> Rule {
        self.network(address, prefix, false, NOT_EQUAL)
    }

    /// To an address that is this machine's own.
    pub fn to_own_address(self) -> Rule {
        // NFT_FIB_RESULT_ADDRTYPE of the destination (NFTA_FIB_F_DADDR).
        let fib = self.expression("fib", |data| {
            number(data, 1, FIRST);
            number(data, 2, 3);
            number(data, 3, 2);
        });
        fib.compare(EQUAL, &u32::from(libc::RTN_LOCAL).to_ne_bytes())
    }

    /// Of a protocol above IP, by its number (`IPPROTO_TCP`...).
    pub fn protocol(self, protocol: u8) -> Rule {
        self.load("meta", META_PROTOCOL).compare(EQUAL, &[protocol])
    }

    /// To one of a range of ports.
    pub fn to_ports(self, first: u16, last: u16) -> Rule {
        let port = self.payload(TRANSPORT, 2, 2);
        if first == last {
            return port.compare(EQUAL, &first.to_be_bytes());
        }
        port.compare(AT_LEAST, &first.to_be_bytes()).compare(AT_MOST, &last.to_be_bytes())
    }

    pub fn in_by(self, interface: &str) -> Rule {
        self.load("meta", META_IN_NAME).compare(EQUAL, &name(interface))
    }

    pub fn not_in_by(self, interface: &str) -> Rule {
        self.load("meta", META_IN_NAME).compare(NOT_EQUAL, &name(interface))
    }

    pub fn out_by(self, interface: &str) -> Rule {
        self.load("meta", META_OUT_NAME).compare(EQUAL, &name(interface))
    }

    pub fn not_out_by(self, interface: &str) -> Rule {
        self.load("meta", META_OUT_NAME).compare(NOT_EQUAL, &name(interface))
    }

    pub fn in_by_group(self, group: u32) -> Rule {
        self.load("meta", META_IN_GROUP).compare(EQUAL, &group.to_ne_bytes())
    }

    pub fn out_by_group(self, group: u32) -> Rule {
        self.load("meta", META_OUT_GROUP).compare(EQUAL, &group.to_ne_bytes())
    }

    /// Of a connection whose destination was, or was not, translated.
    pub fn translated(self, is: bool) -> Rule {
        let comparison = if is { NOT_EQUAL } else { EQUAL };
        let masked = self.load("ct", CT_STATUS).mask(&STATUS_DST_NAT.to_ne_bytes());
        masked.compare(comparison, &[0; 4])
    }

    /// The first of a connection.
    pub fn new_connection(self) -> Rule {
        let masked = self.load("ct", CT_STATE).mask(&STATE_NEW.to_ne_bytes());
        masked.compare(NOT_EQUAL, &[0; 4])
    }

    /// For which a socket of this namespace waits.
    pub fn with_socket(self) -> Rule {
        // Loading anything of the socket ends the rule if there is none (NFT_SOCKET_TRANSPARENT).
        self.expression("socket", |data| {
            number(data, 1, 0);
            number(data, 2, FIRST);
        })
    }

    /// It goes no further.
    pub fn drop(self) -> Rule {
        self.verdict(DROP)
    }

    /// The rest of the chain does not see it.
    pub fn leave_chain(self) -> Rule {
        self.verdict(RETURN)
    }

    /// Its connection goes to this address instead, and to this port if one is told.
    pub fn to_instead(self, address: IpAddr, port: Option<u16>) -> Rule {
        let family = family(address);
        let rule = self.immediate(FIRST, &octets(address));
        let rule = match port {
            Some(port) => rule.immediate(SECOND, &port.to_be_bytes()),
            None => rule,
        };
        rule.expression("nat", |data| {
            // NFT_NAT_DNAT, family, address, port.
            number(data, 1, 1);
            number(data, 2, family);
            number(data, 3, FIRST);
            if port.is_some() {
                number(data, 5, SECOND);
            }
        })
    }

    /// Its connection seems to come from this machine's own address on the way out.
    pub fn masquerade(self) -> Rule {
        self.expression("masq", |_| ())
    }

    /// A transparent socket of this namespace gets it as it is (TPROXY).
    pub fn to_socket_at(self, address: IpAddr, port: u16) -> Rule {
        let family = family(address);
        let rule = self.immediate(FIRST, &octets(address));
        rule.immediate(SECOND, &port.to_be_bytes()).expression("tproxy", |data| {
            number(data, 1, family);
            number(data, 2, FIRST);
            number(data, 3, SECOND);
        })
    }

    fn address(self, address: IpAddr, source: bool, comparison: u32) -> Rule {
        let octets = octets(address);
        self.load_address(address, source).compare(comparison, &octets)
    }

    fn network(self, address: IpAddr, prefix: u8, source: bool, comparison: u32) -> Rule {
        let mut octets = octets(address);
        let mut mask = vec![0; octets.len()];
        for bit in 0..usize::from(prefix).min(octets.len() * 8) {
            mask[bit / 8] |= 0x80 >> (bit % 8);
        }
        octets.iter_mut().zip(&mask).for_each(|(octet, mask)| *octet &= mask);
        self.load_address(address, source).mask(&mask).compare(comparison, &octets)
    }

    fn load_address(self, address: IpAddr, source: bool) -> Rule {
        // Where the addresses are in the headers of RFC 791 and RFC 8200.
        let (offset, length) = match (address, source) {
            (IpAddr::V4(_), true) => (12, 4),
            (IpAddr::V4(_), false) => (16, 4),
            (IpAddr::V6(_), true) => (8, 16),
            (IpAddr::V6(_), false) => (24, 16),
        };
        self.payload(NETWORK, offset, length)
    }

    fn payload(self, base: u32, offset: u32, length: u32) -> Rule {
        self.expression("payload", |data| {
            number(data, 1, FIRST);
            number(data, 2, base);
            number(data, 3, offset);
            number(data, 4, length);
        })
    }

    /// `meta` and `ct` have the same attributes.
    fn load(self, expression: &str, key: u32) -> Rule {
        self.expression(expression, |data| {
            number(data, 1, FIRST);
            number(data, 2, key);
        })
    }

    fn mask(self, mask: &[u8]) -> Rule {
        self.expression("bitwise", |data| {
            number(data, 1, FIRST);
            number(data, 2, FIRST);
            number(data, 3, mask.len() as u32);
            value(data, 4, mask);
            value(data, 5, &vec![0; mask.len()]);
        })
    }

    fn compare(self, comparison: u32, with: &[u8]) -> Rule {
        self.expression("cmp", |data| {
            number(data, 1, FIRST);
            number(data, 2, comparison);
            value(data, 3, with);
        })
    }

    fn immediate(self, register: u32, bytes: &[u8]) -> Rule {
        self.expression("immediate", |data| {
            number(data, 1, register);
            value(data, 2, bytes);
        })
    }

    fn verdict(self, code: i32) -> Rule {
        self.expression("immediate", |data| {
            number(data, 1, VERDICT);
            data.nest(2 | NESTED, |value| {
                // NFTA_DATA_VERDICT and NFTA_VERDICT_CODE.
                value.nest(2 | NESTED, |verdict| verdict.attribute(1, &code.to_be_bytes()));
            });
        })
    }

    fn expression(mut self, name: &str, write: impl FnOnce(&mut Message)) -> Rule {
        // NFTA_LIST_ELEM, then NFTA_EXPR_NAME and NFTA_EXPR_DATA.
        self.expressions.nest(1 | NESTED, |element| {
            element.text(1, name);
            element.nest(2 | NESTED, write);
        });
        self
    }
}

fn number(message: &mut Message, kind: u16, value: u32) {
    message.attribute(kind, &value.to_be_bytes());
}

/// `NFTA_DATA_VALUE` in an attribute.
fn value(message: &mut Message, kind: u16, bytes: &[u8]) {
    message.nest(kind | NESTED, |data| data.attribute(1, bytes));
}

fn name(interface: &str) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name.iter_mut().zip(interface.as_bytes()).for_each(|(to, from)| *to = *from);
    name
}

fn family(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
