//! Measures puts to three members in one process, on connections in memory:
//! `cargo run --release -p argosy-store --example put_three [CLIENTS] [SECONDS] [DIR]`.
//!
//! Each client has one put of 256 bytes under way, to the leader. All members share one disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argosy_kv::{CommandKind, Op, PutRequest, SpaceId, Txn};
use argosy_model::ClusterId;
use argosy_store::{
    Dial, Dialing, MemberId, PeerStream, Purpose, Store, StoreConfig, StoreError, StoreHandle,
};
use tokio::runtime::Handle;

/// Keys that the clients write in turn.
const KEYS: u64 = 100_000;

/// Buffer of a connection: as a socket's.
const BUFFER_BYTES: usize = 1 << 20;

type Members = Arc<Mutex<BTreeMap<MemberId, StoreHandle>>>;

/// Reaches members of this process.
struct InMemory {
    own: MemberId,
    members: Members,
    runtime: Handle,
}

impl Dial for InMemory {
    fn dial(&self, to: MemberId, purpose: Purpose) -> Dialing {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let target = members.get(&to).cloned();
        let (own, runtime) = (self.own, self.runtime.clone());
        Box::pin(async move {
            let target = target.ok_or(std::io::ErrorKind::ConnectionRefused)?;
            let (near, far) = tokio::io::duplex(BUFFER_BYTES);
            drop(runtime.spawn(async move {
                match purpose {
                    Purpose::Raft => target.serve_raft(far, own).await,
                    Purpose::Snapshot => target.serve_snapshot(far, own).await,
                }
            }));
            Ok(Box::new(near) as PeerStream)
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let clients: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("argosy-put-three-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(measure(dir.clone(), clients, Duration::from_secs(seconds)));
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn measure(
    dir: PathBuf,
    clients: u64,
    length: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let members = Members::default();
    let mut stores = Vec::new();
    for id in 1..=3 {
        let config = StoreConfig::new(dir.join(id.to_string()), ClusterId(1), MemberId(id));
        if id == 1 {
            Store::initialise(&config)?
        } else {
            Store::join(&config)?
        }
        let (own, runtime) = (MemberId(id), Handle::current());
        let dial = InMemory { own, members: Arc::clone(&members), runtime };
        let store = Store::open_with_peers(config, Arc::new(dial))?;
        let handle = store.handle();
        members.lock().unwrap_or_else(PoisonError::into_inner).insert(own, handle);
        stores.push(store);
    }
    let leader = stores[0].handle();
    leader.leadership().wait_for(|leadership| leadership.is_leader).await?;
    let learners = [MemberId(2), MemberId(3)];
    for id in learners {
        leader.add_learner(id).await?;
    }
    while let Err(StoreError::NotReady { .. }) = leader.promote(&learners).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report(&leader, clients, length).await
}

async fn report(
    leader: &StoreHandle,
    clients: u64,
    length: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        tasks.spawn(puts(leader.clone(), client, clients, begun + length));
    }
    let mut latencies = Vec::new();
    for one in tasks.join_all().await {
        latencies.extend(one?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    print(&latencies, seconds);
    Ok(())
}

async fn puts(
    store: StoreHandle,
    client: u64,
    clients: u64,
    until: Instant,
) -> Result<Vec<Duration>, StoreError> {
    let mut latencies = Vec::new();
    let mut number = client;
    while Instant::now() < until {
        let put = PutRequest::new(format!("key-{:06}", number % KEYS), vec![b'v'; 256]);
        let txn = Txn::unconditional(vec![Op::Put(SpaceId::User, put)]);
        let begun = Instant::now();
        store.execute(CommandKind::Txn(txn)).await?;
        latencies.push(begun.elapsed());
        number += clients;
    }
    Ok(latencies)
}

#[expect(clippy::print_stdout, reason = "the figures are the program's output")]
fn print(latencies: &[Duration], seconds: f64) {
    let count = latencies.len();
    let at =
        |share: f64| latencies.get((count as f64 * share) as usize).copied().unwrap_or_default();
    println!("{count} puts in {seconds:.1} s: {:.0}/s", count as f64 / seconds);
    println!("p50 {:?}  p99 {:?}  max {:?}", at(0.5), at(0.99), latencies.last());
}
