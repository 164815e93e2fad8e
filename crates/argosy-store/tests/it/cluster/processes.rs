//! Three processes on loopback, killed at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use argosy_store::{Dial, Dialing, MemberId, Purpose, Store, StoreConfig, StoreHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{PATIENCE, TICK, until, voters};
use crate::crash::mix;
use crate::fixture::{CLUSTER, get, put, runtime};

const HOME: &str = "ARGOSY_STORE_CLUSTER_HOME";
const ID: &str = "ARGOSY_STORE_CLUSTER_ID";
const FROM: &str = "ARGOSY_STORE_CLUSTER_FROM";

const MEMBERS: u64 = 3;

/// Writers in each process, each with one key and one write under way.
const WRITERS: u64 = 4;

/// Kills, one after the other.
const ROUNDS: u64 = 15;

fn config(home: &Path, id: u64) -> StoreConfig {
    let mut config = StoreConfig::new(home.join(id.to_string()), CLUSTER, MemberId(id));
    config.tick = TICK;
    // Small enough that kills fall into checkpoints and snapshots too.
    config.checkpoint_entries = 100;
    config.keep_entries = 20;
    config.segment_bytes = 64 << 10;
    config
}

/// The address of a member is in a file beside its directory, and changes with each start.
fn address(home: &Path, id: u64) -> PathBuf {
    home.join(format!("{id}.address"))
}

/// Reaches members over loopback. Stands for the machine-to-machine port, whose connections
/// name the caller and the purpose.
struct Loopback {
    home: PathBuf,
    own: u64,
}

impl Dial for Loopback {
    fn dial(&self, to: MemberId, purpose: Purpose) -> Dialing {
        let (path, own) = (address(&self.home, to.0), self.own);
        Box::pin(async move {
            let mut stream = TcpStream::connect(std::fs::read_to_string(path)?).await?;
            stream.set_nodelay(true)?;
            stream.write_u64(own).await?;
            stream.write_u8(u8::from(purpose == Purpose::Snapshot)).await?;
            Ok(Box::new(stream) as argosy_store::PeerStream)
        })
    }
}

/// Accepts members until the process ends.
async fn accept(home: PathBuf, id: u64, store: StoreHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Renamed, so that nobody reads half of it.
    let unfinished = home.join(format!("{id}.unfinished"));
    std::fs::write(&unfinished, listener.local_addr().unwrap().to_string()).unwrap();
    std::fs::rename(unfinished, address(&home, id)).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let store = store.clone();
        drop(tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let from = MemberId(stream.read_u64().await?);
            let served = match stream.read_u8().await? {
                0 => store.serve_raft(stream, from).await,
                _ => store.serve_snapshot(stream, from).await,
            };
            served.map_err(std::io::Error::other)
        }));
    }
}

fn open(home: &Path, id: u64) -> Store {
    let dial = Loopback { home: home.to_owned(), own: id };
    let store = Store::open_with_peers(config(home, id), Arc::new(dial)).unwrap();
    drop(tokio::spawn(accept(home.to_owned(), id, store.handle())));
    store
}

/// Makes three voters, and leaves their stores on the disk.
async fn make(home: &Path) {
    Store::initialise(&config(home, 1)).unwrap();
    let mut stores = vec![open(home, 1)];
    let first = stores[0].handle();
    first.leadership().wait_for(|leadership| leadership.is_leader).await.unwrap();
    for id in 2..=MEMBERS {
        Store::join(&config(home, id)).unwrap();
        stores.push(open(home, id));
        first.add_learner(MemberId(id)).await.unwrap();
    }
    let learners: Vec<_> = (2..=MEMBERS).map(MemberId).collect();
    while first.promote(&learners).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    for store in &stores {
        let handle = store.handle();
        until("all are voters", || handle.membership() == voters(1..=MEMBERS)).await;
    }
}

/// The process that is killed: acknowledges on standard output what was acknowledged to it.
#[test]
#[ignore = "runs only as the child of the test below"]
fn member_until_killed() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let number = |name: &str| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let (id, from) = (number(ID), number(FROM));
    runtime().block_on(async {
        let store = open(Path::new(&home), id);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.handle();
            writers.spawn(async move {
                for number in from.. {
                    let (key, value) = (format!("{id}-{writer}"), format!("{number:0200}"));
                    // After an unknown outcome the same value is written again.
                    while put(&store, &key, value.as_str()).await.is_err() {
                        sleep(Duration::from_millis(10)).await;
                    }
                    println!("acknowledged {key} {number}");
                }
            });
        }
        writers.join_next().await;
    });
}

/// A running member, and the lines that it prints.
struct Member {
    child: Child,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Member {
    fn start(home: &Path, id: u64, from: u64, lines: &mpsc::Sender<String>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cluster::processes::member_until_killed", "--ignored"])
            .arg("--nocapture")
            .env(HOME, home)
            .env(ID, id.to_string())
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in output.lines() {
                let Some((_, rest)) = line
                    .unwrap()
                    .split_once("acknowledged ")
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                else {
                    continue;
                };
                if lines.send(rest).is_err() {
                    return;
                }
            }
        });
        Self { child, reader: Some(reader) }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it printed before it died is all read.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A failed test leaves no process behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Takes in acknowledgements until there are `wanted` more.
fn gather(lines: &Receiver<String>, last: &mut BTreeMap<String, u64>, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..wanted {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => take_note(last, &line),
            Err(RecvTimeoutError::Timeout) => panic!("the members acknowledge nothing any more"),
            Err(RecvTimeoutError::Disconnected) => panic!("all members are gone"),
        }
    }
}

fn take_note(last: &mut BTreeMap<String, u64>, line: &str) {
    let (key, number) = line.split_once(' ').unwrap();
    last.insert(key.to_owned(), number.trim().parse().unwrap());
}

#[test]
fn every_acknowledged_write_survives_killed_members() {
    let home = tempfile::tempdir().unwrap();
    runtime().block_on(make(home.path()));
    let (sender, lines) = mpsc::channel();
    let mut last = BTreeMap::new();
    let mut from = 1;
    let mut members: BTreeMap<u64, Member> =
        (1..=MEMBERS).map(|id| (id, Member::start(home.path(), id, from, &sender))).collect();
    for round in 1..=ROUNDS {
        gather(&lines, &mut last, 1 + mix(round) % 400);
        // One at a time, two at a time (nobody can write then), or all.
        let victims: Vec<u64> = match mix(round * 7) % 4 {
            0 | 1 => vec![1 + mix(round * 3) % MEMBERS],
            2 => (1..=MEMBERS).filter(|id| *id != 1 + mix(round * 3) % MEMBERS).collect(),
            _ => (1..=MEMBERS).collect(),
        };
        for id in &victims {
            members.get_mut(id).unwrap().kill();
        }
        while let Ok(line) = lines.try_recv() {
            take_note(&mut last, &line);
        }
        if victims.len() == 1 {
            gather(&lines, &mut last, 50);
        }
        // Above whatever any writer has used.
        from += 1_000_000;
        for id in victims {
            members.insert(id, Member::start(home.path(), id, from, &sender));
        }
    }
    gather(&lines, &mut last, 200);
    for member in members.values_mut() {
        member.kill();
    }
    while let Ok(line) = lines.try_recv() {
        take_note(&mut last, &line);
    }
    runtime().block_on(check(home.path(), &last));
}

/// Compares the reopened stores with what was acknowledged.
async fn check(home: &Path, last: &BTreeMap<String, u64>) {
    let stores: Vec<_> = (1..=MEMBERS).map(|id| open(home, id)).collect();
    assert_eq!(last.len() as u64, MEMBERS * WRITERS, "every writer was acknowledged something");
    for store in &stores {
        let handle = store.handle();
        let wait = async {
            while handle.read_barrier().await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the members must go on");
        for (key, acknowledged) in last {
            let value = get(&handle, key).unwrap_or_else(|| panic!("{key} is lost"));
            let found: u64 = String::from_utf8(value).unwrap().parse().unwrap();
            assert!(found >= *acknowledged, "{key}: acknowledged {acknowledged}, found {found}");
        }
    }
}
