//! Values that are taken, and values that are not.

use super::*;

#[track_caller]
fn holds(check: Check, good: &[&str], bad: &[&str]) {
    let Check::Is(_, is) = check else { panic!("a function") };
    for text in good {
        assert!(is(text), "{text}");
    }
    for text in bad {
        assert!(!is(text), "{text}");
    }
}

#[test]
fn ports() {
    holds(
        PUBLISH,
        &[
            "80",
            "8080:80",
            "127.0.0.1:8080:80",
            "127.0.0.1::80",
            "[::1]:53:53/udp",
            "1-3:4-6",
            "::80",
        ],
        &[
            "",
            "http",
            "0",
            "70000",
            "1-3:4",
            "3-1",
            "80/icmp",
            "1.2.3:1:1",
            "[::1]",
            ":80",
            "+80",
            "a:b:c:d",
        ],
    );
    holds(EXPOSE, &["50", "50-59", "53/udp"], &["", "59-50", "x", "1:2"]);
}

#[test]
fn addresses() {
    holds(SUBNET, &["10.0.0.0/8", "fd00::/64"], &["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/+8"]);
    holds(IP_RANGE, &["10.0.0.0/24", "10.0.0.1-10.0.0.9"], &["10.0.0.1", "a-b"]);
    holds(
        HOST_ADDRESS,
        &["db:10.0.0.1", "a;b:10.0.0.1", "six:fd00::1", "six:[fd00::1]", "gw:host-gateway"],
        &["db", "db:", ":10.0.0.1", "a b:10.0.0.1", "db:host"],
    );
    holds(HOST, &["web", "web.example.com"], &["-web", "we b", ".web"]);
    holds(DNS, &["1.1.1.1", "fd00::1", "none"], &["dns.example"]);
}

#[test]
fn amounts() {
    holds(
        SIZE,
        &["10", "10b", "20g", "512M", "1.5GiB", "64mb"],
        &["", "g", "ten", "-1", "1z", "1e"],
    );
    holds(SPAN, &["30", "5s", "1m30s", "1.5h", "100ms"], &["", "s", "5 s", "5x", "1m30"]);
    holds(PIDS, &["-1", "0", "100"], &["", "-2", "many"]);
    holds(
        ULIMIT,
        &["nofile=1:2", "nofile=1", "core=-1", "host"],
        &["nofile", "nofile=", "=1", "NOFILE=1"],
    );
}

#[test]
fn names_and_modes() {
    holds(NAME, &["a", "A_b.c-1"], &["", "-a", "a b", "a/b", ".a"]);
    holds(CAPABILITY, &["CAP_KILL", "kill", "Net_Admin", "ALL"], &["", "CAP_", "CAP_KILLS"]);
    assert!(CAPABILITIES.is_sorted());
    holds(
        USERNS,
        &[
            "auto",
            "auto:size=1",
            "keep-id:uid=1,gid=2",
            "host",
            "nomap",
            "private",
            "ns:/x",
            "container:a",
        ],
        &["", "host:1", "ns", "ns:", "own", "auto:"],
    );
    holds(ID_MAP, &["0:1:2", "0:1", "+0:@1:2"], &["0", "a:b:c", "0:1:2:3"]);
    holds(INTERFACE, &["br7"], &["", "a-name-that-is-too-long"]);
    holds(SECCOMP, &["unconfined", "/etc/s.json"], &["s.json", ""]);
    holds(PATH_AND_OPTIONS, &["/tmp", "/tmp:rw,size=1m"], &["tmp", "../tmp", ""]);
    holds(PAIR, &["a=b", "a="], &["a", "=b"]);
}
