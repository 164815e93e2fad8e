//! The simulator keeps its own promises: seeds mean the same for ever, a sound store passes,
//! and every planted defect is found.

mod cluster;

use std::collections::BTreeSet;
use std::time::Duration;

use argosy_model::PlantedBug;
use argosy_sim::{Members, Outcome, Scenario, Stats, Violation, run};

/// The seeds that found each planted defect: `NAME MEMBERS SEED`.
const SEEDS: &str = include_str!("../../seeds.txt");

fn play(seed: u64, members: Members, planted: Option<PlantedBug>) -> Outcome {
    run(&Scenario { members, planted, ..Scenario::of_seed(seed) })
}

#[test]
fn a_seed_always_plays_the_same() {
    for (seed, members) in [(5, Members::One), (6, Members::Three), (7, Members::Growing)] {
        let (first, second) = (play(seed, members, None), play(seed, members, None));
        assert_eq!(first.trace_hash, second.trace_hash);
        assert_eq!(first.stats, second.stats);
        assert_ne!(first.trace_hash, play(seed + 1, members, None).trace_hash);
    }
}

#[test]
fn a_sound_store_passes_and_much_happened_to_it() {
    let mut all = Stats::default();
    for seed in 0..12 {
        let outcome = run(&Scenario::of_seed(seed));
        assert_eq!(outcome.violation, None, "seed {seed}");
        all.add(&outcome.stats);
    }
    let Stats { crashes, pauses, partitions, snapshots, refusals, torn_tails, .. } = all;
    for (what, happened) in [
        ("crashes", crashes),
        ("pauses", pauses),
        ("partitions", partitions),
        ("snapshots", snapshots),
        ("refused damaged logs", refusals),
        ("torn tails", torn_tails),
        ("changes of the membership", all.changes),
        ("unknown outcomes", all.unknown),
    ] {
        assert!(happened >= 3, "only {happened} {what}");
    }
    assert!(all.answered > 10_000 && all.watched > 10_000, "{all:?}");
}

#[test]
fn without_faults_nothing_is_lost_or_unknown() {
    for members in Members::ALL {
        let scenario = Scenario { members, faults_for: Duration::ZERO, ..Scenario::of_seed(1) };
        let outcome = run(&scenario);
        assert_eq!(outcome.violation, None);
        assert_eq!((outcome.stats.crashes, outcome.stats.unknown), (0, 0));
    }
}

#[test]
fn every_planted_defect_is_found_by_its_seeds_and_only_with_it() {
    let mut found = BTreeSet::new();
    for line in listed_lines().filter(|line| !line.contains(" cluster ")) {
        let (bug, members, seed) = listed(line);
        let planted = play(seed, members, Some(bug)).violation;
        assert!(planted.is_some(), "{line}: not found");
        assert!(fits(bug, &planted.unwrap()), "{line}: found as something else");
        assert_eq!(play(seed, members, None).violation, None, "{line}: the sound store fails");
        found.insert(bug);
    }
    let of_store = |bug: &PlantedBug| !bug.is_of_cluster();
    assert_eq!(found, PlantedBug::ALL.into_iter().filter(of_store).collect());
}

fn listed_lines() -> impl Iterator<Item = &'static str> {
    SEEDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn listed(line: &str) -> (PlantedBug, Members, u64) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, members, seed] = words[..] else { panic!("{line} is no NAME MEMBERS SEED") };
    let bug = PlantedBug::ALL.into_iter().find(|bug| bug.as_str() == name);
    let members = Members::ALL.into_iter().find(|kind| kind.as_str() == members);
    let members = members.expect("listed members");
    (bug.expect("a listed name"), members, seed.parse().expect("a listed number"))
}

/// What a defect may look like to checkers that do not know of it.
fn fits(bug: PlantedBug, violation: &Violation) -> bool {
    match bug {
        // Acknowledged entries are gone: seen by whoever looks first.
        PlantedBug::EarlyAcknowledge | PlantedBug::TornTail => !matches!(
            violation,
            Violation::Watch { .. } | Violation::DidNotStart { .. } | Violation::Stuck { .. }
        ),
        PlantedBug::ReadIndexSkipped | PlantedBug::ContextReused => {
            matches!(violation, Violation::Stale { .. } | Violation::NotLinearizable { .. })
        }
        // Two parts of the store go on without each other.
        PlantedBug::JointSkipped => !matches!(
            violation,
            Violation::Watch { .. } | Violation::DidNotStart { .. } | Violation::Stuck { .. }
        ),
        PlantedBug::WatchEventLost => matches!(violation, Violation::Watch { .. }),
        _ => false,
    }
}
