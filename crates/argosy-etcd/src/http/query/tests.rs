//! Which parameters are taken, and how bad ones are refused.

use super::Parameters;

fn parse(text: &[(&str, &str)]) -> Result<Parameters, String> {
    let pairs = text.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Parameters::parse(pairs).map_err(|e| format!("{} {} {}", e.code, e.message, e.cause))
}

#[test]
fn flags_are_read_as_go_reads_them() {
    let all = parse(&[("recursive", "1"), ("sorted", "T"), ("quorum", "True"), ("wait", "f")]);
    let expected = Parameters { recursive: true, sorted: true, quorum: true, wait: false };
    assert_eq!(all, Ok(expected));
    assert_eq!(parse(&[("ttl", "x")]), Ok(Parameters::default()));
    assert_eq!(parse(&[("sorted", "false"), ("sorted", "nonsense")]), Ok(Parameters::default()));
}

#[test]
fn bad_values_are_named() {
    let bad = parse(&[("recursive", "maybe")]).unwrap_err();
    assert_eq!(bad, "209 Invalid field invalid value for \"recursive\"");
    let bad = parse(&[("recursive", "maybe"), ("waitIndex", "-1")]).unwrap_err();
    let expected =
        "203 The given index in POST form is not a number invalid value for \"waitIndex\"";
    assert_eq!(bad, expected);
    assert!(parse(&[("stream", "")]).is_err());
    assert!(parse(&[("waitIndex", "18446744073709551615")]).is_ok());
}
