//! Tests of the replica: a cluster whose disk and network obey the test.

mod cluster;
mod durability;
mod guards;
mod joint;
mod membership;
mod reads;
mod replication;
mod snapshots;

use std::time::Duration;

use argosy_kv::{
    Command, CommandKind, KeyRange, Op, PutRequest, RangeRequest, Response, SpaceId, Txn,
};
use argosy_model::UnixMicros;

use self::cluster::Cluster;
use super::config::MAX_PENDING_PROPOSALS;
use super::*;
use crate::membership::MemberChange;

fn put(key: &str, value: &str) -> Command {
    let put = PutRequest::new(key.to_owned(), value.to_owned());
    Command {
        proposed_at: UnixMicros(0),
        kind: CommandKind::Txn(Txn::unconditional(vec![Op::Put(SpaceId::User, put)])),
    }
}

fn get(replica: &Replica, key: &str) -> Option<String> {
    let request = RangeRequest::new(KeyRange::key(key.to_owned()));
    let answer = replica.state().range(SpaceId::User, &request).unwrap();
    answer.kvs.first().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

fn is_done(effect: &Effect, wanted: RequestId) -> bool {
    matches!(effect, Effect::Applied { request: Some(request), response: Some(Ok(Response::Txn(_))), .. }
        if *request == wanted)
}

fn is_ready(effect: &Effect, wanted: RequestId) -> bool {
    matches!(effect, Effect::ReadReady { request, .. } if *request == wanted)
}

fn failure(effects: &[Effect], wanted: RequestId) -> Option<&WhyFailed> {
    effects.iter().find_map(|effect| match effect {
        Effect::Failed { request, why } if *request == wanted => Some(why),
        _ => None,
    })
}
