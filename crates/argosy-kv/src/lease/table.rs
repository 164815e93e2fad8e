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

    /// Adds a lease, or changes what is known of it; attached keys stay.
    pub(crate) fn put(&mut self, lease: Lease) {
        let keys = self.leases.get(&lease.id).map(|entry| entry.keys.clone()).unwrap_or_default();
        self.leases.insert(LeaseEntry { lease: Arc::new(lease), keys });
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        self.leases.remove(&id);
    }

    /// Moves a key from one lease to another; 0 is none.
    pub(crate) fn move_key(&mut self, space: SpaceId, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(entry) = self.leases.get(&from) {
            let mut entry = entry.clone();
            entry.keys.remove(&(space, key.clone()));
            self.leases.insert(entry);
        }
        if let Some(entry) = self.leases.get(&to) {
            let mut entry = entry.clone();
            entry.keys.insert(Attached((space, key.clone())));
            self.leases.insert(entry);
        }
    }
}
