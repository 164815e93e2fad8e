//! Paths of keys, and what is not found.

use super::{HeaderMap, StatusCode, clean, header, not_found, percent_decode};

#[tokio::test]
async fn nobody_is_left_without_an_answer_of_their_own() {
    let mut headers = HeaderMap::new();
    assert_eq!(not_found(headers.clone()).await.status(), StatusCode::NOT_FOUND);
    headers.insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
    let answer = not_found(headers).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["grpc-status"], "12", "Unimplemented");
}

#[test]
fn paths_are_cleaned() {
    for (given, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a", "/a"),
        ("a/b/", "/a/b"),
        ("//a///b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../..", "/"),
    ] {
        assert_eq!(clean(given), expected, "{given:?}");
    }
}

#[test]
fn percent_codes_are_decoded() {
    for (given, expected) in [
        ("/a%20b", "/a b"),
        ("%C3%A4", "\u{e4}"),
        ("%2f%2F", "//"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%+1", "%+1"),
    ] {
        assert_eq!(percent_decode(given.as_bytes()), expected.as_bytes(), "{given:?}");
    }
}
