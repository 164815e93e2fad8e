//! The time limits of one cluster: how soon a loss is noticed, and how long grants hold.
//!
//! All of a cluster's machines have the same, chosen at `cluster init`. The table in
//! `docs/failover.md` explains each number.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A set of time limits that fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Preset {
    /// Machines in one room, on a network that hardly ever stalls.
    Lan,
    /// Machines in one region, virtual ones too.
    #[default]
    Default,
    /// Machines far apart.
    Wan,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 3] = [Preset::Lan, Preset::Default, Preset::Wan];

    /// Returns its name on the command line and in stored files.
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::Lan => "lan",
            Preset::Default => "default",
            Preset::Wan => "wan",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Preset, UnknownPreset> {
        let found = Preset::ALL.into_iter().find(|preset| preset.as_str() == text);
        found.ok_or_else(|| UnknownPreset { name: text.to_owned() })
    }
}

/// There is no such preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset {name:?}; there are lan, default and wan")]
pub struct UnknownPreset {
    /// What was asked for.
    pub name: String,
}

/// The limits themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Raft's tick; an election takes ten to twenty of them.
    pub raft_tick: Duration,
    /// How often a machine sends a beat to the leader.
    pub beat: Duration,
    /// How long a machine may be silent before it counts as lost. Several beats, so that a lost
    /// packet is no lost machine.
    pub lost_after: Duration,
    /// d: how long after it sent a beat a machine may run fenced units on the grant for it.
    pub grant: Duration,
    /// The same for a long grant: how long a daemon that begins anew may be away.
    pub long_grant: Duration,
    /// k: how long before that the keeper begins to kill.
    pub kill: Duration,
    /// m: what the leader waits beyond the end of the last grant.
    pub margin: Duration,
    /// rho: by how many thousandths two machines' clocks may differ in speed.
    pub drift_per_mille: u32,
}

impl Timing {
    /// Returns the limits of a preset.
    pub const fn of(preset: Preset) -> Timing {
        let ms = Duration::from_millis;
        match preset {
            Preset::Lan => Timing {
                raft_tick: ms(20),
                beat: ms(100),
                lost_after: ms(500),
                grant: ms(1_000),
                long_grant: ms(10_000),
                kill: ms(250),
                margin: ms(50),
                drift_per_mille: 10,
            },
            Preset::Default => Timing {
                raft_tick: ms(50),
                beat: ms(200),
                lost_after: ms(1_200),
                grant: ms(2_500),
                long_grant: ms(10_000),
                kill: ms(500),
                margin: ms(100),
                drift_per_mille: 10,
            },
            Preset::Wan => Timing {
                raft_tick: ms(250),
                beat: ms(1_000),
                lost_after: ms(6_000),
                grant: ms(12_000),
                long_grant: ms(30_000),
                kill: ms(2_000),
                margin: ms(500),
                drift_per_mille: 10,
            },
        }
    }

    /// Returns after how long without a sign something is wrong, if only by chance: a beat was
    /// lost, or its sender or the leader was held up.
    pub fn quiet_after(&self) -> Duration {
        self.beat * 2
    }

    /// Returns how long after it sent a grant a leader must assume that fenced units run on it:
    /// d (1 + rho) + m.
    pub fn fence(&self) -> Duration {
        self.fence_of(self.grant)
    }

    /// The same for a long grant.
    pub fn long_fence(&self) -> Duration {
        self.fence_of(self.long_grant)
    }

    fn fence_of(&self, grant: Duration) -> Duration {
        grant + grant * self.drift_per_mille / 1_000 + self.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raft's election takes up to so many ticks, if nobody else wants to be elected.
    const ELECTION_TICKS_MAX: u32 = 20;

    #[test]
    fn the_loss_of_a_leader_leaves_others_time_to_be_granted_by_the_next() {
        for preset in Preset::ALL {
            let timing = Timing::of(preset);
            // The last grant is for a beat up to one interval old; the next leader is elected,
            // and a beat to it takes a round trip and a quorum round, both short of one tick.
            let next = timing.beat + timing.raft_tick * (ELECTION_TICKS_MAX + 4);
            assert!(next + timing.kill <= timing.grant, "{preset}: {next:?}");
            // A beat is up to one interval old when the leader begins to be held up, and another
            // when it goes on.
            assert!(timing.beat * 2 + timing.quiet_after() < timing.lost_after, "{preset}");
            assert!(timing.lost_after < timing.grant, "{preset}");
            // A daemon is back within seconds, and asks for some beats before it goes.
            assert!(timing.grant * 2 < timing.long_grant, "{preset}");
        }
    }

    #[test]
    fn a_preset_is_read_as_it_is_written() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse(), Ok(preset));
        }
        assert!("LAN".parse::<Preset>().is_err());
    }
}
