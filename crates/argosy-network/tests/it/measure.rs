//! Figures for the record; asked for by name, since they are true of a quiet machine only.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::machine::{Machine, Net, Wanted, interfaces, until};
use crate::talk::{A, address, look_up, look_up_by_connection, serve};

const BYTES: usize = 1 << 30;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Megabytes a second from the calling thread's namespace to a sink.
fn throughput(sink: TcpListener, to: std::net::SocketAddr) -> f64 {
    let taker = std::thread::spawn(move || {
        let (mut client, _) = sink.accept().unwrap();
        let mut bytes = vec![0; 1 << 18];
        while client.read(&mut bytes).unwrap() > 0 {}
    });
    let bytes = vec![7; 1 << 18];
    let begin = Instant::now();
    let mut stream = TcpStream::connect(to).unwrap();
    for _ in 0..BYTES / bytes.len() {
        stream.write_all(&bytes).unwrap();
    }
    drop(stream);
    taker.join().unwrap();
    BYTES as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

#[test]
#[ignore = "takes a quiet machine"]
fn figures() {
    let machine = Machine::new();
    let client = machine.neighbour();
    let start = |name: &str, publish: &[&str]| {
        machine.start(Wanted { name, networks: &["bridge"], publish, ..Wanted::default() }).unwrap()
    };
    let web = start("web", &["8080:80"]);
    let sink = || web.net.run(|| TcpListener::bind(address([0; 4], 80))).unwrap();
    let by_name = |what: &str, megabytes: f64| println!("{what}: {megabytes:.0} MB/s");
    let listener = sink();
    let to = address([192, 0, 2, 1], 8080);
    by_name("another machine to a published port", client.run(move || throughput(listener, to)));
    by_name("the machine by its address", throughput(sink(), to));
    by_name("the machine by 127.0.0.1, carried", throughput(sink(), address([127, 0, 0, 1], 8080)));
    let other = start("other", &[]);
    let (listener, to) = (sink(), address(web.address(), 80));
    by_name("container to container", other.net.run(move || throughput(listener, to)));
    let asked = web.net.run(|| {
        (0..2000)
            .map(|_| {
                let begin = Instant::now();
                look_up("other", A);
                begin.elapsed()
            })
            .collect()
    });
    println!("a name by datagram: {:?}", median(asked));
    let asked = web.net.run(|| {
        (0..500)
            .map(|_| {
                let begin = Instant::now();
                look_up_by_connection(&["other"]);
                begin.elapsed()
            })
            .collect()
    });
    println!("a name by connection: {:?}", median(asked));
    drop(other);
    let mut times = (Vec::new(), Vec::new());
    for number in 0..40 {
        let name = format!("c{number}");
        let net = Net::new();
        let begin = Instant::now();
        let container = machine
            .start(Wanted {
                name: &name,
                networks: &["bridge"],
                inside: Some(net),
                ..Wanted::default()
            })
            .unwrap();
        times.0.push(begin.elapsed());
        machine.networks.release(&container.id).unwrap();
        let begin = Instant::now();
        container.end(Signal::KILL);
        times.1.push(begin.elapsed());
    }
    println!("reservation to ready: {:?}, killed to gone: {:?}", median(times.0), median(times.1));
    web.net.run(|| serve(([0; 4], 80)));
    let connect = || {
        client.run(|| {
            let to = address([192, 0, 2, 1], 8080);
            median(
                (0..1000)
                    .map(|_| {
                        let begin = Instant::now();
                        drop(TcpStream::connect(to).unwrap());
                        begin.elapsed()
                    })
                    .collect(),
            )
        })
    };
    println!("a connection through a published port: {:?}", connect());
    let names: Vec<String> = (0..100).map(|it| format!("n{it}")).collect();
    let many: Vec<_> = names.iter().map(|it| start(it, &[])).collect();
    println!("the same beside 100 containers: {:?}", connect());
    let asked = web.net.run(|| {
        (0..2000)
            .map(|_| {
                let begin = Instant::now();
                look_up("n50", A);
                begin.elapsed()
            })
            .collect()
    });
    println!("a name among 100 by datagram: {:?}", median(asked));
    drop(many);
    until("cables are gone", || interfaces().len() < 5);
}
