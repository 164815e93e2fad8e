//! The leases of a state, each with the keys attached to it.

use std::sync::Arc;

use bytes::Bytes;

use crate::tree::{Item, Tree};
use crate::{Lease, LeaseId, SpaceId};

/// A key attached to a lease.
#[derive(Debug, Clone)]
struct Attached((SpaceId, Bytes));

impl Item for Attached {
    type Key = (SpaceId, Bytes);
    type Bound = (SpaceId, Bytes);

    fn key(&self) -> &(SpaceId, Bytes) {
        &self.0
    }

    fn bound(&self) -> (SpaceId, Bytes) {
        self.0.clone()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct LeaseEntry {
    pub(crate) lease: Arc<Lease>,
    keys: Tree<Attached>,
    /// Markers of v2 directories, which v3 clients do not see.
    directories: Tree<Attached>,
}

impl LeaseEntry {
    fn attached(&mut self, directories: bool) -> &mut Tree<Attached> {
        if directories { &mut self.directories } else { &mut self.keys }
    }
}

impl Item for LeaseEntry {
    type Key = LeaseId;
    type Bound = LeaseId;

    fn key(&self) -> &LeaseId {
        &self.lease.id
    }

    fn bound(&self) -> LeaseId {
        self.lease.id
    }
}

/// Every lease. Cloning takes constant time.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeaseTable {
    pub(crate) leases: Tree<LeaseEntry>,
}

impl LeaseTable {
    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id).map(|entry| &*entry.lease)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().map(|entry| &*entry.lease)
    }

    /// Returns the attached keys by space and key.
    pub(crate) fn keys(&self, id: LeaseId) -> Vec<(SpaceId, Bytes)> {
        let entry = self.leases.get(&id);
        entry.map_or_else(Vec::new, |entry| entry.keys.iter().map(|key| key.0.clone()).collect())
    }

    /// Returns the attached directories by path.
    pub(crate) fn directories(&self, id: LeaseId) -> Vec<(SpaceId, Bytes)> {
        let Some(entry) = self.leases.get(&id) else { return Vec::new() };
        entry.directories.iter().map(|key| key.0.clone()).collect()
    }

    /// Adds a lease, or changes what is known of it; attached keys stay.
    pub(crate) fn put(&mut self, lease: Lease) {
        let before = self.leases.get(&lease.id);
        let (keys, directories) =
            before.map(|entry| (entry.keys.clone(), entry.directories.clone())).unwrap_or_default();
        self.leases.insert(LeaseEntry { lease: Arc::new(lease), keys, directories });
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        self.leases.remove(&id);
    }

    /// Moves a key (or directory) from one lease to another; 0 is none. A lease stays, even with
    /// nothing attached: a later step of the same transaction may attach to it.
    pub(crate) fn move_key(
        &mut self,
        space: SpaceId,
        (directory, key): (bool, &Bytes),
        from: LeaseId,
        to: LeaseId,
    ) {
        if from == to {
            return;
        }
        if let Some(entry) = self.leases.get(&from) {
            let mut entry = entry.clone();
            entry.attached(directory).remove(&(space, key.clone()));
            self.leases.insert(entry);
        }
        if let Some(entry) = self.leases.get(&to) {
            let mut entry = entry.clone();
            entry.attached(directory).insert(Attached((space, key.clone())));
            self.leases.insert(entry);
        }
    }

    /// Ends the lease of a v2 time to live that nothing is attached to any more.
    pub(crate) fn end_if_unused(&mut self, id: LeaseId) {
        let unused = self.leases.get(&id).is_some_and(|entry| {
            let empty = entry.keys.first().is_none() && entry.directories.first().is_none();
            empty && entry.lease.minimum_exempt
        });
        if unused {
            self.leases.remove(&id);
        }
    }
}
