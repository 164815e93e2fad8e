//! A proxy that is killed: its ports stay open, and who comes meanwhile is served by the next one.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::process::Signal;

use crate::machine::{ARGOSY, Machine, PATIENCE, free_port};
use crate::routing::{Hammer, ask, signal};

/// How often the proxy is killed under load.
const KILLS: usize = 10;

/// A machine whose proxy publishes one service.
fn published() -> (Machine, SocketAddr) {
    // Units of one name on one address would be given one port.
    let machine = Machine::alone();
    let address: Ipv4Addr = machine.address().parse().unwrap();
    let address = SocketAddr::from((address, free_port(address)));
    let port = address.port();
    machine.file(
        "web.service",
        &format!(
            "[Service]\nType=exec\n\
             ExecStart={ARGOSY} demo-unit --unit %n --machine m1 --port ${{PORT}}\n\
             [X-Argosy]\nEndpoint=web:auto/http\nPublish={port}\n"
        ),
    );
    machine.run(&["apply", "web.service"]).ok();
    machine.wait("an answer", |_| ask(address).is_ok());
    (machine, address)
}

/// Tells whether a process has ended, reaped or not.
fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .is_none_or(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

#[test]
fn no_connection_is_refused_while_the_proxy_is_killed_again_and_again() {
    let (machine, address) = published();
    let hammers: Vec<Hammer> = (0..3).map(|_| Hammer::begin(address)).collect();
    for _ in 0..KILLS {
        machine.kill_child("proxy-process");
        hammers.iter().for_each(|hammer| hammer.more(&machine));
    }
    let (mut asked, mut failed) = (0, Vec::new());
    for hammer in hammers {
        let (count, errors) = hammer.end();
        asked += count;
        failed.extend(errors);
    }
    eprintln!("{asked} requests, {} of them under way in a killed proxy", failed.len());
    let refused: Vec<_> = failed.iter().filter(|error| error.starts_with("connect")).collect();
    assert!(refused.is_empty(), "{} of {asked}: {:?}", refused.len(), refused[0]);
    // One client at a time has one request under way.
    assert!(failed.len() <= 3 * KILLS, "{failed:?}");
    // Whoever holds the port, it ends with the last unit that publishes it.
    machine.run(&["destroy", "web.service"]).ok();
    machine.wait("the port is closed", |_| TcpStream::connect(address).is_err());
}

#[test]
fn who_connects_while_no_proxy_runs_is_served_by_the_next() {
    let (machine, address) = published();
    // The next proxy begins with what this one has stored.
    let endpoint = format!("{}:2", machine.address());
    machine.wait("the endpoint on disk", |m| {
        let stored = fs::read(m.path("data/tables/services")).unwrap_or_default();
        stored.windows(endpoint.len()).any(|bytes| bytes == endpoint.as_bytes())
    });
    let keeper = machine.keeper_pid();
    // A keeper that is stopped starts nothing.
    signal(keeper, Signal::STOP);
    let killed = machine.kill_child("proxy-process");
    machine.wait("the end of the proxy", |_| has_ended(killed));
    let early = TcpStream::connect(address).map(|mut stream| {
        let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    });
    signal(keeper, Signal::CONT);
    let mut answer = String::new();
    early.expect("it is not refused").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("web.service"), "{answer}");
    assert_ne!(machine.child("proxy-process"), Some(killed));
}
