//! Applying commands, against a naive model and case by case.

mod commands;
mod model;
mod properties;
mod transactions;

use argosy_model::UnixMicros;

use super::State;
use crate::{Applied, Command, CommandKind, KeyValue, Op, PutRequest, SpaceId, Txn};
pub(crate) use model::txn as random_txn;

/// A state that is fed commands with rising indexes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Feed {
    pub(crate) state: State,
}

impl Feed {
    pub(crate) fn apply(&mut self, kind: CommandKind) -> Applied {
        let index = self.state.applied_index() + 1;
        let command = Command { proposed_at: UnixMicros(1000 + index), kind };
        self.state.apply(index, 1, &command)
    }

    pub(crate) fn txn(&mut self, txn: Txn) -> Applied {
        self.apply(CommandKind::Txn(txn))
    }

    pub(crate) fn put(&mut self, key: &'static str, value: &'static str) -> Applied {
        self.put_leased(key, value, 0)
    }

    pub(crate) fn put_leased(
        &mut self,
        key: &'static str,
        value: &'static str,
        lease: i64,
    ) -> Applied {
        let put = PutRequest { lease, ..PutRequest::new(key, value) };
        self.txn(Txn::unconditional(vec![Op::Put(SpaceId::User, put)]))
    }

    pub(crate) fn delete(&mut self, key: &'static str) -> Applied {
        let delete = crate::DeleteRequest::new(crate::KeyRange::key(key));
        self.txn(Txn::unconditional(vec![Op::Delete(SpaceId::User, delete)]))
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Applied {
        self.apply(CommandKind::Compact { space: SpaceId::User, revision })
    }

    pub(crate) fn grant(&mut self, id: i64, ttl_seconds: i64) -> Applied {
        self.apply(CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt: false })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&KeyValue> {
        self.state.get(SpaceId::User, key.as_bytes()).map(|kv| &**kv)
    }
}
