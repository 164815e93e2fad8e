//! Who may use which service, once it has proved who it is.

use std::collections::BTreeSet;

use arc_swap::ArcSwap;
use argosy_model::MachineId;

use crate::{PeerIdentity, Refusal, RefusalKind, Service};

/// Decides about a machine whose certificate is verified. Asked once per connection, on the
/// handshake's task: it must not block.
pub trait Authorise: Send + Sync + 'static {
    /// Allows the service, or says why not. Never asked about [`Service::Join`].
    fn authorise(&self, service: Service, peer: &PeerIdentity) -> Result<(), Refusal>;
}

impl<F> Authorise for F
where
    F: Fn(Service, &PeerIdentity) -> Result<(), Refusal> + Send + Sync + 'static,
{
    fn authorise(&self, service: Service, peer: &PeerIdentity) -> Result<(), Refusal> {
        self(service, peer)
    }
}

/// The usual rule: raft and snapshots for store members, learners included, everything else for
/// every machine of the cluster, nothing for a machine that was removed from it.
///
/// Starts without members, so a store member must be told them before it can be reached.
#[derive(Debug, Default)]
pub struct AccessList {
    rules: ArcSwap<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    members: BTreeSet<MachineId>,
    removed: BTreeSet<MachineId>,
}

impl AccessList {
    /// Makes an empty list: no members, none removed.
    pub fn new() -> Self {
        AccessList::default()
    }

    /// Replaces the list. Connections that are open stay open: whoever removes a machine closes
    /// them.
    pub fn set(&self, members: BTreeSet<MachineId>, removed: BTreeSet<MachineId>) {
        self.rules.store(std::sync::Arc::new(Rules { members, removed }));
    }
}

impl Authorise for AccessList {
    fn authorise(&self, service: Service, peer: &PeerIdentity) -> Result<(), Refusal> {
        let rules = self.rules.load();
        let machine = peer.machine;
        if rules.removed.contains(&machine) {
            return Err(Refusal::new(
                RefusalKind::Removed,
                format!("machine {machine} was removed from the cluster; it must join anew"),
            ));
        }
        if service.is_for_store_members() && !rules.members.contains(&machine) {
            return Err(Refusal::new(
                RefusalKind::NotAMember,
                format!(
                    "{service} is for store members, and machine {machine} is not known as one"
                ),
            ));
        }
        Ok(())
    }
}

/// A shared rule is a rule, so that its owner can keep changing it.
impl<A: Authorise + ?Sized> Authorise for std::sync::Arc<A> {
    fn authorise(&self, service: Service, peer: &PeerIdentity) -> Result<(), Refusal> {
        (**self).authorise(service, peer)
    }
}
