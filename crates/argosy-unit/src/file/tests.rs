//! The line rules, and that no byte is lost.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Shows every directive with the place of its key and value, then the diagnostics.
fn check(text: &str, expected: Expect) {
    let (file, diagnostics) = UnitFile::parse("a.service", text);
    assert_eq!(file.render(), text);
    let mut out = String::new();
    for directive in file.directives() {
        let Directive { section, key, key_span, value } = directive;
        assert_eq!(&text[key_span.clone()], key);
        out += &format!("[{section}] {key}={:?} {:?}\n", value.as_str(), value.full_span());
    }
    for diagnostic in diagnostics {
        out += &format!("{diagnostic}\n");
    }
    expected.assert_eq(&out);
}

#[test]
fn the_example_of_the_manual() {
    let text = "\
[Section A]
KeyOne=value 1
KeyTwo=value 2

# a comment

[Section B]
Setting=\"something\" \"some thing\" \"...\"
KeyTwo=value 2 \\
       value 2 continued

[Section C]
KeyThree=value 3\\
# this line is ignored
; this line is ignored too
       value 3 continued
";
    check(
        text,
        expect![[r#"
        [Section A] KeyOne="value 1" 19..26
        [Section A] KeyTwo="value 2" 34..41
        [Section B] Setting="\"something\" \"some thing\" \"...\"" 76..106
        [Section B] KeyTwo="value 2         value 2 continued" 114..148
        [Section C] KeyThree="value 3        value 3 continued" 171..254
    "#]],
    );
}

#[test]
fn white_space_around_keys_and_values_does_not_count() {
    check(
        "  [A]  \n\t K \t = v  w \r\nL=\nM = \\\n  x\n",
        expect![[r#"
        [A] K="v  w" 16..20
        [A] L="" 25..25
        [A] M="x" 34..35
    "#]],
    );
}

#[test]
fn lines_end_with_lf_cr_or_both_and_a_bom_is_skipped() {
    check(
        "\u{feff}[A]\rK=1\r\nL=2\n",
        expect![[r#"
        [A] K="1" 9..10
        [A] L="2" 14..15
    "#]],
    );
}

#[test]
fn an_escaped_backslash_continues_nothing() {
    check(
        "[A]\nK=a\\\\\nL=b\\\\\\\nc\n",
        expect![[r#"
        [A] K="a\\\\" 6..9
        [A] L="b\\\\ c" 12..18
    "#]],
    );
}

#[test]
fn an_empty_line_ends_a_continued_value() {
    check(
        "[A]\nK=a \\\n\nL=b\n",
        expect![[r#"
        [A] K="a" 6..7
        [A] L="b" 13..14
    "#]],
    );
    check(
        "[A]\nK=a \\",
        expect![[r#"
        [A] K="a" 6..7
    "#]],
    );
    check(
        "[A]\nK=a \\\n# end",
        expect![[r#"
        [A] K="a" 6..7
    "#]],
    );
}

#[test]
fn a_continued_value_may_hold_what_looks_like_a_header() {
    check(
        "[A]\nK=a \\\n[B]\nL=b\n",
        expect![[r#"
        [A] K="a  [B]" 6..13
        [A] L="b" 16..17
    "#]],
    );
}

#[test]
fn faulty_lines_are_named_and_the_rest_is_read() {
    check(
        "K=1\n[A\nL=2\n[A] # note\n[]\n[A]\nword\n=v\nM=3\n\0\n",
        expect![[r#"
            [A] M="3" 39..40
            a.service:1:1: error: the key stands before the first section (begin with a header such as [Unit])
            a.service:2:1: error: the section header `[A` has no closing `]` (write [A])
            a.service:4:1: error: nothing may follow the `]` of a section header (a comment needs a line of its own)
            a.service:5:1: error: `[]` is not a section name
            a.service:7:1: error: this line has no `=` (a value that goes on in the next line needs a backslash at the end of its line)
            a.service:8:1: error: there is no key before the `=`
            a.service:10:1: error: a NUL byte has no place in a unit file
        "#]],
    );
}

#[test]
fn sections_of_others_are_not_looked_at() {
    check(
        "[X-Other]\nword\n=\n[X-Fleet]\nword\n",
        expect![[r#"
        a.service:5:1: error: this line has no `=` (a value that goes on in the next line needs a backslash at the end of its line)
    "#]],
    );
}

#[test]
fn the_last_value_counts_unless_reset() {
    let (file, _) = UnitFile::parse("a", "[A]\nK=1\nK=2\nL=1\nL=\n[B]\nK=3\n");
    assert_eq!(file.last_value("A", "K"), Some("2"));
    assert_eq!(file.last_value("A", "L"), None);
    assert_eq!(file.last_value("B", "K"), Some("3"));
}

#[test]
fn a_place_in_a_continued_value_is_one_in_the_source() {
    let text = "[A]\nK=one \\\n# no\n  two\n";
    let (file, _) = UnitFile::parse("a", text);
    let directive = file.directives().next().unwrap();
    let at = directive.value.as_str().find("two").unwrap();
    assert_eq!(&text[directive.value.span(at..at + 3)], "two");
}

#[test]
fn a_file_too_long_is_refused_whole() {
    let text = "#\n".repeat(parse::FILE_BYTES_MAX / 2 + 1);
    let (file, diagnostics) = UnitFile::parse("a", &text);
    assert_eq!(file.render(), text);
    assert_eq!(diagnostics.len(), 1);
    assert!(diagnostics[0].message.contains("at most 524288"));
}

/// Text that often is nearly a unit file.
fn unit_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[Unit]\n".to_owned()),
        Just("[Service]".to_owned()),
        Just("ExecStart=".to_owned()),
        Just("\\\n".to_owned()),
        Just("# c\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{feff}".to_owned()),
        "[\\PC\n\\\\]{0,8}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_byte_is_lost(text in unit_like()) {
        let (file, _) = UnitFile::parse("a.service", &text);
        prop_assert_eq!(file.render(), &text[..]);
        let mut end = 0;
        for item in file.items() {
            prop_assert_eq!(item.span.start, end);
            prop_assert!(item.span.end > end);
            end = item.span.end;
        }
        prop_assert_eq!(end, text.len());
    }

    #[test]
    fn values_stand_where_they_say(text in unit_like()) {
        let (file, _) = UnitFile::parse("a.service", &text);
        for directive in file.directives() {
            let value = &directive.value;
            for (at, c) in value.as_str().char_indices() {
                let span = value.span(at..at + c.len_utf8());
                let source = &text[span];
                // A continuation's backslash stands where its space does.
                prop_assert!(source.starts_with(c) || (c == ' ' && source == "\\"));
            }
        }
    }
}
