//! What is passed on and not answered: of a read nothing is left to know, of a change everything.

use argosy_api::{Connect, Connecting, ErrorBody, Stream};
use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What a server does once it has been asked.
#[derive(Clone, Copy)]
enum Server {
    /// Ends in the middle of its answer.
    CutsOff,
    /// Says nothing and holds the connection.
    Hangs,
    /// Answers with an empty list.
    Answers,
}

impl Connect for Server {
    fn connect(&self) -> Connecting<'_> {
        let server = *self;
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            assert_ne!(theirs.read(&mut request).await.unwrap(), 0);
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
            match server {
                Server::CutsOff => theirs.write_all(format!("{head}[").as_bytes()).await.unwrap(),
                Server::Answers => theirs.write_all(format!("{head}[]").as_bytes()).await.unwrap(),
                Server::Hangs => drop(theirs.read(&mut request).await),
            }
        });
        Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) })
    }

    fn name(&self) -> String {
        "the leader".to_owned()
    }
}

/// Returns the status and body of what these servers answer to a request.
async fn ask(method: Method, servers: &[Server]) -> Option<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri("/v1/units").body(()).unwrap();
    let (parts, ()) = request.into_parts();
    let answer_max = Duration::from_millis(50);
    let asked = Asked { parts, body: Bytes::new(), hops: 1, answer_max };
    let others: Vec<Client> = servers.iter().map(|it| Client::over(Arc::new(*it))).collect();
    let answer = asked.of(&others).await?;
    let status = answer.status();
    Some((status, axum::body::to_bytes(answer.into_body(), BODY_BYTES_MAX).await.unwrap()))
}

#[tokio::test]
async fn a_read_that_nobody_answers_is_left_to_what_was_last_known() {
    for server in [Server::CutsOff, Server::Hangs] {
        assert_eq!(ask(Method::GET, &[server]).await, None);
        let answer = ask(Method::GET, &[server, Server::Answers]).await;
        assert_eq!(answer, Some((StatusCode::OK, Bytes::from_static(b"[]"))));
    }
}

#[tokio::test]
async fn a_change_that_nobody_answers_may_have_been_made() {
    for server in [Server::CutsOff, Server::Hangs] {
        let (status, body) = ask(Method::POST, &[server, Server::Answers]).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let error = serde_json::from_slice::<ErrorBody>(&body).unwrap().error;
        assert!(error.help.unwrap().contains("not known"));
    }
}

#[test]
fn whoever_asks_waits_longer_than_whoever_is_asked() {
    assert!(answer_max(false, 0) > answer_max(false, 1));
    assert!(answer_max(true, 0) > Duration::from_secs(WAIT_SECONDS_MAX));
}
