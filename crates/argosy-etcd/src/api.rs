//! What every service needs: the store, who this server is, and when it ends.

use std::sync::Arc;

use argosy_kv::{Revision, SpaceId};
use argosy_store::{Leadership, StoreHandle};
use tokio::sync::watch;

use crate::proto::etcdserverpb as pb;
use crate::status::ApiError;

/// How this server presents itself to clients.
#[derive(Clone, Default)]
pub struct ServerInfo {
    /// The member's name.
    pub name: String,
    /// Where clients reach it, as URLs.
    pub client_urls: Vec<String>,
    /// Where other members reach it, as URLs.
    pub peer_urls: Vec<String>,
    /// What is known of the other members; without it the member list has only their ids.
    pub others: Option<Others>,
}

/// Finds what is known of another member, by its id.
pub type Others = Arc<dyn Fn(u64) -> Option<OtherMember> + Send + Sync>;

/// Another member, as this one knows it. Where its clients reach it, it alone knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMember {
    /// Its name.
    pub name: String,
    /// Where other members reach it, as URLs.
    pub peer_urls: Vec<String>,
}

/// The release of etcd whose behaviour this server has. Clients choose features by it:
/// kube-apiserver asks for watch progress from 3.5.13 on.
pub(crate) const ETCD_VERSION: &str = "3.5.21";

/// The release that the whole cluster understands, as `/version` shows it.
pub(crate) const CLUSTER_VERSION: &str = "3.5.0";

/// Shared by all services and requests.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: StoreHandle,
    pub(crate) info: Arc<ServerInfo>,
    /// True once the server shuts down; ends streams that would last for ever.
    pub(crate) stopping: watch::Receiver<bool>,
    leadership: watch::Receiver<Leadership>,
    cluster_id: u64,
    member_id: u64,
}

impl Api {
    pub(crate) fn new(
        store: StoreHandle,
        info: ServerInfo,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let leadership = store.leadership();
        let cluster_id = short_cluster_id(store.cluster_id().0);
        let member_id = store.member_id().0;
        Self { store, info: Arc::new(info), stopping, leadership, cluster_id, member_id }
    }

    /// Returns the header of an answer at `revision`.
    pub(crate) fn header(&self, revision: Revision) -> pb::ResponseHeader {
        pb::ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision,
            raft_term: self.raft_term(),
        }
    }

    /// Returns the header of an answer about the state as it is now.
    pub(crate) fn header_now(&self) -> pb::ResponseHeader {
        self.header(self.store.view().revision(SpaceId::User))
    }

    pub(crate) fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    pub(crate) fn member_id(&self) -> u64 {
        self.member_id
    }

    pub(crate) fn raft_term(&self) -> u64 {
        self.leadership.borrow().term.0
    }

    /// Returns the leader's member id, as far as this member knows.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.leadership.borrow().leader.map(|leader| leader.0)
    }

    /// Waits until the local view is as new as any acknowledged write.
    pub(crate) async fn linearize(&self) -> Result<(), ApiError> {
        Ok(self.store.read_barrier().await?)
    }
}

/// Folds a cluster id into the 64 bits that etcd has for it; never 0.
fn short_cluster_id(id: u128) -> u64 {
    let bytes = id.to_be_bytes();
    let (high, low) = bytes.split_at(8);
    let half = |half: &[u8]| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    (half(high) ^ half(low)).max(1)
}
