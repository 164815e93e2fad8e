//! Tests of the notation of published ports.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Publish {
    text.parse().unwrap()
}

#[test]
fn every_form_is_read() {
    let tcp = |address, host: Option<(u16, u16)>, container: (u16, u16)| Publish {
        address,
        host: host.map(|(first, last)| Ports { first, last }),
        container: Ports { first: container.0, last: container.1 },
        protocol: Protocol::Tcp,
    };
    let loopback = Some(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(read("80"), tcp(None, None, (80, 80)));
    assert_eq!(read("8080:80"), tcp(None, Some((8080, 8080)), (80, 80)));
    assert_eq!(read("0:80/tcp"), tcp(None, None, (80, 80)));
    assert_eq!(read(":8080:80"), tcp(None, Some((8080, 8080)), (80, 80)));
    assert_eq!(read("127.0.0.1::80"), tcp(loopback, None, (80, 80)));
    assert_eq!(read("127.0.0.1:8000-8002:80-82"), tcp(loopback, Some((8000, 8002)), (80, 82)));
    assert_eq!(read("8000-8009:80"), tcp(None, Some((8000, 8009)), (80, 80)), "the first free one");
    assert_eq!(read("[::1]:53:53"), tcp(Some("::1".parse().unwrap()), Some((53, 53)), (53, 53)));
    assert_eq!(read("53:5353/UDP").protocol, Protocol::Udp);
}

#[test]
fn what_is_wrong_is_said() {
    for text in [
        "",
        ":",
        "0",
        "80-70",
        "8080:",
        "8080:0",
        "65536",
        "+80",
        "a:80",
        "1.2.3:80:80",
        "[::1]80:80",
        "::1:80:80",
        "80/",
        "80/icmp",
        "1.2.3.4:80-:80",
    ] {
        let refused = text.parse::<Publish>();
        assert!(matches!(refused, Err(PublishError::Syntax { .. })), "{text}: {refused:?}");
    }
    let sctp = "80:80/sctp".parse::<Publish>().unwrap_err();
    assert_eq!(sctp.to_string(), "\"80:80/sctp\": sctp is not supported, tcp and udp are");
    let lengths = "8000-8005:80-82".parse::<Publish>();
    assert!(matches!(lengths, Err(PublishError::Lengths { .. })));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[0-9a-z:./\\[\\]-]{0,24}") {
        drop(text.parse::<Publish>());
    }
}
