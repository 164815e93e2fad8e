//! docs/unit-files.md says what the table says.

use std::fmt::Write as _;
use std::path::PathBuf;

use argosy_unit::{DIRECTIVES, Harmless, Support};

const BEGIN: &str =
    "<!-- the table begins: written by `UPDATE_EXPECT=1 cargo test -p argosy-unit` -->\n";
const END: &str = "<!-- the table ends -->\n";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/unit-files.md")
}

/// Writes the table as the page shows it.
fn table() -> String {
    let mut out = String::new();
    let mut previous = None;
    for group in DIRECTIVES {
        let head = (group.section, group.page);
        if previous != Some(head) {
            let page = match group.page {
                "unit-files.md" => "described above",
                page => page,
            };
            write!(out, "\n### [{}], {page}\n\n| key | | why |\n|---|---|---|\n", group.section)
                .expect("a string takes all");
            previous = Some(head);
        }
        for rule in group.rules {
            let (status, why) = match rule.support {
                Support::Supported => ("supported", String::new()),
                Support::SystemdOnly(why) => ("noted", why.to_owned()),
                Support::Refused(why) => ("refused", format!("{why}{}", harmless(rule.harmless))),
            };
            writeln!(out, "| `{}=` | {status} | {why} |", rule.key).expect("a string takes all");
        }
    }
    out
}

fn harmless(harmless: Harmless) -> String {
    match harmless {
        Harmless::Empty => String::new(),
        Harmless::False => " (`no` is accepted)".to_owned(),
        Harmless::True => " (`yes` is accepted)".to_owned(),
        Harmless::Values(values) => format!(" (`{}` is accepted)", values.join("`, `")),
    }
}

#[test]
fn the_page_holds_the_table() {
    let path = page();
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page marks where the table begins");
    let (written, after) = rest.split_once(END).expect("the page marks where the table ends");
    let expected = format!("{}\n", table());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert!(written == expected, "run UPDATE_EXPECT=1 cargo test -p argosy-unit");
    }
}
