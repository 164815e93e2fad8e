//! The two key spaces and their counters.

/// A store revision: one per transaction that changed its space, from 1 for an empty store.
/// Signed, because etcd's protocol is.
pub type Revision = i64;

/// The id of a lease; positive.
pub type LeaseId = i64;

/// One of the two key spaces of the store, each with its own revision counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpaceId {
    /// What clients see on the etcd ports.
    User,
    /// What the cluster keeps about itself; no client port reaches it.
    Registry,
}

impl SpaceId {
    /// Both spaces, in order.
    pub const ALL: [SpaceId; 2] = [SpaceId::User, SpaceId::Registry];

    pub(crate) fn index(self) -> usize {
        match self {
            SpaceId::User => 0,
            SpaceId::Registry => 1,
        }
    }
}

/// The revision of each space at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Of the user space: what an etcd response header carries.
    pub user: Revision,
    /// Of the registry.
    pub registry: Revision,
}

impl Revisions {
    /// Returns the revision of `space`.
    pub fn of(self, space: SpaceId) -> Revision {
        match space {
            SpaceId::User => self.user,
            SpaceId::Registry => self.registry,
        }
    }
}
