//! Whole clusters: a sound one keeps every promise, and every planted defect is found.

use std::collections::BTreeSet;
use std::time::Duration;

use argosy_model::PlantedBug;
use argosy_sim::{ClusterOutcome, ClusterScenario, ClusterStats, Rule, run_cluster};

use super::listed_lines;

fn play(seed: u64, planted: Option<PlantedBug>) -> ClusterOutcome {
    run_cluster(&ClusterScenario { planted, ..ClusterScenario::of_seed(seed) })
}

#[test]
fn a_seed_always_plays_the_same() {
    for seed in [4, 5] {
        let (first, second) = (play(seed, None), play(seed, None));
        assert_eq!(first.trace_hash, second.trace_hash);
        assert_eq!(first.stats, second.stats);
        assert_ne!(first.trace_hash, play(seed + 4, None).trace_hash);
    }
}

#[test]
fn a_sound_cluster_passes_and_much_happened_to_it() {
    let mut all = ClusterStats::default();
    for seed in 0..40 {
        let outcome = play(seed, None);
        assert_eq!(outcome.violation, None, "seed {seed}");
        all.add(&outcome.stats);
    }
    for (what, happened) in [
        ("daemon crashes", all.daemon_crashes),
        ("machine crashes", all.machine_crashes),
        ("pauses", all.pauses),
        ("absences with a long grant", all.absences),
        ("stopped supervisors", all.supervisor_pauses),
        ("partitions", all.partitions),
        ("disconnected backends", all.disconnects),
        ("units ended by their fence", all.fenced),
        ("full disks", all.full_disks),
        ("images brought", all.pulled),
        ("images not brought", all.failed_pulls),
        ("lost machines", all.lost),
        ("overlapping runs", all.overlaps),
        ("exits", all.exits),
        ("unknown outcomes", all.unacknowledged),
        ("requests of clients with an unknown outcome", all.unknown),
    ] {
        assert!(happened >= 20, "only {happened} {what}");
    }
    assert!(all.started > 800 && all.acknowledged > 800, "{all:?}");
    assert!(all.answered > 5_000 && all.watched > 5_000, "{all:?}");
}

#[test]
fn many_units_beside_busy_clients_are_sound() {
    let minute = Duration::from_secs(60);
    let scenario = ClusterScenario {
        machines: 5,
        units: 50,
        all_units: true,
        clients: 8,
        pace: (Duration::ZERO, Duration::from_millis(160)),
        faults_for: minute,
        ..ClusterScenario::of_seed(1)
    };
    let ClusterOutcome { violation, stats, .. } = run_cluster(&scenario);
    assert_eq!(violation, None);
    assert!(stats.answered > 4_000 && stats.placed > 40, "{stats:?}");
}

#[test]
fn without_faults_no_machine_is_lost_and_nothing_runs_twice() {
    for seed in 0..8 {
        let scenario =
            ClusterScenario { faults_for: Duration::ZERO, ..ClusterScenario::of_seed(seed) };
        let ClusterOutcome { violation, stats, .. } = run_cluster(&scenario);
        assert_eq!(violation, None, "seed {seed}");
        assert_eq!((stats.lost, stats.overlaps), (0, 0), "seed {seed}");
    }
}

#[test]
fn every_planted_defect_is_found_by_its_seeds_and_only_with_it() {
    let mut found = BTreeSet::new();
    for line in listed_lines().filter(|line| line.contains(" cluster ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, "cluster", seed] = words[..] else { panic!("{line} is no NAME cluster SEED") };
        let bug = PlantedBug::ALL.into_iter().find(|bug| bug.as_str() == name);
        let (bug, seed) = (bug.expect("a listed name"), seed.parse().expect("a listed number"));
        let broken = play(seed, Some(bug)).violation;
        let rule = broken.map(|broken| broken.rule);
        assert!(rule.is_some_and(|rule| fits(bug).contains(&rule)), "{line}: found is {rule:?}");
        assert_eq!(play(seed, None).violation, None, "{line}: the sound cluster fails");
        found.insert(bug);
    }
    let missed = |bug: &PlantedBug| bug.is_of_cluster() && !found.contains(bug);
    let missed: Vec<_> = PlantedBug::ALL.into_iter().filter(missed).collect();
    assert_eq!(missed, [], "{found:?}");
}

/// What a defect may look like to checkers that do not know of it.
fn fits(bug: PlantedBug) -> &'static [Rule] {
    match bug {
        PlantedBug::StopOnEmptyView => &[Rule::StopNeedsWord],
        PlantedBug::RestartIgnored => &[Rule::Converges, Rule::Endpoints],
        PlantedBug::AnnouncedUnready | PlantedBug::WithdrawnLate => &[Rule::Endpoints],
        PlantedBug::StaleReport => {
            &[Rule::StartNeedsWord, Rule::Entries, Rule::PlacedAlone, Rule::RunsOnce]
        }
        PlantedBug::LostUncommitted => &[Rule::PlacedAlone, Rule::Plans],
        PlantedBug::BackUnheard => &[Rule::Liveness],
        PlantedBug::EpochKept => &[Rule::NeverOlder, Rule::RunsOnce],
        PlantedBug::ChunkUnguarded => {
            &[Rule::StaysWhereItFits, Rule::Entries, Rule::PlacedAlone, Rule::Operators]
        }
        PlantedBug::RemovalIgnored => &[Rule::Views],
        PlantedBug::ConflictOneWay => &[Rule::Plans, Rule::Conflicts],
        PlantedBug::BalanceMove | PlantedBug::EagerRepair => &[Rule::Plans, Rule::StaysWhereItFits],
        PlantedBug::UnevenLeft => &[Rule::Spread],
        PlantedBug::StartInDoubt | PlantedBug::StaleStart => {
            &[Rule::StartNeedsWord, Rule::RunsOnce, Rule::Overlap, Rule::NeverOlder]
        }
        PlantedBug::GrantWithoutRound
        | PlantedBug::GrantFromReceipt
        | PlantedBug::FenceUnwaited
        | PlantedBug::GrantUnseen
        | PlantedBug::OrderUndated
        | PlantedBug::LongUnmarked => &[Rule::Exclusive, Rule::Liveness],
        PlantedBug::ImageIgnored => &[Rule::Prepared],
        PlantedBug::ImageAwaited => &[Rule::Converges],
        PlantedBug::StandbySkipped => &[Rule::Standby],
        // Of the store, seen by its clients among all else that goes on.
        PlantedBug::ReadIndexSkipped | PlantedBug::ContextReused => &[Rule::Clients],
        PlantedBug::WatchEventLost => &[Rule::Watches],
        PlantedBug::EarlyAcknowledge => &[Rule::Store],
        PlantedBug::TornTail | PlantedBug::JointSkipped => &[],
    }
}
