//! Unit names, as systemd.unit(5) and fleet define them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest unit name in bytes (systemd's `UNIT_NAME_MAX`).
pub const UNIT_NAME_MAX: usize = 255;

/// What a unit describes: the suffix of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// `.service`
    Service,
    /// `.socket`
    Socket,
    /// `.timer`
    Timer,
    /// `.path`
    Path,
    /// `.target`
    Target,
    /// `.slice`
    Slice,
    /// `.mount`
    Mount,
    /// `.watch`
    Watch,
    /// `.container` (Quadlet)
    Container,
    /// `.volume` (Quadlet)
    Volume,
    /// `.network` (Quadlet)
    Network,
    /// `.image` (Quadlet)
    Image,
    /// `.pod` (Quadlet)
    Pod,
    /// `.build` (Quadlet)
    Build,
    /// `.kube` (Quadlet)
    Kube,
    /// `.artifact` (Quadlet)
    Artifact,
}

impl UnitKind {
    const ALL: [(UnitKind, &'static str); 16] = [
        (UnitKind::Service, "service"),
        (UnitKind::Socket, "socket"),
        (UnitKind::Timer, "timer"),
        (UnitKind::Path, "path"),
        (UnitKind::Target, "target"),
        (UnitKind::Slice, "slice"),
        (UnitKind::Mount, "mount"),
        (UnitKind::Watch, "watch"),
        (UnitKind::Container, "container"),
        (UnitKind::Volume, "volume"),
        (UnitKind::Network, "network"),
        (UnitKind::Image, "image"),
        (UnitKind::Pod, "pod"),
        (UnitKind::Build, "build"),
        (UnitKind::Kube, "kube"),
        (UnitKind::Artifact, "artifact"),
    ];

    /// Tells whether this is a kind of Quadlet file, which becomes a service.
    pub fn is_quadlet(self) -> bool {
        matches!(
            self,
            UnitKind::Container
                | UnitKind::Volume
                | UnitKind::Network
                | UnitKind::Image
                | UnitKind::Pod
                | UnitKind::Build
                | UnitKind::Kube
                | UnitKind::Artifact
        )
    }

    /// Returns the suffix without its dot.
    pub fn suffix(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("service", |(_, text)| text)
    }

    /// Returns the kind that a suffix names.
    pub fn from_suffix(text: &str) -> Option<UnitKind> {
        Self::ALL.iter().find(|(_, suffix)| *suffix == text).map(|(kind, _)| *kind)
    }
}

/// A text is not a unit name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnitName {
    /// Longer than [`UNIT_NAME_MAX`] bytes.
    #[error("the unit name is {length} bytes long, at most {UNIT_NAME_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that systemd does not allow in names.
    #[error(
        "the unit name {name:?} contains {character:?}; allowed are letters, digits and :-_.\\@"
    )]
    Character {
        /// The name as given.
        name: String,
        /// The first offending character.
        character: char,
    },
    /// No suffix that names a unit kind.
    #[error("the unit name {name:?} does not end in a unit type such as .service or .timer")]
    Suffix {
        /// The name as given.
        name: String,
    },
    /// Nothing before the suffix, or a name that begins with `@`.
    #[error("the unit name {name:?} has nothing before its {what}")]
    Empty {
        /// The name as given.
        name: String,
        /// `"suffix"` or `"@"`.
        what: &'static str,
    },
}

/// A valid unit name: `prefix[@[instance]].suffix`. Everything is kept by it, so it is shared, not
/// copied.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName {
    text: Arc<str>,
    kind: UnitKind,
}

impl UnitName {
    /// Checks and takes a name.
    pub fn new(text: impl Into<String>) -> Result<UnitName, InvalidUnitName> {
        let text = text.into();
        if text.len() > UNIT_NAME_MAX {
            return Err(InvalidUnitName::TooLong { length: text.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(InvalidUnitName::Character { name: text, character });
        }
        let Some((stem, suffix)) = text.rsplit_once('.') else {
            return Err(InvalidUnitName::Suffix { name: text });
        };
        let Some(kind) = UnitKind::from_suffix(suffix) else {
            return Err(InvalidUnitName::Suffix { name: text });
        };
        if stem.is_empty() {
            return Err(InvalidUnitName::Empty { name: text, what: "suffix" });
        }
        if stem.starts_with('@') {
            return Err(InvalidUnitName::Empty { name: text, what: "@" });
        }
        Ok(UnitName { text: text.into(), kind })
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the unit kind its suffix names.
    pub fn kind(&self) -> UnitKind {
        self.kind
    }

    /// Returns the name without its suffix (specifier `%N`, unescaped).
    pub fn stem(&self) -> &str {
        self.text.rsplit_once('.').map_or(self.as_str(), |(stem, _)| stem)
    }

    /// Returns what stands before the first `@` (specifier `%p`).
    pub fn prefix(&self) -> &str {
        self.stem().split_once('@').map_or(self.stem(), |(prefix, _)| prefix)
    }

    /// Returns what stands after the first `@` (specifier `%i`); `None` unless an instance.
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance).filter(|i| !i.is_empty())
    }

    /// Tells whether this is a template, `prefix@.suffix`.
    pub fn is_template(&self) -> bool {
        self.stem().split_once('@').is_some_and(|(_, instance)| instance.is_empty())
    }

    /// Returns the template an instance comes from; `None` unless an instance.
    pub fn template(&self) -> Option<UnitName> {
        self.instance()?;
        // A valid name without its instance is one.
        let text = [self.prefix(), "@.", self.kind.suffix()].concat().into();
        Some(UnitName { text, kind: self.kind })
    }

    /// Returns the instance `prefix@instance.suffix` of this template.
    pub fn with_instance(&self, instance: &str) -> Result<UnitName, InvalidUnitName> {
        UnitName::new(format!("{}@{instance}.{}", self.prefix(), self.kind.suffix()))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl FromStr for UnitName {
    type Err = InvalidUnitName;

    fn from_str(text: &str) -> Result<Self, InvalidUnitName> {
        UnitName::new(text)
    }
}

#[cfg(test)]
mod tests;
