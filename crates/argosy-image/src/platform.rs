//! Platforms: for which machine an image is made, and which of several fits this one.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

/// An operating system and a processor, in the words of Go, which image indexes use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a platform is written OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64/v8, not {0:?}"
)]
pub struct PlatformError(String);

impl Platform {
    /// The platform that this program was built for.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        let variant = match architecture {
            "arm64" => Some("v8"),
            "arm" => Some("v7"),
            _ => None,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// How well an image for `self` runs where `wanted` is: the higher the better, nothing if not.
    pub(crate) fn suits(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let has = self.version();
        let can = wanted.version();
        // A machine runs what was made for older variants of it, and an image that names none.
        (has <= can).then_some(has)
    }

    /// The number in the variant; the usual one of the architecture if none is given.
    fn version(&self) -> u32 {
        let given = self.variant.as_deref().and_then(|text| {
            text.strip_prefix('v').and_then(|text| text.split('.').next()?.parse().ok())
        });
        given.unwrap_or(match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 5,
            _ => 1,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(PlatformError(text.to_owned()));
        }
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            ("arm", None) => ("arm", Some("v7")),
            other => other,
        };
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

/// The place of the best of `offered` for `wanted`; the first of equals.
pub(crate) fn choose<'a>(
    wanted: &Platform,
    offered: impl Iterator<Item = Option<&'a Platform>>,
) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for (place, platform) in offered.enumerate() {
        let Some(score) = platform.and_then(|platform| platform.suits(wanted)) else { continue };
        if best.is_none_or(|(_, known)| score > known) {
            best = Some((place, score));
        }
    }
    best.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wanted: &str, offered: &[&str]) -> Option<usize> {
        let offered: Vec<Platform> = offered
            .iter()
            .map(|text| {
                let mut parts = text.split('/').map(str::to_owned);
                Platform {
                    os: parts.next().unwrap(),
                    architecture: parts.next().unwrap(),
                    variant: parts.next(),
                }
            })
            .collect();
        choose(&wanted.parse().unwrap(), offered.iter().map(Some))
    }

    #[test]
    fn the_newest_variant_that_the_machine_runs_is_chosen() {
        let arm = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"];
        assert_eq!(chosen("linux/arm/v7", &arm), Some(2));
        assert_eq!(chosen("linux/arm/v6", &arm), Some(1));
        assert_eq!(chosen("linux/arm64", &arm), Some(3));
        assert_eq!(chosen("linux/amd64", &["linux/amd64/v3", "linux/amd64"]), Some(1));
        assert_eq!(chosen("linux/amd64/v3", &["linux/amd64", "linux/amd64/v3"]), Some(1));
        assert_eq!(chosen("linux/arm64", &["linux/arm64"]), Some(0));
    }

    #[test]
    fn what_does_not_run_here_is_not_chosen() {
        assert_eq!(chosen("linux/amd64", &["linux/arm64", "windows/amd64"]), None);
        assert_eq!(chosen("linux/amd64", &["unknown/unknown", "linux/amd64"]), Some(1));
        assert_eq!(chosen("linux/arm/v6", &["linux/arm/v7"]), None);
    }

    #[test]
    fn a_platform_reads_back_and_a_wrong_one_is_refused() {
        for text in ["linux/amd64", "linux/arm64/v8"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        assert_eq!("linux/aarch64".parse::<Platform>().unwrap().architecture, "arm64");
        for text in ["linux", "linux/", "a/b/c/d", ""] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
