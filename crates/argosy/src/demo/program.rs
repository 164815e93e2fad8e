//! The program of the demonstration's units: an HTTP server that says who and where it is.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::args::DemoUnit;
use crate::demo::http;
use crate::failure::{Exit, Failure};
use crate::notify;
use crate::printer::Printer;

/// How long a client may take to send its request; others wait meanwhile.
const REQUEST_LIMIT: Duration = Duration::from_millis(500);
/// How long the store may take to say where the database is, well below what clients wait.
const LOOK_UP_LIMIT: Duration = Duration::from_millis(200);
/// The port at which the store answers old etcd clients.
const STORE_PORT: u16 = 4001;

/// Serves until a signal ends it.
pub(super) fn run(options: &DemoUnit, printer: &Printer) -> Result<ExitCode, Failure> {
    let address = own_address();
    let failed = |what: &str, error: &io::Error| {
        Failure::new(Exit::BadInput, format!("cannot {what} {address}:{}: {error}", options.port))
    };
    let listener =
        TcpListener::bind((address, options.port)).map_err(|error| failed("listen on", &error))?;
    printer.line(&format!("{} listens on {address}:{}", options.unit, options.port))?;
    notify::ready().map_err(|error| failed("report as ready for", &error))?;
    loop {
        let (client, _) = listener.accept().map_err(|error| failed("accept on", &error))?;
        // A client that has gone away has nobody to be told of.
        drop(answer(client, options, address));
    }
}

/// The machine's own address, as the agent tells every unit.
fn own_address() -> IpAddr {
    let told = std::env::var("ARGOSY_ADDRESS").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Machines that share one computer's loopback have their stores at addresses of their own.
fn store(address: IpAddr) -> SocketAddr {
    let host = if address.is_loopback() { address } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    SocketAddr::new(host, STORE_PORT)
}

fn answer(mut client: TcpStream, options: &DemoUnit, address: IpAddr) -> io::Result<()> {
    client.set_read_timeout(Some(REQUEST_LIMIT))?;
    client.set_write_timeout(Some(REQUEST_LIMIT))?;
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    // A request without a body; 8 KiB are more than any client of this sends.
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 8 << 10 {
        match client.read(&mut piece)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&piece[..length]),
        }
    }
    let mut body = serde_json::json!({
        "unit": options.unit,
        "machine": options.machine,
        "address": address.to_string(),
    });
    if let Some(key) = &options.look_up {
        // Without an answer of the store this server still answers, and says that it does not know.
        body[key] = http::key(store(address), key, LOOK_UP_LIMIT).ok().into();
    }
    let body = format!("{body}\n");
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
