//! Digests: the names of contents, and the hashing that proves them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The algorithms that the OCI specification registers and registries use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// How many digits of an id lists show, as docker's do.
pub(crate) const SHORT_DIGITS: usize = 12;

/// The digest of some content, as `sha256:0123...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// The SHA-256 of bytes in memory.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon: lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve digits, as people see them.
    pub fn short(&self) -> &str {
        &self.hex[..SHORT_DIGITS]
    }

    /// Whether some bytes are what this names.
    pub fn names(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    #[error("a digest is written ALGORITHM:HEX, and {0:?} has no colon")]
    NoColon(String),
    #[error("digest algorithm {0:?} is not known; sha256 and sha512 are")]
    Algorithm(String),
    #[error("a {algorithm} digest has {expected} hexadecimal digits, not {found}")]
    Length { algorithm: &'static str, expected: usize, found: usize },
    #[error("digest {0:?} has something else than lower-case hexadecimal digits")]
    NotHex(String),
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) =
            text.split_once(':').ok_or_else(|| DigestError::NoColon(text.to_owned()))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| DigestError::Algorithm(name.to_owned()))?;
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::NotHex(text.to_owned()));
        }
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length {
                algorithm: algorithm.name(),
                expected: algorithm.hex_len(),
                found: hex.len(),
            });
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A digest in the making.
pub(crate) struct Hasher {
    algorithm: Algorithm,
    context: Context,
    bytes: u64,
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let context = Context::new(match algorithm {
            Algorithm::Sha256 => &SHA256,
            Algorithm::Sha512 => &SHA512,
        });
        Self { algorithm, context, bytes: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes were hashed.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(self) -> Digest {
        let mut hex = String::with_capacity(self.algorithm.hex_len());
        for byte in self.context.finish().as_ref() {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Digest { algorithm: self.algorithm, hex: hex.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").to_string(), empty);
        assert!(empty.parse::<Digest>().unwrap().names(b""));
        assert!(!empty.parse::<Digest>().unwrap().names(b"a"));
    }

    #[test]
    fn a_wrong_digest_says_what_is_wrong() {
        let error = |text: &str| text.parse::<Digest>().unwrap_err().to_string();
        assert!(error("abc").contains("no colon"));
        assert!(error("md5:abc").contains("\"md5\" is not known"));
        assert!(error("sha256:ABC").contains("lower-case"));
        assert!(error("sha256:abc").contains("64 hexadecimal digits, not 3"));
        assert!(error("sha256:../../etc").contains("lower-case"));
    }
}
