//! Tables that change while clients ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argosy_model::HealthCheck;
use argosy_proxy::{Check, Endpoint, EndpointState, Protocol, Standing, Table};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::backend::{Backend, Reply, text};
use crate::world::{LIMIT, World, config, endpoint, table, until};

/// Starts an endpoint whose answers wait for permits.
async fn held(permits: &Arc<Semaphore>) -> Backend {
    let permits = Arc::clone(permits);
    Backend::start(move |_| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.unwrap().forget();
            text("late")
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_acknowledgement_nothing_new_comes() {
    let (a, b) = (Backend::named("a").await, Backend::named("b").await);
    let mut config = config(Protocol::Http);
    config.workers = 2;
    let world = Arc::new(World::start(config, table(1, &[a.address, b.address])));
    let stop = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut client, mut count) = (world.client().await, 0_u64);
                while stop.load(Ordering::SeqCst) == 0 {
                    assert_eq!(client.get("/").await.status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut generation = 1;
    for round in 0..40 {
        let (stays, goes) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        until("both are used", || world.endpoints().iter().all(|one| one.requests > 0)).await;
        generation += 1;
        world.follow(table(generation, &[stays.address])).await;
        // What was sent before may still run; what comes after all that is new.
        let leaving = goes.address;
        until("it has drained", || world.endpoints().iter().all(|one| one.address != leaving))
            .await;
        let (before, other) = (goes.requests(), stays.requests());
        until("others are served", || stays.requests() > other + 50).await;
        assert_eq!(goes.requests(), before, "round {round}");
        generation += 1;
        world.follow(table(generation, &[a.address, b.address])).await;
    }
    stop.store(1, Ordering::SeqCst);
    let mut sum = 0;
    for client in clients {
        sum += client.await.unwrap();
    }
    assert_eq!(world.proxy.status().listeners[0].failed, 0);
    assert!(sum > 4_000, "{sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_at_a_withdrawn_endpoint_finishes() {
    let permits = Arc::new(Semaphore::new(0));
    let (old, new) = (held(&permits).await, Backend::named("new").await);
    let world = World::http(&[old.address]);
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n").await;
    until("it runs", || old.requests() == 1).await;
    world.follow(table(2, &[new.address])).await;
    let states: Vec<_> = world.endpoints().iter().map(|one| (one.address, one.state)).collect();
    assert!(states.contains(&(old.address, EndpointState::Draining)), "{states:?}");
    assert_eq!(world.get("/").await.text(), "new");
    permits.add_permits(1);
    assert_eq!(client.answer().await.unwrap().text(), "late");
    assert_eq!(client.get("/").await.text(), "new", "the client's connection goes on");
    until("it is forgotten", || world.endpoints().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_cut() {
    let permits = Arc::new(Semaphore::new(0));
    let old = held(&permits).await;
    let mut config = config(Protocol::Http);
    config.limits.drain = Duration::from_millis(100);
    let world = World::start(config, table(1, &[old.address]));
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    until("it runs", || old.requests() == 1).await;
    world.follow(table(2, &[])).await;
    assert_eq!(client.rest().await, b"");
    until("it is forgotten", || world.endpoints().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_alone_takes_half_at_most() {
    let backends = [Backend::named("a").await, Backend::named("b").await];
    let addresses = backends.each_ref().map(|one| one.address);
    let world = World::http(&addresses);
    let expired = |address| Endpoint { standing: Standing::Expired, ..endpoint(address) };
    let services = [("web".to_owned(), addresses.map(expired).to_vec())];
    world.follow(Table { generation: 2, services: services.into(), ..Table::default() }).await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.status, 200);
    }
    assert_eq!(world.endpoints().iter().filter(|one| one.requests > 0).count(), 1);
    world.follow(table(3, &[])).await;
    assert_eq!(world.get("/").await.status, 503, "withdrawing takes all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_needs_nobody() {
    let backend = Backend::named("known").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.table");
    let mut config = config(Protocol::Http);
    config.table_path = Some(path.clone());
    let world = World::start(config.clone(), table(1, &[]));
    world.follow(table(7, &[backend.address])).await;
    until("it is stored", || Table::load(&path).unwrap() == Some(table(7, &[backend.address])))
        .await;
    world.proxy.shutdown(Duration::ZERO).await;
    // Nobody ever sends this one a table.
    let world = World::start(config, Table::default());
    drop(world.tables);
    let mut acknowledged = world.proxy.acknowledged();
    let known = acknowledged.wait_for(|generation| *generation == 7);
    tokio::time::timeout(LIMIT, known).await.unwrap().unwrap();
    let mut client = crate::world::Client::connect(world.address).await;
    assert_eq!(client.get("/").await.text(), "known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_requests_finish() {
    let permits = Arc::new(Semaphore::new(0));
    let backend = held(&permits).await;
    let world = World::http(&[backend.address]);
    let (mut busy, mut idle) = (world.client().await, world.client().await);
    busy.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    idle.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    until("both run", || backend.requests() == 2).await;
    permits.add_permits(1);
    let address = world.address;
    let shutdown = tokio::spawn(world.proxy.shutdown(LIMIT));
    permits.add_permits(1);
    for client in [busy, idle] {
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with("late"), "{rest}");
    }
    assert_eq!(shutdown.await.unwrap().cut, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_in_time() {
    let permits = Arc::new(Semaphore::new(0));
    let backend = held(&permits).await;
    let world = World::http(&[backend.address]);
    let mut busy = world.client().await;
    busy.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    until("it runs", || backend.requests() == 1).await;
    assert_eq!(world.proxy.shutdown(Duration::from_millis(50)).await.cut, 1);
    assert_eq!(busy.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_find_the_ill_and_the_mended() {
    let ill = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&ill);
    let a = Backend::start(move |request: Request<Incoming>| {
        let bad = request.uri() == "/health" && state.load(Ordering::SeqCst) == 1;
        async move {
            let mut response = Response::new(Reply::Full(None));
            if bad {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    let b = Backend::named("b").await;
    let mut config = config(Protocol::Http);
    let kind = HealthCheck::Http("/health".to_owned());
    let check = Check { interval: Duration::from_millis(10), ..Check::new(kind) };
    config.checks.insert("web".to_owned(), check);
    let world = World::start(config, table(1, &[a.address, b.address]));
    let is =
        |state| world.endpoints().iter().any(|one| one.address == a.address && one.state == state);
    assert!(is(EndpointState::Ready));
    ill.store(1, Ordering::SeqCst);
    until("it is left out", || is(EndpointState::Unhealthy)).await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.text(), "b");
    }
    ill.store(0, Ordering::SeqCst);
    until("it is back", || is(EndpointState::Ready)).await;
}
