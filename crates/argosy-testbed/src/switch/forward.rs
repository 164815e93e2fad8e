//! Carrying connections from this computer's loopback into machines. Each has two threads of its
//! own, so that no connection waits for another and the frames for none.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;

use crate::{ForwardInfo, Refusal, sys};

/// Listeners of a testbed: each costs a thread.
const FORWARDS_MAX: usize = 64;
/// Connections of a testbed at a time: each costs two threads. More are closed at once, as by a
/// server with a full queue.
const CONNECTIONS_MAX: usize = 512;
/// How long a machine may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a machine may leave bytes unacknowledged: one that was killed never answers.
const UNACKNOWLEDGED_MS: u32 = 30_000;
/// Pause after a connection could not be accepted, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Carried at once, each way.
const CARRY_BYTES: usize = 64 * 1024;

/// All listeners of a testbed. They end with its process.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    listeners: Vec<ForwardInfo>,
    connections: Arc<AtomicUsize>,
}

/// Where connections go.
#[derive(Debug, Clone)]
struct Target {
    address: SocketAddr,
    /// The init whose namespace is entered first; the address is then that of its loopback.
    inside: Option<Arc<AtomicI32>>,
}

impl Forwards {
    /// All of them.
    pub(super) fn list(&self) -> &[ForwardInfo] {
        &self.listeners
    }

    /// Begins to accept.
    pub(super) fn add(
        &mut self,
        listener: OwnedFd,
        info: impl FnOnce(SocketAddr) -> ForwardInfo,
        address: SocketAddr,
        inside: Option<Arc<AtomicI32>>,
    ) -> Result<(), Refusal> {
        if self.listeners.len() == FORWARDS_MAX {
            return Err(Refusal::TooMany { what: "forwards".to_owned(), limit: FORWARDS_MAX });
        }
        let port = address.port();
        let listener = TcpListener::from(listener);
        let listen = listener.local_addr();
        let listen = listen.map_err(|error| Refusal::system("look at the listener", &error))?;
        let address = inside.as_ref().map_or(address, |_| (Ipv4Addr::LOCALHOST, port).into());
        let target = Target { address, inside };
        let connections = self.connections.clone();
        thread::Builder::new()
            .name("forward".to_owned())
            .spawn(move || accept(&listener, &target, &connections))
            .map_err(|error| Refusal::system("start a thread", &error))?;
        self.listeners.push(info(listen));
        Ok(())
    }
}

fn accept(listener: &TcpListener, target: &Target, connections: &Arc<AtomicUsize>) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (target, counted) = (target.clone(), connections.clone());
        let carry = move || {
            // The client sees its connection close; there is nobody else to tell.
            drop(carry(&client, &target));
            counted.fetch_sub(1, Ordering::Relaxed);
        };
        if thread::Builder::new().name("carry".to_owned()).spawn(carry).is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn carry(client: &TcpStream, target: &Target) -> io::Result<()> {
    if let Some(pid) = &target.inside {
        let pid = pid.load(Ordering::Acquire);
        sys::enter_network(std::fs::File::open(format!("/proc/{pid}/ns/net"))?)?;
    }
    let machine = TcpStream::connect_timeout(&target.address, CONNECT_LIMIT)?;
    set_tcp_user_timeout(&machine, UNACKNOWLEDGED_MS)?;
    client.set_nodelay(true)?;
    machine.set_nodelay(true)?;
    let (client_back, machine_back) = (client.try_clone()?, machine.try_clone()?);
    let back = thread::Builder::new()
        .name("carry-back".to_owned())
        .spawn(move || one_way(&machine_back, &client_back))?;
    one_way(client, &machine);
    // A panic there is impossible to continue from, and concerns this connection only.
    drop(back.join());
    Ok(())
}

/// Carries one direction to its end, and the end too. An error ends both directions.
fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    let mut bytes = vec![0; CARRY_BYTES];
    let result = loop {
        match from.read(&mut bytes) {
            Ok(0) => break Ok(()),
            Ok(length) => {
                if let Err(error) = to.write_all(&bytes[..length]) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    // Either end may be closed already.
    drop(to.shutdown(Shutdown::Write));
    if result.is_err() {
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }
}
