//! No input panics, and what comes out always hangs together.

use argosy_model::UnitName;
use argosy_unit::{
    Checked, DIRECTIVES, QUADLET_KEYS, Severity, Siblings, Specifiers, Style, UnitFile, check,
    check_with_siblings, lower, render, translate,
};
use proptest::prelude::*;

use crate::samples::SAMPLES;

/// Checks `text` as several units and holds the results against each other.
fn holds_together(text: &str) -> Result<(), TestCaseError> {
    for name in ["a.service", "a@.service", "a-b@x\\x2d-y.service", "a.timer"] {
        let unit = UnitName::new(name).expect("it is a name");
        let Checked { spec, diagnostics } = check(name, text, &unit, &|_| true);
        let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
        prop_assert_eq!(spec.is_none(), refused);
        prop_assert!(diagnostics.len() <= 210);
        prop_assert!(diagnostics.is_sorted_by_key(|found| found.span.start));
        for found in &diagnostics {
            let before = &text[..found.span.start];
            let lines = before.replace("\r\n", "\n").replace(['\r', '\0'], "\n");
            let line = lines.matches('\n').count() + 1;
            let column = lines.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            prop_assert_eq!((found.line, found.column), (line, column), "{}", found);
            prop_assert!(text.get(found.span.clone()).is_some(), "{}", found);
            prop_assert!(!found.message.is_empty() && !found.message.ends_with('.'));
            drop(render(found, text, Style::Plain));
        }
        if let Some(spec) = spec {
            let (file, _) = UnitFile::parse(name, text);
            prop_assert_eq!(lower(&file, &unit, &Specifiers::default()).0, Some(spec));
        }
    }
    Ok(())
}

/// Checks `text` as several Quadlet files, and holds each translation against its own text.
fn translates_or_says_why(text: &str) -> Result<(), TestCaseError> {
    for name in ["a.container", "a@.container", "a-b@x.pod", "a.volume", "a.network", "a.image"] {
        let unit = UnitName::new(name).expect("it is a name");
        let mut siblings = Siblings::in_directory("/srv");
        siblings.add(&unit, text);
        siblings.add(&UnitName::new("b.volume").expect("it is a name"), "");
        let Checked { spec, diagnostics } =
            check_with_siblings(name, text, &unit, &|_| false, &siblings);
        let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
        prop_assert_eq!(spec.is_none(), refused);
        for found in &diagnostics {
            prop_assert!(text.get(found.span.clone()).is_some(), "{}", found);
            prop_assert!(!found.message.is_empty() && !found.message.ends_with('.'));
            drop(render(found, text, Style::Plain));
        }
        if refused {
            continue;
        }
        let (file, _) = UnitFile::parse(name, text);
        let (made, _) = translate(&file, &unit, &Specifiers::default(), &siblings);
        let made = made.expect("nothing is refused");
        // The supervisor gives no control groups to units yet.
        let service = made.text.replace("Delegate=yes\n", "");
        let (file, found) = UnitFile::parse("a.service", &service);
        prop_assert_eq!(found, []);
        let (mut again, found) = lower(&file, &made.spec.name, &Specifiers::default());
        if let Some(again) = &mut again {
            // That it keeps data only its own sections say.
            again.placement.keeps_data = made.spec.placement.keeps_data;
        }
        prop_assert_eq!(again, Some(made.spec), "{}\n{:#?}", service, found);
    }
    Ok(())
}

/// A key of Quadlet's own sections with any value.
fn quadlet_directive() -> impl Strategy<Value = String> {
    let keys: Vec<(&str, &str)> = QUADLET_KEYS
        .iter()
        .flat_map(|group| group.rules.iter().map(|rule| (group.section, rule.key)))
        .collect();
    let value = prop_oneof![
        "\\PC{0,12}",
        "[\"'\\\\%;=:/a-c0-9 @!+,.$-]{0,10}",
        "[a-z]{1,4}(=[a-z ]{0,3})?",
        "/[a-z%]{1,4}(:/[a-z]{1,3}(:ro|:z)?)?",
        "[0-9]{1,3}",
        Just("b.volume:/x".to_owned()),
        Just("type=bind,source=./x,target=/y".to_owned()),
        Just("yes".to_owned()),
        Just("5s".to_owned()),
        Just("10.0.0.0/8".to_owned()),
    ];
    (prop::sample::select(keys), value)
        .prop_map(|((section, key), value)| format!("[{section}]\n{key}={value}\n"))
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Change {
    Insert(usize, String),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let position = 0_usize..2000;
    prop_oneof![
        (
            position.clone(),
            prop_oneof![
                "[\\PC\n]{1,6}",
                "[\"'\\\\%;=\\[\\]\n$ @!+:-]{1,4}",
                any::<char>().prop_map(String::from),
            ]
        )
            .prop_map(|(at, text)| Change::Insert(at, text)),
        (position.clone(), 1_usize..30).prop_map(|(at, length)| Change::Remove(at, length)),
        (position, 1_usize..60).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for change in changes {
        let length = chars.len();
        let range = |at: usize, count: usize| {
            let at = at % (length + 1);
            at..(at + count).min(length)
        };
        match change {
            Change::Insert(at, new) => {
                chars.splice(range(*at, 0), new.chars());
            }
            Change::Remove(at, count) => {
                chars.drain(range(*at, *count));
            }
            Change::Repeat(at, count) => {
                let again: Vec<char> = chars[range(*at, *count)].to_vec();
                chars.extend(again);
            }
        }
    }
    chars.into_iter().collect()
}

/// A key of the table with any value.
fn directive() -> impl Strategy<Value = String> {
    let keys: Vec<(&str, &str)> = DIRECTIVES
        .iter()
        .flat_map(|group| group.rules.iter().map(|rule| (group.section, rule.key)))
        .collect();
    let value = prop_oneof![
        "\\PC{0,12}",
        "[\"'\\\\%;=:/a-c0-9 @!+-]{0,10}",
        Just("/bin/true".to_owned()),
        Just("yes".to_owned()),
        Just("5s".to_owned()),
        Just("b.service".to_owned()),
        Just("file:/x".to_owned()),
        Just("infinity".to_owned()),
    ];
    (prop::sample::select(keys), value)
        .prop_map(|((section, key), value)| format!("[{section}]\n{key}={value}\n"))
}

proptest! {
    #[test]
    fn arbitrary_text(text in "[\\s\\S]{0,60}") {
        holds_together(&text)?;
    }

    #[test]
    fn mutated_units(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        holds_together(&changed(SAMPLES[sample].1, &changes))?;
    }

    #[test]
    fn any_directive_with_any_value(directives in prop::collection::vec(directive(), 1..8)) {
        holds_together(&format!("[Service]\nExecStart=/bin/true\n{}", directives.concat()))?;
    }

    #[test]
    fn arbitrary_quadlet_files(text in "[\\s\\S]{0,60}") {
        translates_or_says_why(&text)?;
    }

    #[test]
    fn any_quadlet_key_with_any_value(
        image in any::<bool>(),
        directives in prop::collection::vec(quadlet_directive(), 1..4),
        section in prop::sample::select(vec!["Container", "Pod", "Volume", "Network", "Image"]),
        service in prop::sample::select(vec!["", "[Service]\nRestart=always\n", "[Unit]\nAfter=b.volume\n"]),
    ) {
        // All keys in one section that has them, or in their own.
        let image = if image { "Image=quay.io/a/b\n" } else { "" };
        let own = |text: &String| text.starts_with(&format!("[{section}]"));
        let directives: String =
            directives.iter().filter(|text| own(text)).map(String::as_str).collect();
        translates_or_says_why(&format!("[{section}]\n{image}{directives}{service}"))?;
    }
}
