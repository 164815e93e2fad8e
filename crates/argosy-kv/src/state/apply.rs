//! Applying commands.

use argosy_model::UnixMicros;

use super::{State, Writer};
use crate::keyspace::SWEEP_REVISIONS_MAX;
use crate::{
    Action, Applied, ClusterVersion, Command, CommandKind, KvError, LEASE_TTL_MAX_SECONDS,
    LEASE_TTL_MIN_SECONDS, Lease, LeaseId, Response, SpaceEvents, Txn, TxnResponse, v2,
};

/// The shortest v2 TTL, in seconds.
const EXEMPT_TTL_MIN_SECONDS: i64 = 1;

type Outcome = Result<(Response, Vec<SpaceEvents>), KvError>;

impl State {
    /// Applies the command of log entry `index`. Total and deterministic: whatever is wrong
    /// with the command is in the answer. An index that was applied before changes nothing.
    pub fn apply(&mut self, index: u64, term: u64, command: &Command) -> Applied {
        if index <= self.applied_index {
            return Applied { response: Err(KvError::AlreadyApplied { index }), events: vec![] };
        }
        self.advance(index, term);
        let outcome = self.apply_kind(index, command);
        for space in &mut self.spaces {
            space.sweep(SWEEP_REVISIONS_MAX);
        }
        match outcome {
            Ok((response, events)) => Applied { response: Ok(response), events },
            Err(error) => Applied { response: Err(error), events: vec![] },
        }
    }

    /// Takes note of a log entry that carries no command (a new leader's empty entry, a
    /// membership change).
    pub fn advance(&mut self, index: u64, term: u64) {
        if index > self.applied_index {
            self.applied_index = index;
            self.applied_term = term;
        }
    }

    fn apply_kind(&mut self, index: u64, command: &Command) -> Outcome {
        match &command.kind {
            CommandKind::Txn(txn) => {
                self.apply_txn(txn).map(|(response, events)| (Response::Txn(response), events))
            }
            CommandKind::Compact { space, revision } => {
                self.space_mut(*space).compact(*revision)?;
                Ok((Response::Compact { revisions: self.revisions() }, vec![]))
            }
            CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt } => {
                let id = if *id == 0 { self.free_lease_id(index) } else { *id };
                self.grant(id, *ttl_seconds, *minimum_exempt, command.proposed_at)
            }
            CommandKind::LeaseRevoke { ids, expired } => self.revoke(ids, *expired),
            CommandKind::LeaseCheckpoint { id, remaining_seconds } => {
                let Some(lease) = self.lease(*id) else {
                    return Err(KvError::LeaseNotFound { id: *id });
                };
                let remaining_seconds = (*remaining_seconds).clamp(0, lease.ttl_seconds);
                let lease = Lease { remaining_seconds, ..lease.clone() };
                self.leases.put(lease);
                Ok((Response::LeaseCheckpoint { revisions: self.revisions() }, vec![]))
            }
            CommandKind::SetClusterVersion(version) => self.set_cluster_version(*version),
            CommandKind::V2(write) => {
                let v2::Done { change, events, granted, ended } =
                    self.apply_v2(write, command.proposed_at).map_err(KvError::V2)?;
                let revisions = self.revisions();
                Ok((Response::V2 { revisions, change: change.into(), granted, ended }, events))
            }
        }
    }

    /// Checks and does a transaction.
    pub(crate) fn apply_txn(
        &mut self,
        txn: &Txn,
    ) -> Result<(TxnResponse, Vec<SpaceEvents>), KvError> {
        // How many steps are too many is for whoever proposed it to say: it is a setting, and
        // settings may differ between members.
        txn.check(usize::MAX)?;
        let plan = crate::txn::Plan::make(self, txn)?;
        let mut writer = Writer::new(self);
        let mut response = plan.run(&mut writer, txn)?;
        response.set_revisions(writer.revisions());
        Ok((response, writer.finish()))
    }

    fn grant(
        &mut self,
        id: LeaseId,
        ttl_seconds: i64,
        minimum_exempt: bool,
        granted_at: UnixMicros,
    ) -> Outcome {
        if ttl_seconds > LEASE_TTL_MAX_SECONDS {
            return Err(KvError::TooLargeLeaseTtl);
        }
        if self.lease(id).is_some() {
            return Err(KvError::LeaseExists { id });
        }
        let minimum = if minimum_exempt { EXEMPT_TTL_MIN_SECONDS } else { LEASE_TTL_MIN_SECONDS };
        let ttl_seconds = ttl_seconds.max(minimum);
        let remaining_seconds = 0;
        self.leases.put(Lease { id, ttl_seconds, remaining_seconds, minimum_exempt, granted_at });
        Ok((Response::LeaseGrant { revisions: self.revisions(), id, ttl_seconds }, vec![]))
    }

    fn revoke(&mut self, ids: &[LeaseId], expired: bool) -> Outcome {
        let missing = ids.iter().find(|id| self.lease(**id).is_none());
        if let Some(id) = missing.filter(|_| !expired) {
            return Err(KvError::LeaseNotFound { id: *id });
        }
        let action = if expired { Action::Expire } else { Action::Delete };
        let mut events = Vec::new();
        for id in ids {
            let mut writer = Writer::new(self);
            writer.revoke(*id, action);
            events.extend(writer.finish());
        }
        Ok((Response::LeaseRevoke { revisions: self.revisions(), revoked: ids.to_vec() }, events))
    }

    fn set_cluster_version(&mut self, wanted: ClusterVersion) -> Outcome {
        if wanted < self.cluster_version {
            return Err(KvError::ClusterVersionFalls { current: self.cluster_version, wanted });
        }
        self.cluster_version = wanted;
        Ok((Response::ClusterVersion { revisions: self.revisions(), version: wanted }, vec![]))
    }

    /// Chooses a positive lease id that is free: spread out by splitmix64, so that ids of
    /// neighbouring log entries do not look alike to people.
    pub(crate) fn free_lease_id(&self, index: u64) -> LeaseId {
        let mut seed = index;
        loop {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            let id = (mixed >> 1).cast_signed();
            if id > 0 && self.lease(id).is_none() {
                return id;
            }
        }
    }

    /// Tells whether a compaction still has something to free in `space`.
    #[cfg(test)]
    pub(crate) fn is_sweeping(&self, space: crate::SpaceId) -> bool {
        let keyspace = self.space(space);
        keyspace.history_from < keyspace.compact_revision
    }
}
