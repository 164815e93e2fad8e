//! The client: the same for both servers, each worker waits for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use argosy_etcd::proto::etcdserverpb::kv_client::KvClient;
use argosy_etcd::proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::Store;
use crate::server::Server;

/// Long enough for a server to be ready on a loaded machine.
const READY_MAX: Duration = Duration::from_secs(30);

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    LinearizableGet,
    SerializableGet,
}

pub(crate) const KINDS: [(Kind, &str); 3] = [
    (Kind::Put, "put"),
    (Kind::LinearizableGet, "linearizable get"),
    (Kind::SerializableGet, "serializable get"),
];

/// One kind of request against one server.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Server CPU seconds for 100,000 requests.
    pub(crate) cpu_per_100k: f64,
}

/// Everything measured of one server in one round.
pub(crate) struct Round {
    pub(crate) figures: Vec<Figures>,
    pub(crate) resident_bytes: u64,
}

pub(crate) async fn measure(server: &Server, options: &Store) -> Result<Round> {
    let mut channels = Vec::new();
    for _ in 0..options.connections.max(1) {
        channels.push(connect(&server.endpoint).await?);
    }
    let mut figures = Vec::new();
    for (kind, _) in KINDS {
        figures.push(run(kind, server, &channels, options).await?);
    }
    Ok(Round { figures, resident_bytes: server.usage()?.resident_bytes })
}

/// Connects, and waits until the server answers a read that needs a leader.
async fn connect(endpoint: &str) -> Result<KvClient<Channel>> {
    let begun = Instant::now();
    loop {
        let tried = async {
            let channel = Endpoint::from_shared(endpoint.to_owned())?.connect().await?;
            let mut client = KvClient::new(channel);
            client.range(get(b"ready".to_vec(), false)).await?;
            anyhow::Ok(client)
        };
        match tried.await {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > READY_MAX => {
                return Err(error).with_context(|| format!("{endpoint} is not ready"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn get(key: Vec<u8>, serializable: bool) -> RangeRequest {
    RangeRequest { key: key.into(), serializable, ..RangeRequest::default() }
}

/// Returns a key of a fixed length; keys are spread and written once.
fn key(number: u64) -> Vec<u8> {
    format!("bench/{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

async fn run(
    kind: Kind,
    server: &Server,
    channels: &[KvClient<Channel>],
    options: &Store,
) -> Result<Figures> {
    let next = Arc::new(AtomicU64::new(0));
    let before = server.usage()?;
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..options.clients {
        let mut client = channels[worker as usize % channels.len()].clone();
        let next = Arc::clone(&next);
        let (requests, value) = (options.requests, vec![b'x'; options.value_bytes]);
        workers.spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return anyhow::Ok(times);
                }
                let begun = Instant::now();
                match kind {
                    Kind::Put => {
                        let (key, value) = (key(number).into(), value.clone().into());
                        client.put(PutRequest { key, value, ..PutRequest::default() }).await?;
                    }
                    Kind::LinearizableGet => {
                        client.range(get(key(number), false)).await?;
                    }
                    Kind::SerializableGet => {
                        client.range(get(key(number), true)).await?;
                    }
                }
                times.push(begun.elapsed());
            }
        });
    }
    let mut times = Vec::new();
    while let Some(worker) = workers.join_next().await {
        times.extend(worker??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let used = server.usage()?.cpu_seconds - before.cpu_seconds;
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Figures {
        requests_per_second: times.len() as f64 / seconds,
        p50: at(0.5),
        p99: at(0.99),
        cpu_per_100k: used * 100_000.0 / times.len() as f64,
    })
}
