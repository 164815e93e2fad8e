//! Scripts: commands in a text file, each followed by what it answers.
//!
//! `UPDATE_EXPECT=1` writes the answers anew.

#![expect(clippy::unwrap_used, reason = "a script that cannot be read fails its test")]

mod line;
mod stage;
mod v2;

use std::path::Path;

use expect_test::expect_file;

/// Runs a script and compares it with itself: lines that begin with `>` are commands, comments
/// and empty lines stay, everything else is an answer.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts").join(name);
    let script = std::fs::read_to_string(&path).unwrap();
    let mut stage = stage::Stage::new();
    let mut shown = String::new();
    for line in script.lines() {
        match line.strip_prefix("> ") {
            Some(command) => {
                shown += &format!("{line}\n{}", stage.run(command));
            }
            None if line.starts_with('#') || line.is_empty() => shown += &format!("{line}\n"),
            None => {}
        }
    }
    expect_file![path].assert_eq(&shown);
}

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        })*

        #[test]
        fn every_script_is_run() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts");
            let mut found: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            let mut known = vec![$(concat!(stringify!($name), ".txt")),*];
            known.sort_unstable();
            assert_eq!(found, known);
        }
    };
}

scripts!(compaction, leases, ranges, revisions, transactions, v2_view, v2_writes, watches);
