//! Service Maintenance: the state of this member.

use tonic::{Request, Response, Status, async_trait};

use crate::api::{Api, ETCD_VERSION};
use crate::proto::etcdserverpb as pb;
use crate::status::ApiError;
use pb::alarm_request::AlarmAction;
use pb::maintenance_server::Maintenance;

/// Service Maintenance.
pub(crate) struct MaintenanceService(pub(crate) Api);

#[async_trait]
impl Maintenance for MaintenanceService {
    /// Answers for a store that raises no alarms: there is none to list or to clear. Raising
    /// one by hand is not offered.
    async fn alarm(
        &self,
        request: Request<pb::AlarmRequest>,
    ) -> Result<Response<pb::AlarmResponse>, Status> {
        if request.into_inner().action() == AlarmAction::Activate {
            return Err(Status::unimplemented("alarms cannot be raised by hand"));
        }
        let header = Some(self.0.header_now());
        Ok(Response::new(pb::AlarmResponse { header, alarms: Vec::new() }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let status = self.0.store.status();
        let leader = self.0.leader();
        let errors = match leader {
            Some(_) => Vec::new(),
            None => vec![ApiError::NoLeader.to_string()],
        };
        // The checkpoint has no free pages that a defragmentation could win back.
        let bytes = i64::try_from(status.checkpoint.file_bytes).unwrap_or(i64::MAX);
        Ok(Response::new(pb::StatusResponse {
            header: Some(self.0.header(status.revisions.user)),
            version: ETCD_VERSION.to_owned(),
            db_size: bytes,
            leader: leader.unwrap_or(0),
            raft_index: status.replica.commit,
            raft_term: self.0.raft_term(),
            raft_applied_index: status.replica.applied,
            errors,
            db_size_in_use: bytes,
            is_learner: status
                .replica
                .membership
                .learners
                .iter()
                .any(|id| id.0 == self.0.member_id()),
            ..pb::StatusResponse::default()
        }))
    }
}
