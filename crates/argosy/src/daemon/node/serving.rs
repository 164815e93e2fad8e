//! What a machine serves to clients of the store: a member answers them, and workers too; a worker
//! passes them on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argosy_model::ImageState;
use argosy_reconcile::Timing;
use argosy_store::StoreHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::tasks::Tasks;
use crate::daemon::clients;
use crate::daemon::feed::{self, FeedServer, FeedTiming};
use crate::daemon::identity::Membership;
use crate::daemon::images::{BringParts, Bringer};
use crate::daemon::machine_port::MachinePort;
use crate::daemon::machine_server::ForWorkers;
use crate::daemon::picture::Picture;
use crate::daemon::store_access::StoreAccess;
use crate::failure::chain;

/// Both ends of whoever brings images: what this machine is to have, and how far it is.
pub(super) struct Images {
    pub(super) wanted: watch::Sender<BTreeSet<String>>,
    pub(super) states: watch::Receiver<BTreeMap<String, ImageState>>,
}

/// Begins to bring images.
pub(super) fn bring_images(parts: BringParts, tasks: &mut Tasks) -> Images {
    let (wanted, receiver) = watch::channel(BTreeSet::new());
    let (bringer, states) = Bringer::new(parts, receiver);
    tasks.spawn("bringing images", bringer.run(tasks.stopped()));
    Images { wanted, states }
}

/// What serving is begun with.
pub(super) struct Serving<'a> {
    pub(super) membership: &'a Membership,
    pub(super) client_urls: &'a [String],
    pub(super) port: &'a MachinePort,
    pub(super) pictures: &'a watch::Receiver<Picture>,
}

impl Serving<'_> {
    /// Begins, and returns what a member serves to workers.
    pub(super) fn begin(
        &self,
        access: &StoreAccess,
        listeners: Vec<TcpListener>,
        tasks: &mut Tasks,
    ) -> Option<ForWorkers> {
        let pace = FeedTiming::of(Timing::of(self.membership.timing));
        match access {
            StoreAccess::Member(store) => {
                let server = self.etcd_server(store);
                let clients = server.connections();
                let mut until = tasks.stopped();
                tasks.spawn("client ports", async move {
                    let stopped = async move { drop(until.wait_for(|stop| *stop).await) };
                    if let Err(error) = server.serve(listeners, stopped).await {
                        tracing::error!(error = chain(&error), "the store's client ports failed");
                    }
                });
                let feed = FeedServer::new(store.clone(), self.pictures.clone(), pace);
                tasks.spawn_until_stopped("confirmations", feed.clone().confirm());
                Some(ForWorkers { feed, clients })
            }
            StoreAccess::Worker(feed) => {
                let stopped = tasks.stopped();
                let clients = clients::serve(listeners, feed.clone(), self.port.clone(), stopped);
                tasks.spawn("client ports", clients);
                tasks.spawn_until_stopped("feed", feed::follow(feed.clone(), pace));
                tasks.spawn_until_stopped("stored feed", feed.clone().keep_stored());
                None
            }
        }
    }

    fn etcd_server(&self, store: &StoreHandle) -> argosy_etcd::Server {
        let (membership, pictures) = (self.membership, self.pictures.clone());
        let others = move |member: u64| {
            let picture = pictures.borrow();
            let mut machines = picture.view.machines().values();
            let machine = &machines.find(|stored| stored.value.member == member)?.value;
            Some(argosy_etcd::OtherMember {
                name: machine.name.clone(),
                peer_urls: vec![format!("https://{}:{}", machine.address, machine.port)],
            })
        };
        let info = argosy_etcd::ServerInfo {
            name: membership.name.clone(),
            client_urls: self.client_urls.to_vec(),
            peer_urls: vec![format!("https://{}:{}", membership.address, membership.port)],
            others: Some(Arc::new(others)),
        };
        argosy_etcd::Server::new(store.clone(), info)
    }
}
