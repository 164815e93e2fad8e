//! Those who have attached to a container, each over a connection to its socket.
//!
//! To them goes what the container writes: from a terminal as it is, else in docker's frames (the
//! stream's number, three zeros, the length in four bytes). From them come frames of the same
//! form: stream 0 is input, stream 3 a terminal's size as `rows columns`, stream 4 the end of the
//! input.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read, write};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use rustix::termios::Winsize;

/// Who may attach at once. Each holds a queue; people attach by ones and twos.
const CLIENTS_MAX: usize = 16;
/// What may wait for a client before no more is read from the container. Room for a burst; the
/// memory is the monitor's.
const QUEUE_MAX: usize = 64 << 10;
/// How long the container waits for a client that reads nothing at all. Then the client is dropped:
/// a network has hiccups, and somebody who only watches must not stop it.
const STUCK_MAX: Duration = Duration::from_secs(2);
/// Largest frame from a client.
const FRAME_MAX: usize = 32 << 10;
const HEADER: usize = 8;

/// An output of the container, by docker's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output = 1,
    Error = 2,
}

const INPUT: u8 = 0;
const SIZE: u8 = 3;
const END: u8 = 4;

/// What those who have attached say beside input.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    /// The size that the terminal is to have.
    pub(crate) size: Option<Winsize>,
    /// Whether no more input comes.
    pub(crate) end: bool,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    queue: VecDeque<u8>,
    received: Vec<u8>,
    open: bool,
    /// When it last took something.
    moved: Instant,
}

/// The socket and all who have connected to it.
#[derive(Debug)]
pub(crate) struct Clients {
    listener: OwnedFd,
    tty: bool,
    list: Vec<Client>,
}

impl Clients {
    pub(crate) fn listen(path: &Path, tty: bool) -> Option<Clients> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
        // Connecting takes the right to write to it.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = short(path).and_then(|(_directory, path)| {
            SocketAddrUnix::new(&path).and_then(|address| bind(&listener, &address))
        });
        rustix::process::umask(mask);
        bound.ok()?;
        listen(&listener, CLIENTS_MAX as i32).ok()?;
        Some(Clients { listener, tty, list: Vec::new() })
    }

    pub(crate) fn wanted(&self, takes_input: bool) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut list = Vec::new();
        if !self.is_full() {
            list.push((self.listener.as_fd(), PollFlags::IN));
        }
        for client in &self.list {
            let mut flags = PollFlags::empty();
            if !client.queue.is_empty() {
                flags |= PollFlags::OUT;
            }
            if takes_input {
                flags |= PollFlags::IN;
            }
            // Of one that has left the kernel tells in any case, and again and again: it is listened to
            // when what it has said last can be taken, or when its place is needed.
            if !flags.is_empty() || self.is_full() {
                list.push((client.socket.as_fd(), flags));
            }
        }
        list
    }

    /// Accepts, reads and writes whatever can be; input is added to `input`.
    pub(crate) fn serve(&mut self, takes_input: bool, input: &mut Vec<u8>) -> Said {
        if self.is_full() {
            self.list.retain(|client| !client.has_left());
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while !self.is_full()
            && let Ok(socket) = accept_with(&self.listener, flags)
        {
            let (queue, received) = (VecDeque::new(), Vec::new());
            let moved = Instant::now();
            self.list.push(Client { socket, queue, received, open: true, moved });
        }
        let mut said = Said::default();
        for client in &mut self.list {
            client.write();
            if takes_input {
                client.read(input, &mut said);
            }
        }
        self.list.retain(|client| client.open);
        said
    }

    fn is_full(&self) -> bool {
        self.list.len() >= CLIENTS_MAX
    }

    /// Tells all what the container wrote.
    pub(crate) fn tell(&mut self, stream: Stream, bytes: &[u8]) {
        for client in &mut self.list {
            if client.queue.is_empty() {
                client.moved = Instant::now();
            }
            if !self.tty {
                client.queue.extend([stream as u8, 0, 0, 0]);
                client.queue.extend((bytes.len() as u32).to_be_bytes());
            }
            client.queue.extend(bytes);
            client.write();
        }
        self.list.retain(|client| client.open);
    }

    /// Returns until when the container waits for those who are behind; `None` if nobody is.
    pub(crate) fn behind_until(&self) -> Option<Instant> {
        let behind = self.list.iter().filter(|client| client.queue.len() > QUEUE_MAX);
        behind.map(|client| client.moved + STUCK_MAX).min()
    }

    /// Drops those for whom the container has waited long enough.
    pub(crate) fn drop_stuck(&mut self) {
        let now = Instant::now();
        self.list.retain(|it| it.queue.len() <= QUEUE_MAX || now < it.moved + STUCK_MAX);
    }

    /// Writes what can still be written.
    pub(crate) fn flush(&mut self) {
        self.list.iter_mut().for_each(Client::write);
    }
}

/// Names a socket by way of a descriptor of its directory: its own path may be longer than the 107
/// bytes of an address.
fn short(path: &Path) -> rustix::io::Result<(OwnedFd, PathBuf)> {
    let (above, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, above, flags, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, short))
}

impl Client {
    fn has_left(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut list = [PollFd::new(&self.socket, PollFlags::empty())];
        poll(&mut list, Some(&now)).is_ok() && list[0].revents().contains(PollFlags::HUP)
    }

    fn write(&mut self) {
        while !self.queue.is_empty() {
            match write(&self.socket, self.queue.as_slices().0) {
                Ok(length) => {
                    self.queue.drain(..length);
                    self.moved = Instant::now();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.open = false;
                    return;
                }
            }
        }
    }

    fn read(&mut self, input: &mut Vec<u8>, said: &mut Said) {
        let mut bytes = [0; 4096];
        match read(&self.socket, &mut bytes) {
            Ok(0) => self.open = false,
            Ok(length) => self.received.extend_from_slice(&bytes[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.open = false,
        }
        while let [stream, _, _, _, a, b, c, d, rest @ ..] = self.received.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length > FRAME_MAX {
                self.open = false;
                return;
            }
            let Some(body) = rest.get(..length) else { break };
            match *stream {
                INPUT => input.extend_from_slice(body),
                SIZE => said.size = parse_size(body).or(said.size),
                END => said.end = true,
                _ => self.open = false,
            }
            self.received.drain(..HEADER + length);
        }
    }
}

fn parse_size(body: &[u8]) -> Option<Winsize> {
    let (rows, columns) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    let (ws_row, ws_col) = (rows.parse().ok()?, columns.parse().ok()?);
    Some(Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use rustix::event::{PollFd, Timespec, poll};

    use super::{CLIENTS_MAX, Clients};

    /// Tells whether there is anything to do.
    fn is_ready(clients: &Clients, takes_input: bool) -> bool {
        let wanted = clients.wanted(takes_input);
        let mut list: Vec<PollFd<'_>> =
            wanted.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        poll(&mut list, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }

    #[test]
    fn who_has_left_is_heard_to_the_end_and_keeps_nobody_awake() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("attach.sock");
        let mut clients = Clients::listen(&path, false).unwrap();
        let mut one = UnixStream::connect(&path).unwrap();
        one.write_all(b"\0\0\0\0\0\0\0\x02hi").unwrap();
        let mut input = Vec::new();
        clients.serve(false, &mut input);
        drop(one);
        // Nobody takes what it has said.
        assert!(!is_ready(&clients, false));
        assert!(is_ready(&clients, true));
        clients.serve(true, &mut input);
        clients.serve(true, &mut input);
        assert_eq!(input, b"hi");
        assert!(!is_ready(&clients, true));
    }

    #[test]
    fn who_has_left_makes_room() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("attach.sock");
        let mut clients = Clients::listen(&path, false).unwrap();
        let all: Vec<_> = (0..CLIENTS_MAX).map(|_| UnixStream::connect(&path).unwrap()).collect();
        clients.serve(false, &mut Vec::new());
        assert!(clients.is_full() && !is_ready(&clients, false));
        drop(all);
        assert!(is_ready(&clients, false));
        clients.serve(false, &mut Vec::new());
        assert!(!clients.is_full() && !is_ready(&clients, false));
    }
}
