//! Places and drawing.

use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn found(source: &str, span: Range<usize>) -> Diagnostic {
    let mut sink = Sink::new("a.service", source);
    sink.error(span, Problem::new("it is wrong").label("here").help("right it"));
    sink.finish().remove(0)
}

#[test]
fn lines_and_columns_count_from_one_in_characters() {
    for (source, at, expected) in [
        ("", 0, (1, 1)),
        ("a\nb", 2, (2, 1)),
        ("a\r\nb", 3, (2, 1)),
        ("a\rb", 2, (2, 1)),
        ("äö", 4, (1, 3)),
        ("a\n\nb", 99, (3, 2)),
    ] {
        assert_eq!(position(source, at), expected, "{source:?} {at}");
    }
}

#[test]
fn styles() {
    let source = "[A]\nKey=välue\n";
    let diagnostic = found(source, 8..14);
    expect![[r#"
        error: it is wrong
         --> a.service:2:5
          |
        2 | Key=välue
          |     ^^^^^ here
          |
          = help: right it"#]]
    .assert_eq(&render(&diagnostic, source, Style::Plain));
    expect!["a.service:2:5: error: it is wrong (right it)"].assert_eq(&render(
        &diagnostic,
        source,
        Style::Line,
    ));
    let coloured = render(&diagnostic, source, Style::Coloured);
    assert!(coloured.contains("\u{1b}[") && coloured.contains("välue"));
}

#[test]
fn an_empty_span_at_the_end_is_drawn() {
    expect![[r#"
        error: it is wrong
         --> a.service:1:1
          |
        1 |
          | ^ here
          |
          = help: right it"#]]
    .assert_eq(&render(&found("", 0..0), "", Style::Plain));
    expect![[r#"
        error: it is wrong
         --> a.service:1:3
          |
        1 | A=
          |   ^ here
          |
          = help: right it"#]]
    .assert_eq(&render(&found("A=", 2..2), "A=", Style::Plain));
    let several_lines = "A=b \\\n  c\n";
    expect![[r#"
        error: it is wrong
         --> a.service:1:3
          |
        1 | A=b \
          |   ^^^ here
          |
          = help: right it"#]]
    .assert_eq(&render(&found(several_lines, 2..9), several_lines, Style::Plain));
}

proptest! {
    #[test]
    fn drawing_never_panics(source in "\\PC{0,20}|[\\s\\S]{0,20}", start in 0_usize..30, length in 0_usize..30) {
        let diagnostic = found(&source, start..start + length);
        for style in [Style::Plain, Style::Coloured, Style::Line] {
            prop_assert!(render(&diagnostic, &source, style).contains("it is wrong"));
        }
    }
}
