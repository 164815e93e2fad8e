//! Values as systemd 252 reads them (time spans: `systemd-analyze timespan`).

use proptest::prelude::*;

use super::*;

#[test]
fn booleans() {
    for yes in ["1", "yes", "Y", "true", "t", "on", "ON"] {
        assert_eq!(boolean(yes), Some(true), "{yes}");
    }
    for no in ["0", "no", "N", "false", "f", "Off"] {
        assert_eq!(boolean(no), Some(false), "{no}");
    }
    for neither in ["", "2", "ja", "yes "] {
        assert_eq!(boolean(neither), None, "{neither}");
    }
}

#[test]
fn time_spans_as_systemd_analyze_prints_them() {
    for (text, micros) in [
        ("5", 5_000_000),
        ("5 10", 15_000_000),
        ("+5", 5_000_000),
        (".5", 500_000),
        ("12.34 .56", 12_900_000),
        ("1y 12month", 63_115_200_000_000),
        ("1µs", 1),
        ("1μs", 1),
        ("3M", 7_889_400_000_000),
        ("2 h", 7_200_000_000),
        ("2hours", 7_200_000_000),
        ("48hr", 172_800_000_000),
        ("55s500ms", 55_500_000),
        ("300ms20s 5day", 432_020_300_000),
        ("1min 30s", 90_000_000),
        ("0", 0),
        ("1.5m", 90_000_000),
    ] {
        assert_eq!(time_span(text), Some(TimeSpan::Micros(micros)), "{text}");
    }
    assert_eq!(time_span(" infinity "), Some(TimeSpan::Infinity));
    for bad in ["", "5.", "12.34.56", "5 s s", "0x5", "-1", "5foo", "infinity 1", "1.-1", "s"] {
        assert_eq!(time_span(bad), None, "{bad}");
    }
    assert_eq!(time_span("18446744073709551615us"), None);
    assert_eq!(time_span("99999999999999999999"), None);
}

#[test]
fn numbers_and_modes() {
    assert_eq!(unsigned("10"), Some(10));
    assert_eq!(unsigned("0x10"), Some(16));
    assert_eq!(unsigned("010"), Some(8));
    assert_eq!(unsigned("0"), Some(0));
    assert_eq!(unsigned("0b11"), Some(3));
    for bad in ["", "+1", "-1", "4294967296", "1a", "0x", "0x+1"] {
        assert_eq!(unsigned(bad), None, "{bad}");
    }
    assert_eq!(mode("0022"), Some(0o022));
    assert_eq!(mode("7777"), Some(0o7777));
    assert_eq!(mode("10000"), None);
    assert_eq!(mode("8"), None);
    assert_eq!(mode("+7"), None);
    assert_eq!(mode(""), None);
}

#[test]
fn names_of_users_and_variables() {
    for good in ["root", "0", "www-data", "Ätna", "a.b", "_x", "user$"] {
        assert!(is_user_or_group(good), "{good}");
    }
    for bad in
        ["00", "65535", "4294967295", "99999999999", "a:b", "a/b", ".", "..", " a", "-5", "a\nb"]
    {
        assert!(!is_user_or_group(bad), "{bad}");
    }
    assert_eq!(assignment("A_1=b=c\td"), Some(("A_1", "b=c\td")));
    for bad in ["A", "1A=b", "=b", "A-B=c"] {
        assert_eq!(assignment(bad), None, "{bad}");
    }
}

#[test]
fn paths() {
    assert!(is_absolute_path("/a/./b//c"));
    for bad in ["a", "", "/a\nb"] {
        assert!(!is_absolute_path(bad), "{bad:?}");
    }
    assert!(is_absolute_path("/a/../b") && !is_normal_path("/a/../b"));
    assert!(is_normal_path("/a/..b"));
    assert!(!is_absolute_path(&format!("/{}", "a".repeat(256))));
    assert!(!is_absolute_path(&"/a".repeat(2048)));
    assert_eq!(simple_path("//a/./b//"), "/a/b");
    assert_eq!(simple_path("/"), "/");
    assert_eq!(simple_path("name"), "name");
}

#[test]
fn base64_of_the_rfc() {
    for (text, plain) in [
        ("", ""),
        ("Zg==", "f"),
        ("Zm8=", "fo"),
        ("Zm9v", "foo"),
        ("Zm9v YmE=", "fooba"),
        ("Zm9vYmFy", "foobar"),
    ] {
        assert_eq!(base64(text).as_deref(), Some(plain.as_bytes()), "{text}");
    }
    for bad in ["Z", "Zg", "Zg=", "Zg=a", "====", "Zm9-"] {
        assert_eq!(base64(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn a_span_written_in_parts_is_their_sum(h in 0_u64..1000, min in 0_u64..1000, ms in 0_u64..1000) {
        let expected = TimeSpan::Micros(h * HOUR + min * MINUTE + ms * 1000);
        prop_assert_eq!(time_span(&format!("{h}h{min}min {ms}ms")), Some(expected));
    }

    #[test]
    fn no_value_panics(text in "\\PC{0,20}") {
        drop((time_span(&text), boolean(&text), unsigned(&text), mode(&text), base64(&text)));
        let _checked = (is_user_or_group(&text), assignment(&text), is_absolute_path(&text));
    }
}
