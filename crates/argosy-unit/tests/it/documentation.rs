//! The pages say what the tables say.

use std::fmt::Write as _;
use std::path::PathBuf;

use argosy_unit::{DIRECTIVES, Harmless, QUADLET_KEYS, Support};

const BEGIN: &str =
    "<!-- the table begins: written by `UPDATE_EXPECT=1 cargo test -p argosy-unit` -->\n";
const END: &str = "<!-- the table ends -->\n";

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
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

/// Writes the table of Quadlet's keys as the page shows it.
fn quadlet_table() -> String {
    let mut out = String::new();
    for group in QUADLET_KEYS {
        write!(
            out,
            "\n### [{}]\n\n| key | | becomes, or why not |\n|---|---|---|\n",
            group.section
        )
        .expect("a string takes all");
        for rule in group.rules {
            let (status, text) = match rule.support {
                Support::Supported => ("supported", rule.form.describe()),
                Support::SystemdOnly(why) => ("noted", why.to_owned()),
                Support::Refused(why) => ("refused", format!("{why}{}", harmless(rule.harmless))),
            };
            writeln!(out, "| `{}=` | {status} | {text} |", rule.key).expect("a string takes all");
        }
    }
    out
}

#[test]
fn the_page_holds_the_table() {
    holds("unit-files.md", &table());
}

#[test]
fn the_page_on_quadlet_holds_its_table() {
    holds("quadlet.md", &quadlet_table());
}

/// Compares the table of a page, or writes it if it was asked to.
fn holds(page_name: &str, table: &str) {
    let path = page(page_name);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = text.split_once(BEGIN).expect("the page marks where the table begins");
    let (written, after) = rest.split_once(END).expect("the page marks where the table ends");
    let expected = format!("{table}\n");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}"))
            .expect("the page is ours to write");
    } else {
        assert!(written == expected, "run UPDATE_EXPECT=1 cargo test -p argosy-unit");
    }
}
