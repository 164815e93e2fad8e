//! Identities and counters, one newtype each, so that they cannot be confused.

use std::fmt;
use std::str::FromStr;

/// A text is not the 32 hexadecimal digits of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of 32 hexadecimal digits")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u128::from_str_radix(text, 16) {
                    Ok(value) if digits => Ok(Self(value)),
                    _ => Err(InvalidId { text: text.to_owned() }),
                }
            }
        }
    };
}

id128! {
    /// A machine, for ever: random, made once in its data directory, never `/etc/machine-id`
    /// (clones share that).
    MachineId
}
id128! {
    /// A cluster, made at `cluster init`.
    ClusterId
}
id128! {
    /// One start of one unit, as systemd's `INVOCATION_ID`.
    InvocationId
}

impl MachineId {
    /// Returns the first eight digits, enough for people and for fleet's short form.
    pub fn short(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// The version of a machine's assignment. A machine refuses an older one.
    Generation
}
counter! {
    /// A leadership term. Every registry write of a leader task is guarded by its term.
    Term
}
counter! {
    /// The number of a unit's stored text, from 1, never reused for other text.
    UnitRevision
}

counter! {
    /// How often a restart of a unit was asked for. A machine that runs the unit with a lower
    /// count restarts it once; the count travels with the start and comes back in the status.
    RestartCount
}

/// The right to run a unit: raised whenever the unit is given to a machine anew.
///
/// Ordered by `incarnation`, then `counter`. The incarnation is the store's and rises with
/// every restore, so an epoch handed out before a disaster never beats one after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The store incarnation in which it was given out.
    pub incarnation: u64,
    /// The unit's own counter, from 1.
    pub counter: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.counter)
    }
}
