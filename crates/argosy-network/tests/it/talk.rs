//! Small servers and clients: who asks is told where it came from.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::machine::LIMIT;

/// How long it takes to say that nobody answers. A packet that is dropped is silence.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

pub(crate) fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

/// Listens in the calling thread's namespace, and tells each client its own address; then repeats
/// what it sends until it ends.
pub(crate) fn serve(address: impl Into<SocketAddr>) {
    let listener = TcpListener::bind(address.into()).unwrap();
    thread::spawn(move || {
        while let Ok((mut client, from)) = listener.accept() {
            thread::spawn(move || {
                // A client may be gone already.
                writeln!(client, "{from}")?;
                let mut reader = client.try_clone().unwrap();
                io::copy(&mut reader, &mut client)
            });
        }
    });
}

/// The same for datagrams: the answer is who asked.
pub(crate) fn serve_datagrams(address: impl Into<SocketAddr>) {
    let socket = UdpSocket::bind(address.into()).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(from.to_string().as_bytes(), from).unwrap();
        }
    });
}

/// Asks a server, from the calling thread's namespace; returns from where it saw us come.
pub(crate) fn ask(to: impl Into<SocketAddr>) -> io::Result<String> {
    ask_within(to.into(), LIMIT)
}

pub(crate) fn ask_within(to: SocketAddr, limit: Duration) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().map_err(io::Error::other)?;
    Ok(address.ip().to_string())
}

pub(crate) fn ask_by_datagram(to: impl Into<SocketAddr>) -> io::Result<String> {
    let to = to.into();
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send(b"who am I?")?;
    let mut bytes = [0; 2048];
    let length = socket.recv(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let address: SocketAddr = text.parse().map_err(io::Error::other)?;
    Ok(address.ip().to_string())
}

/// Address types of questions.
pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const AAAA: u16 = 28;

/// A query as libc sends it.
pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// What came of a query: its code, and the addresses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) code: u8,
    pub(crate) addresses: Vec<Ipv4Addr>,
}

pub(crate) fn found(code: u8, addresses: &[[u8; 4]]) -> Found {
    Found { code, addresses: addresses.iter().map(|it| Ipv4Addr::from(*it)).collect() }
}

fn read_answer(question: &[u8], answer: &[u8]) -> Found {
    assert_eq!(answer[..2], question[..2], "the number");
    assert_eq!(answer[12..question.len()], question[12..], "the question");
    let count = usize::from(answer[7]);
    let mut at = question.len();
    let mut addresses = Vec::new();
    for _ in 0..count {
        let length = usize::from(answer[at + 11]);
        let data = &answer[at + 12..at + 12 + length];
        addresses.extend(<[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from));
        at += 12 + length;
    }
    addresses.sort();
    Found { code: answer[3] & 0xf, addresses }
}

/// Looks a name up, as libc does with `nameserver 127.0.0.11`.
pub(crate) fn look_up(name: &str, kind: u16) -> Found {
    let question = query(name, kind);
    read_answer(&question, &raw_look_up(&question))
}

pub(crate) fn raw_look_up(question: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(address([127, 0, 0, 1], 0)).unwrap();
    // Answers that come from anywhere else are not seen, as in libc.
    socket.connect(address([127, 0, 0, 11], 53)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.send(question).unwrap();
    let mut bytes = vec![0; 65536];
    let length = socket.recv(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// The same by connection, several in a row on one.
pub(crate) fn look_up_by_connection(names: &[&str]) -> Vec<Found> {
    let mut stream = TcpStream::connect(("127.0.0.11", 53)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    for name in names {
        let question = query(name, A);
        stream.write_all(&(question.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&question).unwrap();
    }
    names.iter().map(|name| read_answer(&query(name, A), &read_framed(&mut stream))).collect()
}

pub(crate) fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
