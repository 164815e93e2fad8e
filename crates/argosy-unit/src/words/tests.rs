//! Words as systemd extracts them.

use super::*;

fn split(text: &str) -> Vec<String> {
    let mut words = Words::new(text, Escapes::Undo);
    let mut out = Vec::new();
    while let Some(word) = words.next_word() {
        out.push(word.unwrap().text);
    }
    out
}

#[test]
fn quotes_wrap_and_vanish() {
    assert_eq!(split(r#"a "b c" 'd "e"' ''"#), ["a", "b c", "d \"e\"", ""]);
    // systemd's extraction takes a quote inside a word, whatever the manual says.
    assert_eq!(split(r#"A="b c"d"#), ["A=b cd"]);
    assert_eq!(split("  a \t b  "), ["a", "b"]);
    assert_eq!(split(""), Vec::<String>::new());
}

#[test]
fn every_escape_of_the_manual_is_undone() {
    let all = r#"\a\b\f\n\r\t\v\\\"\'\s\x41\101\u00e4\U0001F600"#;
    assert_eq!(split(all), ["\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"' AAä😀"]);
    assert_eq!(split(r"'\x41'"), ["A"], "in quotes as well");
    assert_eq!(split(r"\xc3\xa4"), ["ä"], "bytes join to a character");
}

#[test]
fn unknown_escapes_stay_and_are_named() {
    for (text, place) in [(r"a\.b", 1..3), (r"\x4", 0..2), (r"\000", 0..2), (r"\ü", 0..3)] {
        let word = Words::new(text, Escapes::Undo).next_word().unwrap().unwrap();
        assert_eq!(word.text, text);
        assert_eq!(word.unknown_escapes, [place]);
    }
}

#[test]
fn backslashes_of_unit_names_are_kept() {
    let word = Words::new(r"dev-a\x2db.mount", Escapes::Keep).next_word().unwrap().unwrap();
    assert_eq!(word.text, r"dev-a\x2db.mount");
    assert!(word.plain && word.unknown_escapes.is_empty());
}

#[test]
fn an_open_quote_ends_everything() {
    let mut words = Words::new(r#"a "b c"#, Escapes::Undo);
    assert!(words.next_word().unwrap().is_ok());
    assert_eq!(words.next_word(), Some(Err(WordProblem::Unclosed(2..6))));
    assert_eq!(words.next_word(), None);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut words = Words::new(r"\xff b", Escapes::Undo);
    assert_eq!(words.next_word(), Some(Err(WordProblem::NotText(0..4))));
    assert_eq!(words.next_word().unwrap().unwrap().text, "b");
}

#[test]
fn a_token_is_taken_only_as_a_word_of_its_own() {
    let mut words = Words::new("; ;a ';'", Escapes::Undo);
    assert_eq!(words.take_token(";"), Some(0..1));
    assert_eq!(words.take_token(";"), None);
    assert_eq!(words.next_word().unwrap().unwrap().text, ";a");
    assert_eq!(words.take_token(";"), None, "a quoted one is a word");
}
