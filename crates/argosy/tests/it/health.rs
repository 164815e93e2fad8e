//! `HealthCheck=http:/PATH`: published when it succeeds, left out by the proxies when it fails.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::machine::{Machine, free_port};
use crate::routing::ask;

/// What a unit would be: answers with its name, and on /up as it is told.
struct Server {
    name: &'static str,
    port: u16,
    is_well: Arc<AtomicBool>,
}

impl Server {
    fn begin(name: &'static str) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_well = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_well);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head =
                    BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = head.next() else { continue };
                head.take_while(|line| !line.is_empty()).for_each(drop);
                let is_bad = first.starts_with("GET /up ") && !told.load(Ordering::Relaxed);
                let status = if is_bad { "503 Service Unavailable" } else { "200 OK" };
                let length = name.len();
                // Whoever asked may be gone.
                drop(write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{name}"
                ));
            }
        });
        Server { name, port, is_well }
    }

    fn is_well(&self, well: bool) {
        self.is_well.store(well, Ordering::Relaxed);
    }

    /// Applies a unit whose endpoint is this server.
    fn apply(&self, machine: &Machine, published: u16) {
        let file = format!("{}.service", self.name);
        let text = format!(
            "[Service]\nExecStart=/bin/sleep 1000\n\
             [X-Argosy]\nEndpoint=web:{}/http\nPublish={published}\nHealthCheck=http:/up\n",
            self.port
        );
        machine.file(&file, &text);
        machine.run(&["apply", &file]).ok();
    }
}

#[test]
fn who_is_not_well_gets_no_requests_and_why_names_the_check() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let port = free_port(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let (one, two) = (Server::begin("one"), Server::begin("two"));
    let key = |m: &Machine, name: &str| {
        m.etcdctl(&["get", "--print-value-only", &format!("/services/web/{name}")]).stdout
    };
    let why = |m: &Machine, name: &str| m.run(&["why", &format!("{name}.service")]).stdout;
    let answers = |name: &str| -> usize {
        (0..20).filter(|_| ask(address).is_ok_and(|answer| answer.ends_with(name))).count()
    };

    one.apply(&machine, port);
    let waits = format!("its health check http:/up has not succeeded at 127.0.0.1:{}", one.port);
    machine.wait("why waits", |m| why(m, "one").contains(&waits));
    assert_eq!(key(&machine, "one"), "", "it is not published");
    one.is_well(true);
    machine.wait("an answer", |_| answers("one") == 20);

    two.is_well(true);
    two.apply(&machine, port);
    machine.wait("answers of both", |_| answers("one") > 0 && answers("two") > 0);
    one.is_well(false);
    machine.wait("answers of the other alone", |_| answers("two") == 20);
    let fails = format!(
        "its health check fails: 127.0.0.1:{} answers http:/up with 503 Service Unavailable",
        one.port
    );
    machine.wait("why names the check", |m| {
        let said = why(m, "one");
        said.contains("NO routed") && said.contains(&fails)
    });
    assert!(machine.run(&["status", "one"]).stdout.contains(&fails));
    assert_ne!(key(&machine, "one"), "", "it stays published");
    one.is_well(true);
    machine.wait("answers of both again", |_| answers("one") > 0);
    machine.wait("nothing to say", |m| !why(m, "one").contains("health check"));
}

#[test]
fn the_next_daemon_takes_back_nothing_that_is_published() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let server = Server::begin("one");
    server.is_well(true);
    server.apply(&machine, free_port(Ipv4Addr::LOCALHOST));
    let revision = |m: &Machine| {
        let said = m.etcdctl(&["get", "/services/web/one", "-w", "json"]).stdout;
        let read: serde_json::Value = serde_json::from_str(&said).ok()?;
        read["kvs"][0]["create_revision"].as_i64()
    };
    let before = machine.wait_for("the endpoint", revision);
    machine.kill_child("daemon");
    machine.wait("the daemon again", |m| m.run(&["status"]).code == 0);
    // It has looked at its units by then.
    machine.file("next.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    machine.run(&["apply", "next.service"]).ok();
    machine.wait("the next unit", |m| m.run(&["is-active", "next"]).code == 0);
    assert_eq!(machine.wait_for("the endpoint", revision), before, "it was never away");
}
