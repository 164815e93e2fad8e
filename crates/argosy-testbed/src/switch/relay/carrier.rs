//! The thread that moves frames between packet sockets as [`Network`] decides: it sleeps until
//! one comes in or becomes due.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::network::{ARP_REPLY_BYTES, DelayLine, Network, Offer, Port, Route};

/// The virtio network header that stands before each frame (packet(7), `PACKET_VNET_HDR`).
const VNET_HEADER_BYTES: usize = 10;
/// The longest frame: a segment of 64 KiB that is cut up only by a real network card, with its
/// headers.
const FRAME_BYTES_MAX: usize = 64 * 1024 + 256;
/// Frames taken from one port before the others have their turn.
const TURN_FRAMES: usize = 64;

type Sockets = BTreeMap<Port, Arc<OwnedFd>>;

/// The carrier as the rest of the switch sees it.
#[derive(Debug)]
pub(super) struct Carrier {
    state: Mutex<State>,
    /// Written to when sockets come or go.
    wake: OwnedFd,
}

#[derive(Debug)]
struct State {
    network: Network,
    sockets: Sockets,
    line: DelayLine,
}

impl Carrier {
    /// Starts the thread. It ends with the process.
    pub(super) fn start(seed: u64) -> io::Result<Arc<Carrier>> {
        let state = State {
            network: Network::new(seed),
            sockets: Sockets::new(),
            line: DelayLine::default(),
        };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let carrier = Arc::new(Carrier { state: Mutex::new(state), wake });
        let in_thread = carrier.clone();
        let carry = move || {
            let Err(error) = in_thread.carry();
            // Standard error is the testbed's log. Machines see a network that is silent.
            drop(writeln!(io::stderr(), "the carrier of frames ended: {error}"));
        };
        thread::Builder::new().name("carrier".to_owned()).spawn(carry)?;
        Ok(carrier)
    }

    /// Looks at the faults or changes them.
    pub(super) fn faults<T>(&self, change: impl FnOnce(&mut Network) -> T) -> T {
        change(&mut self.lock().network)
    }

    /// Begins to carry for a port; tells whether it is plugged in.
    pub(super) fn attach(&self, port: Port, socket: Arc<OwnedFd>) -> bool {
        let mut state = self.lock();
        state.network.add(port);
        state.sockets.insert(port, socket);
        let plugged = state.network.is_plugged(port);
        drop(state);
        self.rouse();
        plugged
    }

    /// Carries nothing from or to a port from this moment on.
    pub(super) fn detach(&self, port: Port) {
        let mut state = self.lock();
        state.line.forget(port);
        state.sockets.remove(&port);
        drop(state);
        self.rouse();
    }

    fn rouse(&self) {
        // It fails only if it was never read 2^64 times: the thread is awake then.
        let _awake = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// A panic of the thread leaves nothing half done that matters: at worst a frame is lost.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(&self) -> io::Result<std::convert::Infallible> {
        let started = Instant::now();
        let mut buffer = vec![0; VNET_HEADER_BYTES + FRAME_BYTES_MAX];
        loop {
            let ready = self.wait(started)?;
            let now = started.elapsed();
            let mut state = self.lock();
            state.send_due(now);
            for port in ready {
                state.take_frames(port, now, &mut buffer);
            }
        }
    }

    /// Sleeps until a frame comes in, one is due, or a port comes or goes. No socket is held
    /// longer than this, so that one that went can be closed by who took it away.
    fn wait(&self, started: Instant) -> io::Result<Vec<Port>> {
        let state = self.lock();
        let sockets = state.sockets.clone();
        let left = state.line.next_due().map(|due| due.saturating_sub(started.elapsed()));
        drop(state);
        let mut fds = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        fds.extend(sockets.values().map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN)));
        let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            // Only that it was written to matters.
            let _count = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        }
        let ready = sockets.keys().zip(&fds[1..]).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(port, _)| *port).collect())
    }
}

impl State {
    /// Sends what waited long enough.
    fn send_due(&mut self, now: Duration) {
        while let Some((from, to, packet)) = self.line.pop(now) {
            if self.network.is_open(from, to) {
                deliver(&mut self.network, &self.sockets, (from, to), &packet);
            } else {
                self.network.cut_off(from);
            }
        }
    }

    /// Takes the frames that came in at a port, a turn's worth of them.
    fn take_frames(&mut self, port: Port, now: Duration, buffer: &mut [u8]) {
        let Some(socket) = self.sockets.get(&port) else { return };
        for _ in 0..TURN_FRAMES {
            // An error is either "nothing more" or "the interface is down", which is told once.
            let Ok((length, _)) = recv(socket, &mut *buffer, RecvFlags::empty()) else { return };
            let packet = &buffer[..length];
            let Some(frame) = packet.get(VNET_HEADER_BYTES..) else { continue };
            match self.network.route(port, frame) {
                Route::Answer(reply) => {
                    let mut packet = [0; VNET_HEADER_BYTES + ARP_REPLY_BYTES];
                    packet[VNET_HEADER_BYTES..].copy_from_slice(&reply);
                    // The machine asks again if it does not arrive.
                    let _lost = send(socket, &packet, SendFlags::empty());
                }
                Route::Carry(copies) => {
                    for (to, delay) in copies {
                        match self.line.offer((port, to), now, delay, packet) {
                            Offer::Kept => {}
                            Offer::Full => self.network.overflowed(to),
                            Offer::SendNow => {
                                deliver(&mut self.network, &self.sockets, (port, to), packet);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn deliver(network: &mut Network, sockets: &Sockets, (from, to): (Port, Port), packet: &[u8]) {
    // A machine that is down takes nothing, and nobody is told.
    let Some(target) = sockets.get(&to) else { return };
    match send(target, packet, SendFlags::empty()) {
        Ok(_) => network.delivered(from),
        Err(_) => network.overflowed(to),
    }
}
