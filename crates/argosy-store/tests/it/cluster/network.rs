//! Connections in memory, which can be cut, silenced and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use argosy_store::{Dial, Dialing, MemberId, Purpose, StoreHandle};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Buffer of a connection in memory: as a socket's.
const BUFFER_BYTES: usize = 64 << 10;

/// All members and the connections between them.
pub(super) struct Network {
    runtime: Handle,
    state: Mutex<State>,
    snapshots: AtomicU64,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, StoreHandle>,
    /// Pairs that cannot connect.
    cut: BTreeSet<(u64, u64)>,
    connections: Vec<Connection>,
}

struct Connection {
    ends: (u64, u64),
    serving: AbortHandle,
    /// Nothing passes any more, and nobody is told.
    silent: Arc<AtomicBool>,
}

impl Network {
    /// Makes a network, served by the runtime that calls it.
    pub(super) fn new() -> Arc<Self> {
        let (runtime, state) = (Handle::current(), Mutex::default());
        Arc::new(Self { runtime, state, snapshots: AtomicU64::new(0) })
    }

    /// Returns what member `from` reaches others by.
    pub(super) fn dialer(self: &Arc<Self>, from: u64) -> Arc<dyn Dial> {
        Arc::new(Dialer { network: Arc::clone(self), from })
    }

    /// Lets others reach a member.
    pub(super) fn attach(&self, id: u64, handle: StoreHandle) {
        self.state.lock().unwrap().members.insert(id, handle);
    }

    /// Takes a member off, and its connections with it.
    pub(super) fn detach(&self, id: u64) {
        let mut state = self.state.lock().unwrap();
        state.members.remove(&id);
        state.end(|ends| ends.0 == id || ends.1 == id);
    }

    /// Cuts a member off: its connections close, and none can be made.
    pub(super) fn cut_off(&self, id: u64) {
        let mut state = self.state.lock().unwrap();
        let others: Vec<_> = state.members.keys().copied().filter(|other| *other != id).collect();
        state.cut.extend(others.into_iter().flat_map(|other| [(id, other), (other, id)]));
        state.end(|ends| ends.0 == id || ends.1 == id);
    }

    /// Silences the connections that a member has now. New ones work.
    pub(super) fn silence(&self, id: u64) {
        let state = self.state.lock().unwrap();
        for connection in &state.connections {
            if connection.ends.0 == id || connection.ends.1 == id {
                connection.silent.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Lets everybody connect again.
    pub(super) fn heal(&self) {
        self.state.lock().unwrap().cut.clear();
    }

    /// Returns how many connections were made for snapshots.
    pub(super) fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::SeqCst)
    }

    fn connect(&self, from: u64, to: u64, purpose: Purpose) -> io::Result<DuplexStreamEnd> {
        let mut state = self.state.lock().unwrap();
        state.connections.retain(|connection| !connection.serving.is_finished());
        let store = state.members.get(&to).filter(|_| !state.cut.contains(&(from, to)));
        let store = store.cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let silent = Arc::new(AtomicBool::new(false));
        let far = DuplexStreamEnd { stream: far, silent: Arc::clone(&silent) };
        let near = DuplexStreamEnd { stream: near, silent: Arc::clone(&silent) };
        let serving = self.runtime.spawn(async move {
            // How it ended is the other end's business too, which the tests look at.
            match purpose {
                Purpose::Raft => drop(store.serve_raft(far, MemberId(from)).await),
                Purpose::Snapshot => drop(store.serve_snapshot(far, MemberId(from)).await),
            }
        });
        if purpose == Purpose::Snapshot {
            self.snapshots.fetch_add(1, Ordering::SeqCst);
        }
        let serving = serving.abort_handle();
        state.connections.push(Connection { ends: (from, to), serving, silent });
        Ok(near)
    }
}

impl State {
    fn end(&mut self, these: impl Fn((u64, u64)) -> bool) {
        for connection in self.connections.extract_if(.., |connection| these(connection.ends)) {
            connection.serving.abort();
        }
    }
}

struct Dialer {
    network: Arc<Network>,
    from: u64,
}

impl Dial for Dialer {
    fn dial(&self, to: MemberId, purpose: Purpose) -> Dialing {
        let connected = self.network.connect(self.from, to.0, purpose);
        Box::pin(async move { Ok(Box::new(connected?) as argosy_store::PeerStream) })
    }
}

/// One end of a connection. Once silenced it stays so, as one whose packets are lost.
struct DuplexStreamEnd {
    stream: DuplexStream,
    silent: Arc<AtomicBool>,
}

impl DuplexStreamEnd {
    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }
}

impl AsyncRead for DuplexStreamEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_silent() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for DuplexStreamEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_silent() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
