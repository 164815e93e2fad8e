//! A proxy for one service, its tables, and plain clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::{Epoch, MachineId};
use argosy_proxy::{
    Endpoint, EndpointStatus, ListenerConfig, Protocol, Proxy, ProxyConfig, Standing, Table,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Nothing here takes this long; it only ends a test that hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A proxy and the sender of its tables.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) tables: watch::Sender<Arc<Table>>,
    pub(crate) address: SocketAddr,
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        instance: format!("web@{}", address.port()),
        machine: MachineId(1),
        epoch: Epoch { incarnation: 1, counter: 1 },
        address,
        zone: String::new(),
        check: None,
        standing: Standing::Held,
    }
}

pub(crate) fn table(generation: u64, addresses: &[SocketAddr]) -> Table {
    let endpoints = addresses.iter().map(|&address| endpoint(address)).collect();
    Table { generation, services: [("web".to_owned(), endpoints)].into(), ..Table::default() }
}

pub(crate) fn config(protocol: Protocol) -> ProxyConfig {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let service = "web".to_owned();
    ProxyConfig {
        listeners: vec![ListenerConfig { address, protocol, service }],
        ..ProxyConfig::default()
    }
}

impl World {
    pub(crate) fn http(addresses: &[SocketAddr]) -> World {
        World::start(config(Protocol::Http), table(1, addresses))
    }

    pub(crate) fn tcp(addresses: &[SocketAddr]) -> World {
        World::start(config(Protocol::Tcp), table(1, addresses))
    }

    pub(crate) fn start(config: ProxyConfig, table: Table) -> World {
        let (tables, followed) = watch::channel(Arc::new(table));
        let proxy = Proxy::start(config, followed).unwrap();
        let address = proxy.addresses()[0];
        World { proxy, tables, address }
    }

    /// Sends a table and waits until the proxy has acknowledged it.
    pub(crate) async fn follow(&self, table: Table) {
        let generation = table.generation;
        self.tables.send_replace(Arc::new(table));
        let mut acknowledged = self.proxy.acknowledged();
        let reached = acknowledged.wait_for(|reached| *reached >= generation);
        tokio::time::timeout(LIMIT, reached).await.unwrap().unwrap();
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client().await.get(path).await
    }

    pub(crate) fn endpoints(&self) -> Vec<EndpointStatus> {
        self.proxy.status().services[0].endpoints.clone()
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "never: {what}");
}

/// A client that writes and reads bytes as it is told.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, read: Vec::new() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n")).await;
        self.answer().await.unwrap()
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads one response that has a length, or none; none if the connection ends before.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let empty = method == "HEAD" || status == 204 || status == 304 || status == 101;
        let length: usize = if empty { 0 } else { length.map_or(0, |text| text.parse().unwrap()) };
        while self.read.len() < length {
            self.more().await?;
        }
        Some(Answer { status, head, body: self.read.drain(..length).collect() })
    }

    /// Reads what comes until the other side ends.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while self.more().await.is_some() {}
        self.read
    }

    /// Reads some bytes.
    pub(crate) async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.read.is_empty() {
            self.more().await?;
        }
        Some(std::mem::take(&mut self.read))
    }

    async fn more(&mut self) -> Option<()> {
        let reading = self.stream.read_buf(&mut self.read);
        match tokio::time::timeout(LIMIT, reading).await.unwrap() {
            Ok(count) if count > 0 => Some(()),
            _ => None,
        }
    }
}
