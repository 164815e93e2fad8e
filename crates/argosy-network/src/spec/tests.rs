//! Tests of names and options.

use super::*;

#[test]
fn options_are_read_and_unknown_ones_refused_by_name() {
    let read = |pairs: &[(&str, &str)]| {
        options(
            &pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
    };
    let plain = read(&[]).unwrap();
    assert_eq!(plain, Options { interface: None, mtu: None, isolate: true });
    let all = read(&[
        ("com.docker.network.bridge.name", "br7"),
        ("com.docker.network.driver.mtu", "1400"),
        ("isolate", "false"),
    ]);
    let wanted = Options { interface: Some("br7".to_owned()), mtu: Some(1400), isolate: false };
    assert_eq!(all.unwrap(), wanted);
    for (key, value) in [("mtu", "67"), ("mtu", "65536"), ("mtu", ""), ("isolate", "yes")] {
        assert!(matches!(read(&[(key, value)]), Err(NetworkError::BadOption { .. })), "{value}");
    }
    let unknown = read(&[("vlan", "4")]).unwrap_err();
    assert_eq!(unknown.to_string(), "a network has no option \"vlan\"; it has mtu and isolate");
}

#[test]
fn names_are_plain() {
    for name in ["web", "a", "Front-end_2.x"] {
        check_name(name).unwrap();
    }
    for name in ["", ".web", "../x", "a/b", "host", "none", "a b", "ü", &"x".repeat(65)] {
        check_name(name).unwrap_err();
    }
    check_interface("fifteen-letters").unwrap();
    for name in ["", "sixteen--letters", "a/b", "-x", "a%d"] {
        check_interface(name).unwrap_err();
    }
}

#[test]
fn a_mac_is_read_as_it_is_written() {
    let mac = Mac::of(Ipv4Addr::new(10, 88, 0, 200));
    assert_eq!(mac.to_string(), "02:61:0a:58:00:c8");
    assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
    for text in [
        "",
        "02:61:0a:58:00",
        "02:61:0a:58:00:c8:01",
        "01:00:5e:00:00:01",
        "2:61:a:58:0:c",
        "+2:61:0a:58:00:c8",
        "00:00:00:00:00:00",
    ] {
        text.parse::<Mac>().unwrap_err();
    }
}
