//! Programs that talk from machine to machine.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::say;

/// How long an echo may take. Longer than any delay the tests set.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Asks with the first and waits for the second.
type Exchange = dyn FnMut(&[u8; 8], &mut [u8; 8]) -> io::Result<()>;

/// Sends back whatever comes in, by TCP and UDP.
pub(crate) fn echo(address: &str) {
    let (tcp, udp) = (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        loop {
            let (length, from) = udp.recv_from(&mut bytes).unwrap();
            // Whoever asked may be gone.
            drop(udp.send_to(&bytes[..length], from));
        }
    });
    say(&format!("echo {}", tcp.local_addr().unwrap()));
    for stream in tcp.incoming() {
        thread::spawn(move || {
            let (mut stream, mut bytes) = (stream.unwrap(), [0; 2048]);
            stream.set_nodelay(true).unwrap();
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..length]).is_err() {
                    return;
                }
            }
        });
    }
}

/// Prints the microseconds that each of so many echoes took, `lost` for one that did not come in
/// time, or `closed`.
pub(crate) fn ping(kind: &str, address: &str, count: usize) {
    let mut exchange: Box<Exchange> = match kind {
        "tcp" => {
            let address = address.parse().unwrap();
            let mut stream = match TcpStream::connect_timeout(&address, ANSWER_LIMIT) {
                Ok(stream) => stream,
                Err(error) => return say(outcome(&error)),
            };
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
            Box::new(move |ask, answer| {
                stream.write_all(ask)?;
                stream.read_exact(answer)
            })
        }
        _ => {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(address).unwrap();
            socket.set_read_timeout(Some(ANSWER_LIMIT / 10)).unwrap();
            Box::new(move |ask, answer| {
                socket.send(ask)?;
                socket.recv(answer).map(drop)
            })
        }
    };
    for number in 0..count as u64 {
        let (ask, mut answer) = (number.to_ne_bytes(), [0; 8]);
        let start = Instant::now();
        match exchange(&ask, &mut answer) {
            Ok(()) if ask == answer => say(&start.elapsed().as_micros().to_string()),
            Ok(()) => say("mixed up"),
            Err(error) => say(outcome(&error)),
        }
    }
}

fn outcome(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "lost",
        _ => "closed",
    }
}

/// Counts up without end, a line at a time.
pub(crate) fn count() {
    for number in 0_u64.. {
        say(&number.to_string());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Takes connections and throws away what comes.
pub(crate) fn sink(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    say("sink");
    for stream in listener.incoming() {
        let (mut stream, mut bytes) = (stream.unwrap(), vec![0; 256 * 1024]);
        while let Ok(1..) = stream.read(&mut bytes) {}
    }
}

/// Sends so many bytes and prints how many arrived a second.
pub(crate) fn flood(address: &str, bytes: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    let chunk = vec![7; 256 * 1024];
    let start = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let length = left.min(chunk.len());
        stream.write_all(&chunk[..length]).unwrap();
        left -= length;
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The other side closes when it has read all.
    let _end = stream.read(&mut [0]).unwrap();
    say(&format!("{:.0}", bytes as f64 / start.elapsed().as_secs_f64()));
}
