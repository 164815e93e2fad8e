//! Heads as clients send them, and as endpoints get them.

use http::Request;

use super::*;

/// Returns the head that is sent on, as text, or why it is refused.
fn sent_on(target: &str, fields: &[(&str, &str)], trusted: bool) -> Result<String, Refused> {
    let method = if target.contains("/") || target == "*" { "GET" } else { "CONNECT" };
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut head = request.body(()).unwrap().into_parts().0;
    let client = Client { address: HeaderValue::from_static("192.0.2.1"), trusted };
    prepare(&mut head, &client, "web")?;
    let mut lines: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    Ok(format!("{} {}\n{}", head.method, head.uri, lines.join("\n")))
}

#[test]
fn a_plain_request() {
    let sent = sent_on("/a?b", &[("host", "web.example"), ("accept", "*/*")], false);
    let expected = "GET /a?b\naccept: */*\nhost: web.example\nx-forwarded-for: 192.0.2.1\n\
                    x-forwarded-host: web.example\nx-forwarded-proto: http";
    assert_eq!(sent.unwrap(), expected);
}

#[test]
fn fields_of_one_connection_are_dropped() {
    let fields = [
        ("host", "w"),
        ("connection", "close, X-Private , host, content-length"),
        ("connection", "x-other"),
        ("x-private", "1"),
        ("x-other", "1"),
        ("content-length", "5"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "secret"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
    ];
    let sent = sent_on("/", &fields, false).unwrap();
    let names: Vec<&str> = sent.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        ["content-length", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
    );
}

#[test]
fn forged_origins_are_replaced_and_those_of_a_trusted_proxy_kept() {
    let fields = [
        ("host", "w"),
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=10.9.9.9"),
    ];
    let sent = sent_on("/", &fields, false).unwrap();
    assert!(
        !sent.contains("10.9.9.9") && sent.contains("x-forwarded-proto: http\n")
            || sent.ends_with("http"),
        "{sent}"
    );
    let sent = sent_on("/", &fields, true).unwrap();
    assert!(sent.contains("x-forwarded-for: 10.9.9.9\nx-forwarded-for: 192.0.2.1"), "{sent}");
    assert!(sent.contains("x-forwarded-proto: https"), "{sent}");
}

#[test]
fn a_whole_uri_becomes_a_path_and_names_the_host() {
    let sent = sent_on("http://real.example:81/a", &[("host", "other")], false).unwrap();
    assert!(sent.starts_with("GET /a\nhost: real.example:81\n"), "{sent}");
    let sent = sent_on("http://real.example", &[("host", "other")], false);
    assert!(sent.unwrap().starts_with("GET /\n"));
}

#[test]
fn ambiguous_heads_are_refused() {
    let refused = |target, fields: &[(&str, &str)]| sent_on(target, fields, false).unwrap_err();
    assert_eq!(refused("/", &[]), Refused::NoHost);
    assert_eq!(refused("/", &[("host", "a"), ("host", "a")]), Refused::SeveralHosts);
    for host in ["a, b", "a/b", "user@a", "a b"] {
        assert_eq!(refused("/", &[("host", host)]), Refused::BadHost, "{host}");
    }
    assert_eq!(refused("http://user@a/", &[("host", "a")]), Refused::BadHost);
    assert_eq!(refused("ftp://a/", &[("host", "a")]), Refused::Target);
    assert_eq!(refused("a:443", &[("host", "a")]), Refused::Connect);
    for coding in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
        let fields = [("host", "a"), ("transfer-encoding", coding)];
        assert_eq!(refused("/", &fields), Refused::TransferCoding, "{coding}");
    }
}

#[test]
fn only_websockets_are_upgrades() {
    let wants = |upgrade: &str, connection: &str| {
        let request = Request::get("/").header("upgrade", upgrade).header("connection", connection);
        wants_websocket(&request.body(()).unwrap().into_parts().0)
    };
    assert!(wants("WebSocket", "keep-alive, Upgrade"));
    assert!(!wants("websocket", "keep-alive"));
    assert!(!wants("h2c", "upgrade"));
    assert!(!wants("h2c, websocket", "upgrade"));
}
