//! Measures puts: `cargo run --release -p argosy-store --example put [CLIENTS] [SECONDS] [DIR]`.
//!
//! Each client has one put of 256 bytes under way. Without DIR the store is made in the
//! system's temporary directory, which should be on the disk that is meant.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use argosy_kv::{CommandKind, Op, PutRequest, SpaceId, Txn};
use argosy_model::ClusterId;
use argosy_store::{MemberId, Store, StoreConfig, StoreHandle};

/// Keys that the clients write in turn.
const KEYS: u64 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let clients: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("argosy-put-{}", std::process::id()));

    let config = StoreConfig::new(&dir, ClusterId(1), MemberId(1));
    Store::initialise(&config)?;
    let store = Store::open(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(measure(store.handle(), clients, Duration::from_secs(seconds)));
    store.shutdown();
    std::fs::remove_dir_all(&dir)?;
    print(&outcome?);
    Ok(())
}

/// What came of a measurement.
struct Outcome {
    seconds: f64,
    /// Of every put, ascending.
    latencies: Vec<Duration>,
    syncs: u64,
    checkpoints: u64,
}

async fn measure(
    store: StoreHandle,
    clients: u64,
    length: Duration,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    store.leadership().wait_for(|leadership| leadership.is_leader).await?;
    let before = store.status();
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        tasks.spawn(puts(store.clone(), client, clients, begun + length));
    }
    let mut latencies = Vec::new();
    for one in tasks.join_all().await {
        latencies.extend(one?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let after = store.status();
    let syncs = after.wal.groups - before.wal.groups;
    Ok(Outcome { seconds, latencies, syncs, checkpoints: after.checkpoint.written })
}

async fn puts(
    store: StoreHandle,
    client: u64,
    clients: u64,
    until: Instant,
) -> Result<Vec<Duration>, argosy_store::StoreError> {
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
fn print(outcome: &Outcome) {
    let Outcome { seconds, latencies, syncs, checkpoints } = outcome;
    let count = latencies.len();
    let at =
        |share: f64| latencies.get((count as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{count} puts in {seconds:.1} s: {:.0}/s, {syncs} syncs, {checkpoints} checkpoints",
        count as f64 / seconds
    );
    println!("p50 {:?}  p99 {:?}  max {:?}", at(0.5), at(0.99), latencies.last());
}
