//! What readers of the event stream get.

use super::*;

#[test]
fn the_stream_of_a_reader_that_lags_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (calls, mut asked) = mpsc::channel(8);
    let (_end, journal_end) = watch::channel(Cursor { segment: 1, offset: 0 });
    let api = Api::new(calls, dir.path().to_owned(), journal_end);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (text, subscribed) = runtime.block_on(async {
        let supervisor = tokio::spawn(async move {
            let mut subscribed = Vec::new();
            while let Some(call) = asked.recv().await {
                let Call::Subscribe { backend, reply } = call else { panic!("another call") };
                subscribed.push(backend);
                let (sender, changes) = broadcast::channel(1);
                for unit in ["a.service", "b.service"] {
                    sender.send(LocalEvent::Gone(unit.to_owned())).unwrap();
                }
                drop(reply.send(Ok((LocalEvent::Snapshot(Vec::new()), changes))));
            }
            subscribed
        });
        let response = events(State(api), Query(EventsQuery { backend: Some(7) })).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (String::from_utf8(body.to_vec()).unwrap(), supervisor.await.unwrap())
    });
    assert_eq!(text, "{\"snapshot\":[]}\n");
    assert_eq!(subscribed, [Some(Connection(7))]);
}
