//! The client and the server over a real unix socket.

#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

use argosy_api::{ApiError, Client, ClientError, ErrorCode, Peer, bind_unix, serve_unix};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::Method;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

async fn with_server(test: impl AsyncFnOnce(Client)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    // A socket file left behind by a killed server is replaced.
    drop(bind_unix(&path, 0o600).unwrap());
    let listener = bind_unix(&path, 0o600).unwrap();
    let router = Router::new()
        .route("/echo", post(async |Json(value): Json<serde_json::Value>| Json(value)))
        .route("/who", get(async |ConnectInfo(peer): ConnectInfo<Peer>| Json(peer.uid)))
        .route("/lines", get(async || "1\n2\n\n{\"a\":\n[3]}\n".replace(":\n", ":")))
        .route(
            "/refuse",
            get(async || {
                Err::<(), _>(ApiError::new(ErrorCode::NotFound, "no such unit").with_help("look"))
            }),
        );
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve_unix(listener, router, async { drop(stopped.await) }));
    test(Client::new(path)).await;
    drop(stop);
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn json_goes_there_and_back_and_the_peer_is_known() {
    with_server(async |client| {
        let sent = serde_json::json!({"a": [1, "x"]});
        let back: serde_json::Value = client.send(Method::POST, "/echo", &sent).await.unwrap();
        assert_eq!(back, sent);
        let uid: Option<u32> = client.get("/who").await.unwrap();
        assert_eq!(uid, Some(rustix::process::getuid().as_raw()));
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_cut_into_lines() {
    with_server(async |client| {
        let mut lines = client.lines("/lines").await.unwrap();
        let mut got: Vec<serde_json::Value> = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            got.push(line);
        }
        assert_eq!(got, [serde_json::json!(1), 2.into(), serde_json::json!({"a": [3]})]);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_keeps_its_code_message_and_advice() {
    with_server(async |client| {
        let Err(ClientError::Refused(error)) = client.get::<()>("/refuse").await else {
            panic!("a refusal was expected");
        };
        assert_eq!(error, ApiError::new(ErrorCode::NotFound, "no such unit").with_help("look"));
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_names_the_socket() {
    let error = Client::new("/nonexistent/api.sock").get::<()>("/x").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to /nonexistent/api.sock");
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_within_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    // The kernel takes the connections; nobody ever does.
    let _listener = UnixListener::bind(&path).unwrap();
    let client = Client::new(&path).with_limit(Duration::from_millis(20));
    let silent = [
        client.get::<()>("/x").await.unwrap_err(),
        client.send_for_nothing::<()>(Method::DELETE, "/x", None).await.unwrap_err(),
        client.lines("/x").await.err().unwrap(),
    ];
    for error in silent {
        assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
        assert!(error.to_string().contains("api.sock did not answer"), "{error}");
    }
}
