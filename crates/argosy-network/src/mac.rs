//! Hardware addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// The lowest bit of the first byte marks a group of machines.
const GROUP_BIT: u8 = 1;

/// The hardware address of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The hardware address that belongs to an address. An address that is given anew keeps it, so
    /// that nobody's memory of who has which address is ever wrong.
    pub(crate) fn of(address: Ipv4Addr) -> Mac {
        let [a, b, c, d] = address.octets();
        // The bit 2 of the first byte: chosen by an operator and not by a maker.
        Mac([0x02, 0x61, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Mac, NetworkError> {
        let bad = || NetworkError::BadMac { text: text.to_owned() };
        let bytes: Option<Vec<u8>> = text
            .split([':', '-'])
            .map(|part| {
                // Not by the number's own reading alone, which takes a sign.
                let digits = part.len() == 2 && part.bytes().all(|it| it.is_ascii_hexdigit());
                digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
            })
            .collect();
        let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()).ok_or_else(bad)?;
        if bytes[0] & GROUP_BIT != 0 || bytes == [0; 6] { Err(bad()) } else { Ok(Mac(bytes)) }
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Mac, NetworkError> {
        text.parse()
    }
}
