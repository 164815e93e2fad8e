//! What was acknowledged is there after the process was killed at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use argosy_store::Store;

use crate::fixture::{Home, config, get, led, put, runtime};

const DIR: &str = "ARGOSY_STORE_CRASH_DIR";
const FROM: &str = "ARGOSY_STORE_CRASH_FROM";

/// Writers of the child, each with one key and one write under way.
const WRITERS: u64 = 8;

/// Kills, one after the other on the same store.
const ROUNDS: u64 = 12;

fn small(path: PathBuf) -> argosy_store::StoreConfig {
    // Small enough that kills fall into checkpoints and between segments too.
    let mut config = config(&path);
    config.checkpoint_entries = 40;
    config.segment_bytes = 64 << 10;
    config
}

/// The process that is killed: acknowledges on standard output what was acknowledged to it.
#[test]
#[ignore = "runs only as the child of the test below"]
fn writes_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    runtime().block_on(async {
        let store = Store::open(small(dir.into())).unwrap();
        led(&store.handle()).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.handle();
            writers.spawn(async move {
                for number in from.. {
                    // Long enough that a segment holds few of them.
                    let value = format!("{number:0500}");
                    put(&store, &format!("writer-{writer}"), value).await.unwrap();
                    println!("acknowledged {writer} {number}");
                }
            });
        }
        writers.join_next().await;
    });
}

fn start(home: &Home, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_killed", "--ignored", "--nocapture"])
        .env(DIR, home.path())
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The splitmix64 sequence: the moments of the kills.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

#[test]
fn every_acknowledged_write_survives_sigkill() {
    let home = Home::empty();
    Store::initialise(&small(home.path())).unwrap();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut from = 1;
    for round in 1..=ROUNDS {
        let wanted = 1 + mix(round) % 400;
        let mut child = start(&home, from);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(rest) = line.split("acknowledged ").nth(1) else { continue };
            let (writer, number) = rest.split_once(' ').unwrap();
            last.insert(writer.parse().unwrap(), number.parse().unwrap());
            acknowledged += 1;
            if acknowledged == wanted {
                // What the child managed to print before it died is read to the end.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= wanted, "round {round}: the child ended by itself");
        from = check(&home, round, &last);
    }
}

/// Compares the reopened store with what was acknowledged; returns a number above all.
fn check(home: &Home, round: u64, last: &BTreeMap<u64, u64>) -> u64 {
    let mut highest = 0;
    runtime().block_on(async {
        let store = Store::open(small(home.path())).unwrap();
        let handle = store.handle();
        led(&handle).await;
        for (writer, acknowledged) in last {
            let value = get(&handle, &format!("writer-{writer}")).unwrap();
            let found: u64 = String::from_utf8(value).unwrap().parse().unwrap();
            // The one write that was under way may be there as well.
            assert!(
                found >= *acknowledged,
                "round {round}: writer {writer} was acknowledged {acknowledged}, found {found}"
            );
            highest = highest.max(found);
        }
        store.shutdown();
    });
    highest + 1
}
