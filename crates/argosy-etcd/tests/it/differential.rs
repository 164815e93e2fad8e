//! The same seeded operations on Debian's etcd and on the server, answers compared field by
//! field. Only ids of cluster and member and raft terms may differ.

mod calls;
mod generator;
mod v2_reads;
mod v2_side;
mod v2_writes;
mod watches;

use crate::debian::Etcd;
use crate::ours::Ours;
use calls::Call;
use generator::Generator;

/// Seeds to run; each begins where the one before left both stores.
const SEEDS: std::ops::Range<u64> = 0..30;

/// Operations of one seed.
const STEPS: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_and_the_server_answer_alike() {
    let etcd = Etcd::start().await;
    let ours = Ours::start().await;
    let theirs = crate::clients::Clients::new(&etcd.endpoint);
    let mut revisions = generator::Revisions::default();
    for seed in SEEDS {
        let mut generator = Generator::new(seed);
        let mut written: Vec<Call> = Vec::new();
        for step in 0..STEPS {
            let call = generator.call(&revisions);
            let (expected, found) = tokio::join!(call.run(&theirs), call.run(&ours.clients));
            assert!(
                found == expected,
                "left is ours, right is etcd's, at seed {seed} step {step}: {call:?}\nafter {:?}\nleft  {found:?}\nright {expected:?}",
                written.iter().rev().take(3).collect::<Vec<_>>()
            );
            revisions.learn(&call, &expected);
            if call.writes() {
                written.push(call);
            }
        }
        watches::compare(seed, &mut generator, &revisions, &theirs, &ours.clients).await;
    }
    ours.end().await;
    etcd.end().await;
}
