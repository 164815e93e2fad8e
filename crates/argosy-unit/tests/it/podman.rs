//! Quadlet files as Podman's own generator reads them: the commands, relations and service keys
//! that it makes, beside ours.
//!
//! What the generator of Podman 5.8.6 made of the cases is recorded, so that the comparison
//! needs no Podman. Where a generator of 5.8 or newer is installed it is asked anew:
//! `QUADLET_RECORD=1` then writes the record.

mod cases;
mod facts;
mod generator;

use std::collections::BTreeMap;
use std::path::PathBuf;

use argosy_model::UnitName;
use argosy_unit::{QuadletKind, Severity, Siblings, Specifiers, UnitFile, translate};

use self::cases::Case;

const RECORDED: &str = include_str!("../data/podman-5.8.6.txt");

/// Where the files of a case are said to lie.
const DIRECTORY: &str = "/units/files";

/// Random cases in the record; a live comparison has more.
const RECORDED_RANDOM: u64 = 24;
const LIVE_RANDOM: u64 = 400;

/// What a side makes of one file: the facts of the service, or that there is none.
type Outcome = BTreeMap<String, String>;

/// Translates the files of a case.
fn ours(case: &Case) -> Outcome {
    let mut siblings = Siblings::in_directory(DIRECTORY);
    let files: Vec<(UnitName, &str)> = case
        .files
        .iter()
        .map(|(name, text)| (UnitName::new(name.as_str()).expect("it names a file"), text.as_str()))
        .collect();
    for (name, text) in &files {
        siblings.add(name, text);
    }
    let mut outcome = Outcome::new();
    for (name, text) in files.iter().filter(|(name, _)| QuadletKind::of(name).is_some()) {
        let (file, mut found) = UnitFile::parse(name.as_str(), text);
        let (translated, more) = translate(&file, name, &Specifiers::default(), &siblings);
        found.extend(more);
        let refused = found.iter().any(|found| found.severity == Severity::Error);
        let made = translated.filter(|_| !refused);
        let facts = made
            .map_or("refused\n".to_owned(), |made| facts::of(made.spec.name.as_str(), &made.text));
        outcome.insert(name.to_string(), facts);
    }
    outcome
}

/// Tells how two outcomes differ; `None` if they do not.
fn difference(case: &Case, theirs: &Outcome) -> Option<String> {
    let ours = ours(case);
    let (name, _) = ours.iter().find(|(name, facts)| theirs.get(*name) != Some(*facts))?;
    let theirs = theirs.get(name).map_or("nothing\n", String::as_str);
    let only = |these: &str, those: &str, sign: &str| -> String {
        let those: Vec<&str> = those.lines().collect();
        these
            .lines()
            .filter(|line| !those.contains(line))
            .fold(String::new(), |out, line| out + sign + line + "\n")
    };
    let text = case.files.iter().find(|(file, _)| file == name).map_or("", |(_, text)| text);
    Some(format!(
        "{}: {name}\n{text}{}{}",
        case.title,
        only(theirs, &ours[name], "Podman: "),
        only(&ours[name], theirs, "  here: "),
    ))
}

fn all_cases(random: u64) -> Vec<Case> {
    let mut cases = cases::written();
    cases.extend((0..random).map(cases::random));
    cases
}

/// The recorded outcomes by title.
fn recorded() -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for block in RECORDED.split("\n=== ").skip(1) {
        let (title, rest) = block.split_once('\n').expect("the record is whole");
        let files = rest.split("--- ").skip(1).map(|file| {
            let (name, facts) = file.split_once('\n').expect("the record is whole");
            (name.to_owned(), format!("{}\n", facts.trim_end()))
        });
        outcomes.insert(title.to_owned(), files.collect());
    }
    outcomes
}

#[test]
fn what_podman_recorded_is_what_we_make() {
    let recorded = recorded();
    let cases = all_cases(RECORDED_RANDOM);
    assert_eq!(recorded.len(), cases.len(), "the record is stale: see the head of this file");
    for case in &cases {
        let theirs = recorded.get(&case.title).expect("every case is recorded");
        if let Some(difference) = difference(case, theirs) {
            panic!("{difference}");
        }
    }
}

#[test]
fn what_the_installed_podman_makes_is_what_we_make() {
    let Some(generator) = generator::Generator::find() else {
        eprintln!(
            "skipped: no generator of Podman 5.8 or newer (PODMAN_QUADLET, \
             /usr/libexec/podman/quadlet); the record of 5.8.6 is compared instead"
        );
        return;
    };
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("podman-quadlet");
    let cases = all_cases(LIVE_RANDOM);
    let outcomes: Vec<Outcome> =
        cases.iter().map(|case| generator.outcome(case, &scratch)).collect();
    let differences: Vec<String> =
        cases.iter().zip(&outcomes).filter_map(|(case, theirs)| difference(case, theirs)).collect();
    if std::env::var_os("QUADLET_RECORD").is_some() {
        let short = all_cases(RECORDED_RANDOM).len();
        generator::record(&cases[..short], &outcomes[..short]);
    }
    let shown = differences.iter().take(3).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} of {} differ\n{shown}", differences.len(), cases.len());
}

#[test]
fn every_supported_key_is_in_some_case() {
    let cases = all_cases(RECORDED_RANDOM);
    let has = |section: &str, key: &str| {
        cases.iter().flat_map(|case| &case.files).any(|(name, text)| {
            let (file, _) = UnitFile::parse(name, text);
            file.directives().any(|found| found.section == section && found.key == key)
        })
    };
    for group in argosy_unit::QUADLET_KEYS {
        for rule in group.rules {
            let compared =
                rule.support != argosy_unit::Support::Supported || has(group.section, rule.key);
            assert!(compared, "[{}] {}=", group.section, rule.key);
        }
    }
}

#[test]
fn the_page_names_every_flag_that_is_made() {
    let page = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/quadlet.md"),
    )
    .unwrap();
    let (_, page) = page.split_once("## What the engine is asked").expect("the page has a list");
    for (name, facts) in all_cases(RECORDED_RANDOM).iter().flat_map(ours) {
        for word in
            facts.lines().filter(|line| line.starts_with("Exec")).flat_map(|line| line.split('"'))
        {
            let flag = word.split('=').next().unwrap_or_default();
            // What follows the image may look like a flag, but for the space before it.
            let is_flag = flag.starts_with("--") && flag != "--flag";
            let named = page.contains(&format!("`{flag}")) || page.contains(&format!(" {flag}"));
            assert!(!is_flag || named, "{name}: {flag}");
        }
    }
}
