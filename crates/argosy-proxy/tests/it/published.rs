//! Ports that tables publish: opened, led elsewhere and closed without a restart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use argosy_proxy::{Protocol, Proxy, ProxyConfig, Published, Table};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::world::{Client, LIMIT, endpoint, until};

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn table(generation: u64, port: Option<u16>, service: &str, backend: &Backend) -> Table {
    let services = [(service.to_owned(), vec![endpoint(backend.address)])].into();
    let published = port.map(|port| {
        let (protocol, service) = (Protocol::Http, service.to_owned());
        Published { port, protocol, service }
    });
    Table { generation, services, published: published.into_iter().collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_ports_follow_the_table() {
    let (web, api) = (Backend::named("web").await, Backend::named("api").await);
    let taken = TcpListener::bind((HERE, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let port = Some(address.port());
    let directory = tempfile::tempdir().unwrap();
    let config = ProxyConfig {
        published_at: Some(HERE),
        workers: 2,
        table_path: Some(directory.path().join("table")),
        ..ProxyConfig::default()
    };
    let (tables, followed) = watch::channel(Arc::new(table(1, port, "web", &web)));
    let proxy = Proxy::start(config.clone(), followed).unwrap();
    // Somebody else has the port; when it is free the proxy takes it.
    assert_eq!(proxy.unopened().borrow().len(), 1);
    drop(taken);
    let mut unopened = proxy.unopened();
    let opened = unopened.wait_for(|problems| problems.is_empty());
    tokio::time::timeout(LIMIT, opened).await.unwrap().unwrap();
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.text(), "web");
    // The port leads to another service: who is connected is told to come again.
    tables.send_replace(Arc::new(table(2, port, "api", &api)));
    until("the port leads elsewhere", || {
        proxy.status().listeners.iter().any(|listener| listener.service == "api")
    })
    .await;
    assert!(client.answer().await.is_none(), "the connection is closed");
    assert_eq!(Client::connect(address).await.get("/").await.text(), "api");
    until("it is stored", || {
        let stored = Table::load(&directory.path().join("table"));
        stored.unwrap().is_some_and(|table| table.generation == 2)
    })
    .await;
    // One that starts alone listens where the stored table says.
    proxy.shutdown(LIMIT).await;
    let (tables, followed) = watch::channel(Arc::new(Table::default()));
    let proxy = Proxy::start(config, followed).unwrap();
    assert_eq!(Client::connect(address).await.get("/").await.text(), "api");
    tables.send_replace(Arc::new(table(3, None, "api", &api)));
    closed(address).await;
    drop(proxy);
}

pub(crate) async fn closed(address: SocketAddr) {
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    assert!(tokio::time::timeout(LIMIT, refused).await.is_ok(), "it still listens");
}
