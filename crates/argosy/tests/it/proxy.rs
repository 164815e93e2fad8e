//! `argosy proxy` follows the store: traffic goes where the keys say, without a reload.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use crate::machine::Machine;

/// Answers every request with its own name, for as long as the test runs.
fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, name));
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    loop {
        // A request without a body ends at the empty line; a health check may just hang up.
        let mut empty = false;
        for line in lines.by_ref() {
            match line {
                Ok(line) if line.is_empty() => {
                    empty = true;
                    break;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if !empty || stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn proxy(machine: &Machine, port: u16) -> Proxy {
    let store = format!("http://127.0.0.1:{}", machine.store_port);
    let listen = format!("127.0.0.1:{port}=/services/web/");
    let child = machine
        .command(&["proxy", "--http", &listen, "--store", &store])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Proxy(child)
}

#[test]
fn traffic_follows_the_keys() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let (one, two) = (backend("one"), backend("two"));
    let put = |key: &str, address: SocketAddr| {
        machine.etcdctl(&["put", &format!("/services/web/{key}"), &address.to_string()]).ok();
    };
    put("1", one);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _proxy = proxy(&machine, port);
    let ask = |m: &Machine| m.curl(port, "/").stdout;
    machine.wait("an answer through the proxy", |m| ask(m) == "one");

    put("2", two);
    machine.wait("the second endpoint", |m| ask(m) == "two");
    machine.etcdctl(&["del", "/services/web/1"]).ok();
    machine.wait("the end of the first", |m| (0..10).all(|_| ask(m) == "two"));

    // The store goes away; the proxy goes on with what it knows.
    machine.kill_child("daemon");
    assert_eq!(ask(&machine), "two");
    machine.wait("the store again", |m| m.etcdctl(&["get", "/services/web/2"]).code == 0);
    put("2", one);
    machine.wait("a change after the store came back", |m| ask(m) == "one");
}

#[test]
fn a_bad_listener_is_refused() {
    let machine = Machine::new();
    let ran = machine.run(&["proxy", "--http", "8080"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("ADDRESS:PORT=PREFIX"), "{}", ran.stderr);
    assert_eq!(machine.run(&["proxy"]).code, 64);
}
