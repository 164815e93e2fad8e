//! Follows prefixes of the store and turns their keys into tables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_etcd::proto::etcdserverpb::kv_client::KvClient;
use argosy_etcd::proto::etcdserverpb::watch_client::WatchClient;
use argosy_etcd::proto::etcdserverpb::{
    RangeRequest, WatchCreateRequest, WatchRequest, watch_request::RequestUnion,
};
use argosy_model::{Epoch, MachineId};
use argosy_proxy::{Endpoint, Standing, Table};
use tokio::sync::watch;
use tonic::transport::Channel;

/// The pause before the store is asked again after it went away.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// A change may come with others at its heels; they share one new table.
const SETTLE: Duration = Duration::from_millis(5);

/// The store cannot be followed right now.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the store at {store} cannot be reached")]
    Connect { store: String, source: tonic::transport::Error },
    #[error("the store refused")]
    Refused(#[from] tonic::Status),
    #[error("the store ended the watch")]
    Ended,
}

/// Runs for ever. Without the store the last table stays as it is.
pub(super) async fn run(store: String, prefixes: Vec<String>, tables: watch::Sender<Arc<Table>>) {
    let mut told = false;
    loop {
        let Err(error) = follow(&store, &prefixes, &tables, &mut told).await else { return };
        if !told {
            tracing::warn!(error = crate::failure::chain(&error), "the last table is used");
            told = true;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn follow(
    store: &str,
    prefixes: &[String],
    tables: &watch::Sender<Arc<Table>>,
    told: &mut bool,
) -> Result<(), FollowError> {
    let unreachable = |source| FollowError::Connect { store: store.to_owned(), source };
    let channel = Channel::from_shared(store.to_owned())
        .map_err(|_| FollowError::Ended)?
        .connect()
        .await
        .map_err(unreachable)?;
    let (mut kv, mut watches) = (KvClient::new(channel.clone()), WatchClient::new(channel));
    loop {
        let mut services = BTreeMap::new();
        let mut revision = i64::MAX;
        for prefix in prefixes {
            let (endpoints, at) = read(&mut kv, prefix).await?;
            services.insert(prefix.clone(), endpoints);
            revision = revision.min(at);
        }
        *told = false;
        tables.send_if_modified(|table| {
            let changed = table.services != services;
            if changed {
                *table = Arc::new(Table {
                    generation: table.generation + 1,
                    services,
                    ..Table::default()
                });
            }
            changed
        });
        until_changed(&mut watches, prefixes, revision + 1).await?;
        tokio::time::sleep(SETTLE).await;
    }
}

/// Reads one service. The store's own copy is good enough: the watch begins behind it.
async fn read(
    kv: &mut KvClient<Channel>,
    prefix: &str,
) -> Result<(Vec<Endpoint>, i64), FollowError> {
    let request = RangeRequest {
        key: prefix.as_bytes().to_vec().into(),
        range_end: end_of(prefix).into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let answer = kv.range(request).await?.into_inner();
    let endpoints = answer.kvs.iter().filter_map(|kv| {
        let address = std::str::from_utf8(&kv.value).ok()?.trim().parse::<SocketAddr>();
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        match address {
            Ok(address) => Some(Endpoint {
                instance: key,
                // A key says where, not on which machine; written anew, it is another endpoint.
                machine: MachineId(0),
                epoch: Epoch { incarnation: 0, counter: kv.create_revision.unsigned_abs() },
                address,
                zone: String::new(),
                check: None,
                standing: Standing::Held,
            }),
            Err(_) => {
                tracing::warn!(key, "the value is no address and port");
                None
            }
        }
    });
    Ok((endpoints.collect(), answer.header.map_or(0, |header| header.revision)))
}

/// Returns when anything below a prefix has changed since `revision`.
async fn until_changed(
    watches: &mut WatchClient<Channel>,
    prefixes: &[String],
    revision: i64,
) -> Result<(), FollowError> {
    let requests: Vec<WatchRequest> = prefixes
        .iter()
        .map(|prefix| WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key: prefix.as_bytes().to_vec().into(),
                range_end: end_of(prefix).into(),
                start_revision: revision,
                ..WatchCreateRequest::default()
            })),
        })
        .collect();
    // The request side stays open: its end would end the watch.
    let requests =
        tokio_stream::StreamExt::chain(tokio_stream::iter(requests), tokio_stream::pending());
    let mut answers = watches.watch(requests).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        // A compacted or cancelled watch is a reason to read anew, as a change is.
        if answer.canceled || !answer.events.is_empty() {
            return Ok(());
        }
    }
    Err(FollowError::Ended)
}

/// Returns the end of the range of all keys that begin with `prefix`.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}
