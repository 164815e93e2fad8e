//! Service Cluster: the members. Changing them is not offered here yet.

use tonic::{Request, Response, Status, async_trait};

use crate::api::Api;
use crate::proto::etcdserverpb as pb;
use pb::cluster_server::Cluster;

/// Service Cluster.
pub(crate) struct ClusterService(pub(crate) Api);

impl ClusterService {
    fn members(&self) -> Vec<pb::Member> {
        let membership = self.0.store.status().replica.membership;
        let voters = membership.all_voters().into_iter().map(|id| (id.0, false));
        let learners = membership.learners.iter().map(|id| (id.0, true));
        voters.chain(learners).map(|(id, is_learner)| self.member(id, is_learner)).collect()
    }

    fn member(&self, id: u64, is_learner: bool) -> pb::Member {
        let info = &self.0.info;
        if id != self.0.member_id() {
            let other = info.others.as_ref().and_then(|others| others(id));
            let (name, peer_ur_ls) =
                other.map(|other| (other.name, other.peer_urls)).unwrap_or_default();
            return pb::Member { id, name, peer_ur_ls, is_learner, ..pb::Member::default() };
        }
        pb::Member {
            id,
            name: info.name.clone(),
            peer_ur_ls: info.peer_urls.clone(),
            client_ur_ls: info.client_urls.clone(),
            is_learner,
        }
    }
}

#[async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.0.linearize().await?;
        }
        // As in etcd, no revision: the member list is not part of the key space.
        let header = Some(self.0.header(0));
        Ok(Response::new(pb::MemberListResponse { header, members: self.members() }))
    }
}
