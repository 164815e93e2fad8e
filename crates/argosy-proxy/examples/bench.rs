//! Measures the proxy, and HAProxy and nginx where they are installed, in front of one hyper
//! endpoint that answers 1 KB: requests per second, and CPU seconds of the proxy alone per
//! 100,000 requests.
//!
//! ```text
//! cargo run --release -p argosy-proxy --example bench [REQUESTS [CONNECTIONS [ROUNDS]]]
//! ```
//!
//! Endpoint, proxy and clients are processes of their own and share the machine's cores, so CPU
//! seconds say more than requests per second. The best of several interleaved rounds counts.
//! `HAPROXY` and `NGINX` name programs that are not in `PATH`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argosy_model::{Epoch, MachineId};
use argosy_proxy::{Endpoint, ListenerConfig, Protocol, Proxy, ProxyConfig, Standing, Table};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

type Failure = Box<dyn Error + Send + Sync>;

/// Clock ticks per second of /proc/PID/stat, proc(5); 100 on every Linux in use.
const TICKS: f64 = 100.0;
const REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\n\
                         Accept: */*\r\n\r\n";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["endpoint"] => block_on(endpoint()),
        ["proxy", address] => proxy(address.parse()?),
        _ => {
            let number = |at: usize, or: usize| {
                arguments.get(at).map_or(Ok(or), |text| text.parse::<usize>())
            };
            compare(number(0, 200_000)?, number(1, 64)?, number(2, 3)?)
        }
    }
}

fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}

/// The endpoint: 1 KB for everybody.
async fn endpoint() -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let text = Bytes::from(vec![b'x'; 1024]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let text = text.clone();
        let service = service_fn(move |_| {
            let response = Response::new(Full::new(text.clone()));
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        drop(tokio::spawn(serving));
    }
}

/// The proxy under test, until its standard input ends.
fn proxy(address: SocketAddr) -> Result<(), Failure> {
    let endpoint = Endpoint {
        instance: "bench@1".to_owned(),
        machine: MachineId(1),
        epoch: Epoch { incarnation: 1, counter: 1 },
        address,
        zone: String::new(),
        check: None,
        standing: Standing::Held,
    };
    let services = [("bench".to_owned(), vec![endpoint])].into();
    let listener = ListenerConfig {
        address: ([127, 0, 0, 1], 0).into(),
        protocol: Protocol::Http,
        service: "bench".to_owned(),
    };
    let config = ProxyConfig { listeners: vec![listener], ..ProxyConfig::default() };
    let (_tables, followed) =
        watch::channel(Arc::new(Table { generation: 1, services, ..Table::default() }));
    let proxy = Proxy::start(config, followed)?;
    println!("{}", proxy.addresses()[0]);
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// A process that ends with the benchmark.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    /// Starts this program in another part; it says where it listens.
    fn own(part: &[&str]) -> Result<Running, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Running { child, address: line.trim().parse()? })
    }

    /// Starts another proxy with a configuration made for a free port.
    fn other(
        program: &Path,
        dir: &Path,
        peer: Peer,
        endpoint: SocketAddr,
    ) -> Result<Running, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.join(peer.name());
        fs::File::create(&config)?.write_all(peer.config(address, endpoint, dir).as_bytes())?;
        let mut command = Command::new(program);
        match peer {
            Peer::Haproxy => command.arg("-db").arg("-f").arg(&config),
            Peer::Nginx => command.arg("-p").arg(dir).arg("-c").arg(&config),
        };
        let child = command.stderr(Stdio::null()).spawn()?;
        let running = Running { child, address };
        let until = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > until {
                return Err(format!("{} does not listen", peer.name()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    /// CPU seconds used so far.
    fn cpu(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        // Fields 14 and 15 of proc(5); the first two are cut off.
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS)
    }
}

#[derive(Debug, Clone, Copy)]
enum Peer {
    Haproxy,
    Nginx,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Haproxy => "haproxy",
            Peer::Nginx => "nginx",
        }
    }

    fn find(self) -> Option<PathBuf> {
        if let Some(path) = std::env::var_os(self.name().to_uppercase()) {
            return Some(path.into());
        }
        let dirs = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];
        dirs.iter().map(|dir| Path::new(dir).join(self.name())).find(|path| path.exists())
    }

    /// One thread, keep-alive on both sides, the client's address passed on, no log.
    fn config(self, address: SocketAddr, endpoint: SocketAddr, dir: &Path) -> String {
        match self {
            Peer::Haproxy => format!(
                "global\n nbthread 1\n maxconn 4096\n\
                 defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n \
                 option forwardfor\n http-reuse always\n\
                 frontend f\n bind {address}\n default_backend b\n\
                 backend b\n server s {endpoint} check\n"
            ),
            Peer::Nginx => format!(
                "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;\n\
                 error_log /dev/null crit;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{ access_log off; keepalive_requests 100000000;\n\
                 client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;\n\
                 uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n\
                 upstream u {{ server {endpoint}; keepalive 256; keepalive_requests 100000000; }}\n\
                 server {{ listen {address}; location / {{ proxy_pass http://u;\n\
                 proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                 proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n",
                dir = dir.display(),
            ),
        }
    }
}

/// Sends requests over keep-alive connections; returns the time it took.
async fn load(address: SocketAddr, requests: usize, connections: usize) -> Result<f64, Failure> {
    let each = requests / connections;
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..connections {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut read = vec![0; 16 * 1024];
            for _ in 0..each {
                stream.write_all(REQUEST).await?;
                let (mut have, mut whole) = (0, usize::MAX);
                while have < whole {
                    let count = stream.read(&mut read[have..]).await?;
                    if count == 0 {
                        return Err("the connection was closed".into());
                    }
                    have += count;
                    if let Some(end) = read[..have].windows(4).position(|four| four == b"\r\n\r\n")
                    {
                        whole = end + 4 + 1024;
                    }
                }
                if !read.starts_with(b"HTTP/1.1 200") {
                    return Err("not 200".into());
                }
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn compare(requests: usize, connections: usize, rounds: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let endpoint = Running::own(&["endpoint"])?;
    let mut proxies = vec![("argosy", Running::own(&["proxy", &endpoint.address.to_string()])?)];
    for peer in [Peer::Haproxy, Peer::Nginx] {
        match peer.find() {
            Some(program) => {
                let running = Running::other(&program, dir.path(), peer, endpoint.address)?;
                proxies.push((peer.name(), running));
            }
            None => println!("{0}: not measured, the package {0} is not installed", peer.name()),
        }
    }
    let mut best = vec![(0_f64, f64::MAX); proxies.len()];
    for round in 0..=rounds {
        for ((_, proxy), best) in proxies.iter().zip(&mut best) {
            let before = proxy.cpu()?;
            let seconds = block_on(load(proxy.address, requests, connections))?;
            let cpu = (proxy.cpu()? - before) * 100_000.0 / requests as f64;
            // The first round warms up.
            if round > 0 {
                *best = (best.0.max(requests as f64 / seconds), best.1.min(cpu));
            }
        }
    }
    println!("{requests} requests, {connections} connections, best of {rounds}");
    println!("{:10} {:>12} {:>22}", "", "requests/s", "CPU s per 100,000");
    for ((name, _), (rate, cpu)) in proxies.iter().zip(&best) {
        println!("{name:10} {rate:>12.0} {cpu:>22.2}");
    }
    Ok(())
}
