//! Where the other machines are: from the registry, and before it is there from the join.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use argosy_model::MachineId;
use argosy_registry::ClusterView;
use argosy_store::MemberId;

/// How another machine is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) machine: MachineId,
    /// Its store member, if it is one.
    pub(crate) member: Option<MemberId>,
    /// Its machine port.
    pub(crate) address: SocketAddr,
}

/// The machines that this one may speak to. Shared by everything that connects.
#[derive(Debug, Default)]
pub(crate) struct Book {
    places: RwLock<BTreeMap<MachineId, Place>>,
}

impl Book {
    /// Begins with what the join said.
    pub(crate) fn new(places: impl IntoIterator<Item = Place>) -> Book {
        let places = places.into_iter().map(|place| (place.machine, place)).collect();
        Book { places: RwLock::new(places) }
    }

    /// Takes over what the registry says. An empty registry, as before the first snapshot of a
    /// new member, changes nothing.
    pub(crate) fn follow(&self, view: &ClusterView) {
        if view.machines().is_empty() {
            return;
        }
        let places = view.machines().values().filter_map(|stored| {
            let machine = &stored.value;
            let address: IpAddr = machine.address.parse().ok()?;
            (machine.port != 0).then(|| {
                let member = (machine.member != 0).then_some(MemberId(machine.member));
                let address = SocketAddr::new(address, machine.port);
                (machine.id, Place { machine: machine.id, member, address })
            })
        });
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = places.collect();
    }

    pub(crate) fn machine(&self, machine: MachineId) -> Option<Place> {
        self.read(|places| places.get(&machine).copied())
    }

    pub(crate) fn member(&self, member: MemberId) -> Option<Place> {
        self.read(|places| places.values().find(|place| place.member == Some(member)).copied())
    }

    /// Returns every machine that holds a part of the store.
    pub(crate) fn members(&self) -> Vec<Place> {
        self.read(|places| places.values().filter(|p| p.member.is_some()).copied().collect())
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<MachineId, Place>) -> T) -> T {
        read(&self.places.read().unwrap_or_else(PoisonError::into_inner))
    }
}
