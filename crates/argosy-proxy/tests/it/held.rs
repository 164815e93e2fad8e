//! Listening sockets that outlive a proxy, held by somebody else.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use argosy_proxy::{Proxy, ProxyConfig, SocketHolder, Table};
use tokio::sync::watch;

use crate::backend::Backend;
use crate::published::{HERE, closed, table};
use crate::world::{Client, LIMIT, until};

/// Holds for all proxies of a test, one after the other.
#[derive(Debug, Default)]
struct Holder {
    held: Mutex<BTreeMap<String, OwnedFd>>,
    inherited: Mutex<BTreeMap<String, OwnedFd>>,
}

impl Holder {
    /// The proxy is gone: the next one may take over what is held.
    fn pass_on(&self) {
        let held = self.held.lock().unwrap();
        let pairs = held.iter().map(|(name, fd)| (name.clone(), fd.try_clone().unwrap()));
        *self.inherited.lock().unwrap() = pairs.collect();
    }
}

impl SocketHolder for Holder {
    fn take_over(&self, name: &str) -> Option<OwnedFd> {
        self.inherited.lock().unwrap().remove(name)
    }

    fn hold(&self, name: &str, socket: BorrowedFd<'_>) -> io::Result<()> {
        let duplicate = socket.try_clone_to_owned()?;
        self.held.lock().unwrap().insert(name.to_owned(), duplicate);
        Ok(())
    }

    fn release(&self, name: &str) -> io::Result<()> {
        self.inherited.lock().unwrap().remove(name);
        self.held.lock().unwrap().remove(name);
        Ok(())
    }

    fn release_rest(&self) -> io::Result<()> {
        let rest: Vec<String> = self.inherited.lock().unwrap().keys().cloned().collect();
        rest.iter().try_for_each(|name| self.release(name))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_taken_over_and_let_go_of_only_by_a_new_table() {
    for workers in [1, 2] {
        let web = Backend::named("web").await;
        let free = || TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap();
        let (old, new) = (free(), free());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        let holder = Arc::new(Holder::default());
        let config = ProxyConfig {
            published_at: Some(HERE),
            workers,
            table_path: Some(path.clone()),
            holder: Some(Arc::clone(&holder) as Arc<dyn SocketHolder>),
            ..ProxyConfig::default()
        };
        let start = |first: Table| {
            let (tables, followed) = watch::channel(Arc::new(first));
            (Proxy::start(config.clone(), followed).unwrap(), tables)
        };
        // It opens the second port, and is gone as if that table had never reached the disk.
        let (proxy, _) = start(table(2, Some(new.port()), "web", &web));
        assert_eq!(Client::connect(new).await.get("/").await.text(), "web");
        until("it is stored", || Table::load(&path).unwrap().is_some()).await;
        proxy.shutdown(LIMIT).await;
        table(1, Some(old.port()), "web", &web).store(&path).unwrap();
        holder.pass_on();

        let mut waits = Client::connect(new).await;
        waits.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
        let (proxy, tables) = start(Table::default());
        assert_eq!(Client::connect(old).await.get("/").await.text(), "web");
        tables.send_replace(Arc::new(table(2, Some(new.port()), "web", &web)));
        let answer = waits.answer().await.expect("who waited is served");
        assert_eq!(answer.text(), "web");
        closed(old).await;
        tables.send_replace(Arc::new(table(3, None, "web", &web)));
        closed(new).await;
        assert!(holder.held.lock().unwrap().is_empty());
        drop(proxy);
    }
}
