//! What docker accepts is accepted and means the same; what it refuses is refused with a reason.

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parsed(text: &str) -> String {
    text.parse::<Reference>().unwrap().to_string()
}

fn error(text: &str) -> String {
    text.parse::<Reference>().unwrap_err().to_string()
}

#[test]
fn short_names_are_completed_as_docker_does() {
    assert_eq!(parsed("busybox"), "docker.io/library/busybox:latest");
    assert_eq!(parsed("busybox:1.36"), "docker.io/library/busybox:1.36");
    assert_eq!(parsed("user/app"), "docker.io/user/app:latest");
    assert_eq!(parsed("docker.io/busybox"), "docker.io/library/busybox:latest");
    assert_eq!(parsed("index.docker.io/busybox"), "docker.io/library/busybox:latest");
    assert_eq!(parsed("localhost/app"), "localhost/app:latest");
    assert_eq!(parsed("localhost:5000/app:v1"), "localhost:5000/app:v1");
    assert_eq!(parsed("Registry/app"), "Registry/app:latest");
    assert_eq!(parsed("127.0.0.1:5000/a/b/c"), "127.0.0.1:5000/a/b/c:latest");
    assert_eq!(parsed("[::1]:5000/app"), "[::1]:5000/app:latest");
    assert_eq!(parsed("a-b__c---d/e"), "docker.io/a-b__c---d/e:latest");
}

#[test]
fn a_digest_takes_no_default_tag_and_keeps_a_given_one() {
    let digest = format!("sha256:{HEX}");
    assert_eq!(parsed(&format!("busybox@{digest}")), format!("docker.io/library/busybox@{digest}"));
    let both: Reference = format!("busybox:1@{digest}").parse().unwrap();
    assert_eq!(both.tag(), Some("1"));
    assert_eq!(both.manifest_name(), digest);
}

#[test]
fn errors_say_what_is_wrong() {
    for (text, part) in [
        ("", "is empty"),
        ("busy box", "space"),
        ("https://quay.io/x", "leave out \"https://\""),
        ("localhost:5000/", "no repository after the registry"),
        ("BusyBox", "must be lower case; try \"library/busybox\""),
        ("user/a..b", "part \"a..b\""),
        ("user//b", "part \"\""),
        ("user/-b", "part \"-b\""),
        ("a___b", "part \"a___b\""),
        ("busybox:", "tag \"\""),
        ("busybox:-x", "tag \"-x\""),
        ("host:99999/app", "is not a host"),
        ("host..x/app", "is not a host"),
        ("[::g]/app", "is not a host"),
        ("../etc/passwd", "is not a host"),
        ("a/../b", "part \"..\""),
        ("busybox@sha256:12", "digest after \"@\""),
        ("busybox@", "digest after \"@\""),
    ] {
        assert!(error(text).contains(part), "{text:?}: {}", error(text));
    }
    assert!(error(&format!("busybox:{}", "x".repeat(129))).contains("more than 128"));
    assert!(error(&"x".repeat(250)).contains("at most 255"));
}

#[test]
fn familiar_names_are_what_people_type() {
    for (text, familiar) in [
        ("busybox", "busybox:latest"),
        ("user/app:1", "user/app:1"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        ("docker.io/library/a/b", "library/a/b:latest"),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().familiar(), familiar);
    }
}

fn part() -> impl Strategy<Value = String> {
    ("[a-z0-9]{1,6}", proptest::collection::vec(("(\\.|_|__|-{1,3})", "[a-z0-9]{1,4}"), 0..3))
        .prop_map(|(first, rest)| {
            rest.into_iter().fold(first, |text, (separator, word)| text + &separator + &word)
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_itself(
        registry in prop_oneof![
            Just(String::new()),
            Just("localhost/".to_owned()),
            "[a-z]{1,5}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?/".prop_map(String::from),
        ],
        parts in proptest::collection::vec(part(), 1..4),
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        digest in any::<bool>(),
    ) {
        let mut text = format!("{registry}{}", parts.join("/"));
        if let Some(tag) = &tag {
            text += &format!(":{tag}");
        }
        if digest {
            text += &format!("@sha256:{HEX}");
        }
        // A first part with a dot and a path behind it is a registry, whatever was meant.
        let reference: Reference = match text.parse() {
            Ok(reference) => reference,
            Err(ReferenceError::Registry { .. }) => return Ok(()),
            Err(other) => panic!("{text:?}: {other}"),
        };
        prop_assert_eq!(&reference, &reference.to_string().parse().unwrap());
        prop_assert_eq!(&reference, &reference.familiar().parse().unwrap());
        prop_assert_eq!(reference.digest().is_some(), digest);
    }

    #[test]
    fn no_text_makes_a_reference_with_a_path_trick(text in "[a-z./:@\\[\\]_A-Z-]{0,20}") {
        if let Ok(reference) = text.parse::<Reference>() {
            let name = reference.name();
            prop_assert!(name.split('/').all(|part| {
                !part.is_empty() && part != "." && part != ".." && !part.starts_with('_')
            }), "{}", name);
            prop_assert_eq!(&reference, &reference.to_string().parse().unwrap());
        }
    }
}
