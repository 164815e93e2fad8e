//! Which fields are taken, and how bad ones are refused.

use axum::body::Body;

use super::*;

fn parse(text: &str) -> Form {
    let mut form = Form::default();
    form.add(text.as_bytes());
    form
}

fn show(error: &Error) -> String {
    format!("{} {} {}", error.code, error.message, error.cause)
}

#[test]
fn flags_are_read_as_go_reads_them() {
    let form = parse("a=1&b=T&c=True&d=f&e=&f&g=0&g=nonsense&h=maybe");
    for (name, expected) in [("a", true), ("b", true), ("c", true), ("d", false), ("g", false)] {
        assert_eq!(form.flag(name), Ok(Some(expected)), "{name}");
    }
    assert_eq!(form.flag("none"), Ok(None));
    for name in ["e", "f", "h"] {
        let error = form.flag(name).unwrap_err();
        assert_eq!(show(&error), format!("209 Invalid field invalid value for \"{name}\""));
    }
}

#[test]
fn indexes_are_numbers_without_a_sign() {
    let form = parse("a=18446744073709551615&b=7&c=-1&d=%2B1&e=");
    assert_eq!(form.index("a"), Ok(i64::MAX));
    assert_eq!(form.index("b"), Ok(7));
    assert_eq!(form.index("none"), Ok(0));
    for name in ["c", "d", "e"] {
        assert_eq!(form.index(name).unwrap_err().code, 203, "{name}");
    }
}

#[test]
fn values_are_decoded_to_bytes() {
    let form = parse("value=a+b%20c%2B%ff&=x&b=1=2");
    assert_eq!(form.bytes("value"), Some(&b"a b c+\xff"[..]));
    assert_eq!(form.text("b").as_deref(), Some("1=2"));
}

#[tokio::test]
async fn the_body_counts_before_the_query() {
    let request = |method: &str, kind: &str| {
        Request::builder()
            .method(method)
            .uri("/v2/keys/a?value=query&ttl=1")
            .header("content-type", kind)
            .body(Body::from("value=body"))
            .unwrap()
    };
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    let form = Form::of(request("PUT", kind)).await.unwrap();
    assert_eq!((form.text("value"), form.text("ttl")), (Some("body".into()), Some("1".into())));
    for (method, kind) in [("DELETE", kind), ("PUT", "text/plain")] {
        let form = Form::of(request(method, kind)).await.unwrap();
        assert_eq!(form.text("value").as_deref(), Some("query"), "{method} {kind}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let request = Request::builder()
        .method("PUT")
        .uri("/v2/keys/a")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(vec![b'x'; 3 << 20]))
        .unwrap();
    let error = Form::of(request).await.unwrap_err();
    assert_eq!((error.code, error.message), (210, "Invalid POST form"));
}
