//! Environment files, as systemd reads them.

use super::parse_file;

fn parsed(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    parse_file(text, |name, value| all.push((name, value)));
    all
}

fn check(text: &str, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(parsed(text), expected, "{text:?}");
}

#[test]
fn plain_lines_and_comments() {
    check(
        "A=1\n# B=2\n; C=3\n\n  D=four five  \nE=\n",
        &[("A", "1"), ("D", "four five"), ("E", "")],
    );
    check("no assignment\nA=1", &[("A", "1")]);
}

#[test]
fn quotes_keep_what_is_in_them() {
    check("A=\" x \"\nB='a\"b'\nC=\"a'b\\\"c\"\n", &[("A", " x "), ("B", "a\"b"), ("C", "a'b\"c")]);
    check("A='two\nlines'\nB=1", &[("A", "two\nlines"), ("B", "1")]);
    check("A=\"keep \\n\"", &[("A", "keep \\n")]);
}

#[test]
fn a_backslash_joins_lines() {
    check("A=one\\\ntwo\nB=3", &[("A", "onetwo"), ("B", "3")]);
}
