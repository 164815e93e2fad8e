//! Unit texts of simulated clusters: words, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argosy_model::{
    Announce, Dependencies, ImageEngine, MetadataRequirement, OnPartition, Placement, ServiceSpec,
    UnitImage, UnitName, UnitSpec,
};
use argosy_reconcile::simulated::Behaviour;
use argosy_registry::SpecSource;

use crate::random::Random;

/// Labels of machines, and their values.
const DISKS: [&str; 2] = ["ssd", "hdd"];

/// Reads a unit's words. Never fails.
pub(super) fn spec(unit: &UnitName, text: &str) -> UnitSpec {
    let (mut placement, mut announce) = (Placement::default(), None);
    let mut images = BTreeSet::new();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "disk" => placement.metadata.push(MetadataRequirement {
                key: "disk".to_owned(),
                values: vec![value.to_owned()],
            }),
            "conflicts" => placement.conflicts.push(value.to_owned()),
            "replicas" => placement.replicas = value.parse().ok(),
            "global" => placement.global = true,
            "image" => {
                let (name, engine) = (value.to_owned(), ImageEngine::Argosy);
                images.insert(UnitImage { name, engine });
            }
            "standby" => placement.standby = value.parse().ok(),
            "fence" => placement.on_partition = OnPartition::Stop,
            "announce" => {
                let key = format!("/services/{}", unit.stem());
                announce = Some(Announce { key, port: Some(80) });
            }
            _ => {}
        }
    }
    UnitSpec {
        name: unit.clone(),
        description: None,
        dependencies: Dependencies::default(),
        service: ServiceSpec::default(),
        placement,
        announce,
        traffic: Default::default(),
        images,
        wanted_by: Vec::new(),
    }
}

/// Returns how stored texts are read.
pub(super) fn specs() -> SpecSource {
    Arc::new(|unit, text| Ok(spec(unit, text)))
}

/// Reads what a unit does.
pub(super) fn behaviour(text: &str) -> Behaviour {
    let word = |word| text.split_whitespace().any(|other| other == word);
    match () {
        () if word("fails") => Behaviour::Fails,
        () if word("slow") => Behaviour::Slow,
        () if word("ends") => Behaviour::Ends,
        () if word("waits") => Behaviour::Waits,
        () if word("broken") => Behaviour::Broken,
        () => Behaviour::Runs,
    }
}

/// Tells whether a text is of a unit that may not run twice.
pub(super) fn is_fenced(text: &str) -> bool {
    text.split_whitespace().any(|word| word == "fence")
}

/// Tells whether one of two units says that it does not go with the other.
pub(super) fn conflict(one: &UnitSpec, other: &UnitSpec) -> bool {
    let says = |by: &UnitSpec, of: &UnitSpec| {
        by.placement.conflicts.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => of.name.as_str().starts_with(prefix),
            None => of.name.as_str() == pattern,
        })
    };
    says(one, other) || says(other, one)
}

/// Returns the labels of a machine.
pub(super) fn labels(random: &mut Random, at: usize) -> BTreeMap<String, String> {
    let disk = DISKS[random.index(DISKS.len())];
    let zone = format!("z{}", at % 2);
    BTreeMap::from([("disk".to_owned(), disk.to_owned()), ("zone".to_owned(), zone)])
}

/// Draws the name of a unit.
pub(super) fn draw_name(random: &mut Random, units: u64) -> UnitName {
    match random.below(units + 2) {
        number if number < units => unit_name(number),
        number if number == units => valid("everywhere.service".to_owned()),
        _ => valid("web@.service".to_owned()),
    }
}

/// Returns the name of one of the usual units.
pub(super) fn unit_name(number: u64) -> UnitName {
    valid(format!("u{number}.service"))
}

fn valid(name: String) -> UnitName {
    UnitName::new(name).expect("names of this form are valid")
}

/// Draws a text for a unit.
pub(super) fn draw_text(random: &mut Random, name: &UnitName, units: u64) -> String {
    let mut words = vec![format!("v={}", random.below(1_000))];
    words.extend(match random.below(16) {
        0 => Some("fails".to_owned()),
        1 => Some("ends".to_owned()),
        2 => Some("broken".to_owned()),
        3..7 => Some("slow".to_owned()),
        7..9 => Some("waits".to_owned()),
        _ => None,
    });
    // A name keeps its policy: what changes while its machine is away is another matter.
    if name.as_str().bytes().map(u32::from).sum::<u32>() % 2 == 0 {
        words.push("fence".to_owned());
    }
    if random.below(2) == 0 {
        words.push("announce".to_owned());
    }
    if random.below(4) == 0 {
        words.push(format!("conflicts=u{}.service", random.below(units)));
    }
    if random.below(5) == 0 {
        words.push(format!("disk={}", DISKS[random.index(DISKS.len())]));
    }
    if name.is_template() {
        words.push(format!("replicas={}", random.below(4)));
        if random.below(3) == 0 {
            words.push("conflicts=web@*".to_owned());
        }
    }
    if name.as_str() == "everywhere.service" {
        words.push("global".to_owned());
    }
    words.join(" ")
}
