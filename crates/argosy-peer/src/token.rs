//! The join token: one line of text that lets one machine in, once.
//!
//! `argosy1-` and base64url (RFC 4648 5, no padding) of a prost message followed by the first
//! four bytes of its SHA-256, so that a cut or mistyped line is told from a wrong one.

use std::fmt;
use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message as _;

use crate::KeyHash;

/// As many addresses as a store has voters at most.
pub const TOKEN_ADDRESSES_MAX: usize = 7;
/// Seven IPv6 addresses, id, secret and pin take under 600 characters.
const TOKEN_CHARACTERS_MAX: usize = 2048;
const PREFIX: &str = "argosy1-";
const CHECKSUM_BYTES: usize = 4;
const ID_BYTES: usize = 8;

/// A text is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Nothing but white space.
    #[error("the join token is empty")]
    Empty,
    /// Something else was pasted.
    #[error("a join token begins with {PREFIX:?}")]
    NotAToken,
    /// The format is a later one.
    #[error(
        "the join token is of format {format:?}, made by another version of argosy; this one knows argosy1"
    )]
    OtherFormat {
        /// What stands before the dash.
        format: String,
    },
    /// More than one line or word.
    #[error("the join token contains white space; it is one word on one line")]
    WhiteSpace,
    /// Longer than any token.
    #[error("the join token is longer than {TOKEN_CHARACTERS_MAX} characters")]
    TooLong,
    /// A character that cannot be in one.
    #[error("the join token contains {found:?} at character {at}, which no token does")]
    Character {
        /// The character.
        found: char,
        /// Its place, counted from 1.
        at: usize,
    },
    /// The checksum does not fit.
    #[error("the join token is incomplete or mistyped (its checksum does not fit)")]
    Damaged,
    /// Intact, but a field is missing or impossible.
    #[error("the join token is intact but its {field} cannot be used")]
    Field {
        /// Which one.
        field: &'static str,
    },
    /// No address, or too many.
    #[error("a join token carries 1 to {TOKEN_ADDRESSES_MAX} addresses, not {count}")]
    Addresses {
        /// How many were given.
        count: usize,
    },
}

/// What the machine that joins may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinRole {
    /// May be made a member of the store when the cluster wants one; forwards otherwise.
    Member,
    /// Runs units and forwards; never a member of the store.
    Worker,
}

impl fmt::Display for JoinRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            JoinRole::Member => "member",
            JoinRole::Worker => "worker",
        })
    }
}

/// The secret half of a token, 128 random bits. Never printed by `Debug`.
#[derive(Clone)]
pub struct TokenSecret([u8; 16]);

impl TokenSecret {
    /// Draws one from the system's random source.
    fn generate() -> Self {
        TokenSecret(random())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(TokenSecret(bytes.try_into().ok()?))
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns its SHA-256, which is what the cluster stores. No salt or stretching: it is
    /// random, not a password.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        hash
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// A join token as the joining machine holds it.
#[derive(Debug, Clone)]
pub struct JoinToken {
    /// Names its record in the cluster; no secret. Sixteen hexadecimal digits.
    pub id: String,
    /// Proves the right to join.
    pub secret: TokenSecret,
    /// The key of the cluster's authority; a server that cannot show it gets nothing.
    pub authority: KeyHash,
    /// What the machine may become. For display: the record in the cluster decides.
    pub role: JoinRole,
    /// Where voters are reached on the machine port, tried in order.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TokenMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    authority: Vec<u8>,
    /// 1 member, 2 worker.
    #[prost(uint32, tag = "4")]
    role: u32,
    #[prost(string, repeated, tag = "5")]
    addresses: Vec<String>,
}

impl JoinToken {
    /// Draws a new token. The cluster stores its id and [`TokenSecret::hash`].
    pub fn create(
        authority: KeyHash,
        role: JoinRole,
        addresses: Vec<SocketAddr>,
    ) -> Result<JoinToken, InvalidToken> {
        check_addresses(&addresses)?;
        let id = hex(&random::<ID_BYTES>());
        Ok(JoinToken { id, secret: TokenSecret::generate(), authority, role, addresses })
    }

    /// Returns the text to hand over. It is a secret; not `Display`, so that no log line gets it
    /// by accident.
    pub fn text(&self) -> String {
        let message = TokenMessage {
            id: unhex(&self.id).unwrap_or_default(),
            secret: self.secret.0.to_vec(),
            authority: self.authority.0.to_vec(),
            role: match self.role {
                JoinRole::Member => 1,
                JoinRole::Worker => 2,
            },
            addresses: self.addresses.iter().map(SocketAddr::to_string).collect(),
        };
        let mut bytes = message.encode_to_vec();
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token; white space around it is ignored.
    pub fn parse(text: &str) -> Result<JoinToken, InvalidToken> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if text.len() > TOKEN_CHARACTERS_MAX {
            return Err(InvalidToken::TooLong);
        }
        if text.contains(char::is_whitespace) {
            return Err(InvalidToken::WhiteSpace);
        }
        let message = decode(encoded_part(text)?)?;
        let field = |field| InvalidToken::Field { field };
        let id: [u8; ID_BYTES] = message.id.try_into().map_err(|_| field("id"))?;
        let addresses = message.addresses.iter().map(|address| address.parse().ok());
        let addresses: Option<Vec<SocketAddr>> = addresses.collect();
        let addresses = addresses.ok_or(field("address"))?;
        check_addresses(&addresses)?;
        Ok(JoinToken {
            id: hex(&id),
            secret: TokenSecret::from_bytes(&message.secret).ok_or(field("secret"))?,
            authority: KeyHash(message.authority.try_into().map_err(|_| field("pin"))?),
            role: match message.role {
                1 => JoinRole::Member,
                2 => JoinRole::Worker,
                _ => return Err(field("role")),
            },
            addresses,
        })
    }
}

/// Takes the prefix off and says what is wrong with it otherwise.
fn encoded_part(text: &str) -> Result<&str, InvalidToken> {
    let Some((format, rest)) = text.split_once('-') else {
        return Err(InvalidToken::NotAToken);
    };
    let encoded = match text.strip_prefix(PREFIX) {
        Some(encoded) => encoded,
        None => {
            let number = format.strip_prefix("argosy").unwrap_or_default();
            let other = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            return Err(match other && !rest.is_empty() {
                true => InvalidToken::OtherFormat { format: format.to_owned() },
                false => InvalidToken::NotAToken,
            });
        }
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match encoded.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        Some((at, found)) => Err(InvalidToken::Character { found, at: PREFIX.len() + at + 1 }),
        None => Ok(encoded),
    }
}

fn decode(encoded: &str) -> Result<TokenMessage, InvalidToken> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidToken::Damaged)?;
    let Some((message, sum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(InvalidToken::Damaged);
    };
    if checksum(message) != *sum {
        return Err(InvalidToken::Damaged);
    }
    TokenMessage::decode(message).map_err(|_| InvalidToken::Field { field: "content" })
}

fn check_addresses(addresses: &[SocketAddr]) -> Result<(), InvalidToken> {
    match addresses.len() {
        1..=TOKEN_ADDRESSES_MAX => Ok(()),
        count => Err(InvalidToken::Addresses { count }),
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = KeyHash::of(bytes);
    std::array::from_fn(|at| hash.0[at])
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the kernel's random source does not fail once seeded");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
