//! Services behind the machines' own proxies: published when they answer, stopped when no proxy
//! sends to them, and no request lost meanwhile.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{ARGOSY, Machine, PATIENCE, free_port};
use crate::three_machines::three;

/// Asks once: no retry, a connection of its own.
pub(crate) fn ask(proxy: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect(proxy).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(|error| format!("send: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("receive: {error}"))?;
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(answer),
        false => Err(format!("answer: {answer:?}")),
    }
}

/// Asks one proxy again and again.
pub(crate) struct Hammer {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Hammer {
    pub(crate) fn begin(proxy: SocketAddr) -> Hammer {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !until.load(Ordering::Relaxed) {
                failed.extend(ask(proxy).err());
                count.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Hammer { stop, asked, thread }
    }

    /// Waits until it has asked some more.
    pub(crate) fn more(&self, machine: &Machine) {
        let before = self.asked.load(Ordering::Relaxed);
        machine.wait("more requests", |_| self.asked.load(Ordering::Relaxed) > before + 20);
    }

    pub(crate) fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.thread.join().unwrap();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

/// Three machines with three instances of a web service, published on one port of each.
struct Web {
    machines: Vec<Machine>,
    port: u16,
}

impl Web {
    fn started() -> Web {
        let machines = three();
        let first: Ipv4Addr = machines[0].address().parse().unwrap();
        let port = free_port(first);
        let stopped = machines[0].path("files").join("stopped").display().to_string();
        machines[0].file(
            "web@.service",
            &format!(
                "[Service]\nType=exec\n\
                 ExecStart={ARGOSY} demo-unit --unit %n --machine %H --port ${{PORT}}\n\
                 ExecStop=/bin/sh -c 'date +%%s%%N > {stopped}-%i'\n\
                 [X-Argosy]\nReplicas=3\nEndpoint=web:auto/http\nPublish={port}\n"
            ),
        );
        machines[0].run(&["apply", "web@.service"]).ok();
        let web = Web { machines, port };
        for machine in &web.machines {
            machine.wait("every instance through every proxy", |m| {
                let answers: Vec<_> = (0..30).map(|_| ask(web.proxy(m))).collect();
                ["web@1", "web@2", "web@3"].iter().all(|unit| {
                    answers.iter().any(|answer| answer.as_ref().is_ok_and(|a| a.contains(unit)))
                })
            });
        }
        web
    }

    fn proxy(&self, machine: &Machine) -> SocketAddr {
        SocketAddr::new(machine.address().parse().unwrap(), self.port)
    }

    /// Stops an instance and returns how long it took until its stop began.
    fn time_stop(&self, instance: u32) -> Duration {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let record = self.machines[0].path("files").join(format!("stopped-{instance}"));
        drop(std::fs::remove_file(&record));
        let asked = now();
        self.machines[0].run(&["stop", &format!("web@{instance}.service")]).ok();
        let text = self.machines[0].wait_for("the record of the stop", |_| {
            std::fs::read_to_string(&record).ok().filter(|text| text.ends_with('\n'))
        });
        Duration::from_nanos(text.trim().parse().unwrap()).saturating_sub(asked)
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn no_request_is_lost_while_instances_come_and_go() {
    let web = Web::started();
    let m1 = &web.machines[0];
    let keys = m1.etcdctl(&["get", "--prefix", "/services/web/"]).ok().stdout;
    for instance in ["/services/web/1\n", "/services/web/2\n", "/services/web/3\n"] {
        assert!(keys.contains(instance), "{keys}");
    }
    let hammers: Vec<Hammer> =
        web.machines.iter().map(|machine| Hammer::begin(web.proxy(machine))).collect();
    let more = || hammers.iter().for_each(|hammer| hammer.more(m1));
    m1.run(&["restart", "web@1.service"]).ok();
    more();
    m1.run(&["start", "web@4.service"]).ok();
    more();
    m1.run(&["stop", "web@3.service"]).ok();
    more();
    m1.run(&["restart", "web@2.service"]).ok();
    m1.run(&["stop", "web@4.service"]).ok();
    more();
    m1.run(&["start", "web@3.service"]).ok();
    more();
    // A daemon dies, also the leader's: nobody who asks notices.
    let before: Vec<_> = web.machines.iter().map(|m| m.child("proxy-process").unwrap()).collect();
    for machine in &web.machines {
        machine.kill_child("daemon");
        more();
        machine.wait("the daemon again", |m| m.run(&["status"]).code == 0);
        machine
            .wait("a leader", |m| !m.json(&["cluster", "status"])["cluster"]["leader"].is_null());
    }
    m1.run(&["restart", "web@1.service"]).ok();
    more();
    let after: Vec<_> = web.machines.iter().map(|m| m.child("proxy-process").unwrap()).collect();
    assert_eq!(before, after, "no proxy was restarted");
    for (hammer, machine) in hammers.into_iter().zip(&web.machines) {
        let (asked, failed) = hammer.end();
        eprintln!("{}: {asked} requests, {} failed", machine.address(), failed.len());
        assert!(failed.is_empty(), "{} of {asked}: {:?}", failed.len(), &failed[..1]);
    }
}

#[test]
fn a_stop_waits_for_every_proxy_and_for_no_more_than_five_seconds() {
    let web = Web::started();
    let quick = web.time_stop(1);
    eprintln!("the stop began {quick:?} after it was asked for");
    // Generous for two loaded cores, and far from what one proxy that hangs would cost.
    assert!(quick < Duration::from_millis(3_000), "{quick:?}");
    let hung = web.machines[1].child("proxy-process").unwrap();
    signal(hung, Signal::STOP);
    let slow = web.time_stop(2);
    signal(hung, Signal::CONT);
    eprintln!("with a proxy that hangs {slow:?} after it was asked for");
    assert!(slow >= Duration::from_millis(4_900), "{slow:?}");
    assert!(slow < Duration::from_secs(12), "{slow:?}");
    web.machines[1].wait("the proxy goes on", |m| {
        (0..10).all(|_| ask(web.proxy(m)).is_ok_and(|answer| answer.contains("web@3")))
    });
    // A port that no unit publishes any more is closed.
    web.machines[0].run(&["destroy", "web@.service"]).ok();
    for machine in &web.machines {
        machine.wait("the port is closed", |m| TcpStream::connect(web.proxy(m)).is_err());
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

#[test]
fn a_proxy_of_a_user_follows_a_service_and_why_says_what_is_not_routed() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let port = free_port(Ipv4Addr::LOCALHOST);
    let listen = format!("127.0.0.1:{port}=api");
    let child = machine
        .command(&["proxy", "--http", &listen])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _proxy = Proxy(child);
    machine.file(
        "deaf.service",
        "[Service]\nExecStart=/bin/sleep 1000\n[X-Argosy]\nEndpoint=deaf:auto/tcp\n",
    );
    machine.run(&["apply", "deaf.service"]).ok();
    machine.wait("a reason", |m| {
        m.run(&["why", "deaf.service"])
            .stdout
            .contains("does not accept connections at 127.0.0.1:2")
    });
    let listed = machine.etcdctl(&["get", "--prefix", "/services/deaf/"]).ok().stdout;
    assert_eq!(listed, "", "it is not published");
    machine.file(
        "api.service",
        &format!(
            "[Service]\nType=exec\nExecStart={ARGOSY} demo-unit --unit %n --machine m1 --port ${{PORT}}\n\
             [X-Argosy]\nEndpoint=api:auto/http\nAnnounce=/api\n"
        ),
    );
    machine.run(&["apply", "api.service"]).ok();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    machine.wait("an answer", |_| ask(address).is_ok_and(|a| a.contains("api.service")));
    let announced = machine.etcdctl(&["get", "--print-value-only", "/api"]).ok().stdout;
    let mirrored = machine.etcdctl(&["get", "--print-value-only", "/services/api/api"]).ok().stdout;
    assert!(announced.starts_with("127.0.0.1:2") && announced == mirrored, "{announced}{mirrored}");
    machine.wait("why says where", |m| {
        m.run(&["why", "api.service"]).stdout.contains(&format!("api at {}", mirrored.trim()))
    });
    // Same port, whichever of the daemons dies; and the proxy goes on without it.
    machine.kill_child("daemon");
    assert!(ask(address).is_ok());
    machine.wait("the daemon again", |m| m.run(&["status"]).code == 0);
    machine.run(&["restart", "api.service"]).ok();
    machine.wait("the same port", |m| {
        m.etcdctl(&["get", "--print-value-only", "/services/api/api"]).stdout == mirrored
    });
    machine.wait("an answer again", |_| ask(address).is_ok());
}

#[test]
fn a_stop_waits_for_a_load_balancer_that_is_a_unit() {
    let machine = Machine::alone();
    let address: Ipv4Addr = machine.address().parse().unwrap();
    let port = free_port(address);
    let address = SocketAddr::from((address, port));
    // It is not told where the daemon of its machine is.
    machine.file(
        "lb.service",
        &format!(
            "[Service]\nType=notify\n\
             ExecStart={ARGOSY} proxy --http ${{ARGOSY_ADDRESS}}:{port}=api\n"
        ),
    );
    machine.file(
        "api.service",
        &format!(
            "[Service]\nType=notify\n\
             ExecStart={ARGOSY} demo-unit --unit %n --machine m1 --port ${{PORT}}\n\
             [X-Argosy]\nEndpoint=api:auto/http\n"
        ),
    );
    machine.run(&["apply", "lb.service", "api.service"]).ok();
    machine.wait("an answer", |_| ask(address).is_ok());
    let balancer = machine.json(&["status", "lb"])["unit"]["status"]["main_pid"].clone();
    let balancer = u32::try_from(balancer.as_u64().unwrap()).unwrap();
    let time_stop = || {
        let begun = Instant::now();
        machine.run(&["stop", "api.service"]).ok();
        begun.elapsed()
    };
    let quick = time_stop();
    assert!(quick < Duration::from_secs(4), "{quick:?}");
    machine.run(&["start", "api.service"]).ok();
    machine.wait("an answer", |_| ask(address).is_ok());
    signal(balancer, Signal::STOP);
    let slow = time_stop();
    signal(balancer, Signal::CONT);
    assert!(slow >= Duration::from_millis(4_900), "{slow:?}");
}
