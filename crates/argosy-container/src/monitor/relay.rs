//! Passing bytes between the container's streams, the monitor's own, and those who have attached.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::io::{Errno, dup, read, write};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};

use super::clients::{Clients, Stream};
use super::inner::Inner;
use super::own::OwnStream;
use super::{OWN, Streams, wait_for};
use crate::log::LogWriter;
use crate::signals::ends_by_default;
use crate::sys;

/// Bytes that are passed on at once: what a pipe that is ready takes without waiting (PIPE_BUF).
const CHUNK: usize = 4096;

/// More than a terminal holds: its two buffers in the kernel have some 64 KiB.
const TERMINAL_REST_MAX: usize = 256 * 1024;

/// One of the container's outputs on its way out.
#[derive(Debug)]
struct Output {
    stream: Stream,
    from: OwnedFd,
    /// The monitor's own stream that it goes on to, once that is known.
    to: Option<OwnStream<'static>>,
    /// What the monitor's own stream has not taken yet. Nothing more is read meanwhile.
    pending: Vec<u8>,
}

impl Output {
    fn new(stream: Stream, from: OwnedFd) -> Output {
        Output { stream, from, to: None, pending: Vec::new() }
    }
}

/// All streams of a container, as the monitor has them.
#[derive(Debug)]
pub(crate) struct Relay {
    streams: Streams,
    tty: bool,
    outputs: Vec<Output>,
    /// The container's standard input, if the monitor feeds it.
    input: Option<OwnedFd>,
    input_pending: Vec<u8>,
    /// Whether nothing comes behind what is pending.
    input_ends: bool,
    /// Whether the monitor's own input still has something to say.
    own_input: bool,
    /// Whether the monitor has an input of its own.
    has_input: bool,
    stdin: Option<OwnStream<'static>>,
    terminal: Option<OwnedFd>,
    clients: Option<Clients>,
    log: Option<LogWriter>,
}

/// What a descriptor of [`Relay::wanted`] is, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Output(usize),
    Own(usize),
    Input,
    OwnInput,
    Clients,
}

/// What a look into one of the container's outputs has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// So many bytes.
    Some(usize),
    /// Nothing yet.
    Nothing,
    /// Nothing, and there will be no more.
    End,
}

impl Relay {
    /// Makes what the container is to have as its streams. Without an input of the monitor's own the
    /// container's stays open for those who attach, as with docker.
    pub(crate) fn prepare(
        streams: Streams,
        tty: bool,
        log: Option<LogWriter>,
        has_input: bool,
    ) -> io::Result<(Relay, Inner)> {
        let mut relay = Relay {
            streams,
            tty,
            outputs: Vec::new(),
            input: None,
            input_pending: Vec::new(),
            input_ends: false,
            own_input: false,
            has_input,
            stdin: None,
            terminal: None,
            clients: None,
            log,
        };
        let mut inner = Inner::default();
        if tty {
            return Ok((relay, inner));
        }
        if streams.attachable {
            for (place, stream) in [(1, Stream::Output), (2, Stream::Error)] {
                let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
                set_nonblocking(&from)?;
                relay.outputs.push(Output::new(stream, from));
                inner.0[place] = Some(to);
            }
            if streams.interactive {
                let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
                set_nonblocking(&to)?;
                relay.input = Some(to);
                relay.own_input = has_input;
                inner.0[0] = Some(from);
            }
        }
        if !streams.interactive {
            let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            inner.0[0] = Some(null);
        }
        Ok((relay, inner))
    }

    pub(crate) fn interactive(&self) -> bool {
        self.streams.interactive
    }

    pub(crate) fn terminal(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref()
    }

    /// Takes the monitor's end of the container's terminal: its output and its input.
    pub(crate) fn set_terminal(&mut self, own: OwnedFd) -> io::Result<()> {
        set_nonblocking(&own)?;
        self.outputs = vec![Output::new(Stream::Output, dup(&own)?)];
        self.input = Some(dup(&own)?);
        self.own_input = self.streams.interactive && self.has_input;
        self.terminal = Some(own);
        Ok(())
    }

    /// Begins to pass on. From here on the monitor's own streams are what they are to be.
    pub(crate) fn begin(&mut self) {
        for output in &mut self.outputs {
            output.to = Some(OwnStream::output(output.stream));
        }
        self.stdin = self.own_input.then(OwnStream::input);
    }

    /// Lets others attach, where the monitor passes the output on. It goes on without if it cannot.
    pub(crate) fn listen(&mut self, path: &Path) {
        if self.streams.attachable || self.tty {
            self.clients = Clients::listen(path, self.tty);
        }
    }

    fn places(&self) -> Vec<(Place, BorrowedFd<'_>, PollFlags)> {
        let mut list = Vec::new();
        let waits = self.behind_until().is_some();
        for (number, output) in self.outputs.iter().enumerate() {
            if output.pending.is_empty() {
                if waits {
                    continue;
                }
                list.push((Place::Output(number), output.from.as_fd(), PollFlags::IN));
            } else if let Some(to) = &output.to {
                list.push((Place::Own(number), to.as_fd(), PollFlags::OUT));
            }
        }
        if let Some(input) = &self.input {
            if !self.input_pending.is_empty() {
                list.push((Place::Input, input.as_fd(), PollFlags::OUT));
            } else if let Some(stdin) = self.stdin.as_ref().filter(|_| self.own_input) {
                list.push((Place::OwnInput, stdin.as_fd(), PollFlags::IN));
            }
        }
        let takes = self.input.is_some() && self.input_pending.is_empty();
        if let Some(clients) = &self.clients {
            let wanted = clients.wanted(takes);
            list.extend(wanted.into_iter().map(|(fd, flags)| (Place::Clients, fd, flags)));
        }
        list
    }

    /// Returns until when the container waits for somebody who has attached.
    pub(crate) fn behind_until(&self) -> Option<Instant> {
        self.clients.as_ref()?.behind_until()
    }

    /// Returns what to wait for.
    pub(crate) fn wanted(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.places().into_iter().map(|(_, fd, flags)| (fd, flags)).collect()
    }

    /// Passes on what is ready. `ready` is in the order of [`Relay::wanted`].
    pub(crate) fn advance(&mut self, ready: &[bool]) {
        let places: Vec<Place> = self
            .places()
            .into_iter()
            .zip(ready)
            .filter_map(|((place, ..), ready)| ready.then_some(place))
            .collect();
        let mut closed = Vec::new();
        for place in places {
            match place {
                Place::Output(number) => {
                    if self.take_output(number) == Taken::End {
                        closed.push(number);
                    }
                }
                Place::Own(number) => self.write_own(number),
                Place::Input => self.write_input(),
                Place::OwnInput => self.read_own_input(),
                Place::Clients => self.serve_clients(),
            }
        }
        for number in closed.into_iter().rev() {
            drop(self.outputs.remove(number));
        }
        if let Some(clients) = &mut self.clients {
            clients.drop_stuck();
        }
    }

    /// Reads from the container.
    fn take_output(&mut self, number: usize) -> Taken {
        let mut bytes = [0; CHUNK];
        let output = &mut self.outputs[number];
        match read(&output.from, &mut bytes) {
            // A terminal whose other ends are all closed.
            Ok(0) | Err(Errno::IO) => Taken::End,
            Ok(length) => {
                let bytes = &bytes[..length];
                if let Some(clients) = &mut self.clients {
                    clients.tell(output.stream, bytes);
                }
                if let Some(log) = &mut self.log {
                    log.take(output.stream, bytes);
                }
                output.pending.extend_from_slice(bytes);
                Taken::Some(length)
            }
            Err(Errno::AGAIN | Errno::INTR) => Taken::Nothing,
            Err(_) => Taken::End,
        }
    }

    fn write_own(&mut self, number: usize) {
        let output = &mut self.outputs[number];
        let Some(to) = &output.to else { return };
        match to.write(&output.pending) {
            Ok(length) => drop(output.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody reads any more. The container's output still goes to those who attach.
            Err(_) => output.pending.clear(),
        }
    }

    fn write_input(&mut self) {
        let Some(input) = &self.input else { return };
        match write(input, &self.input_pending) {
            Ok(length) => {
                drop(self.input_pending.drain(..length));
                self.end_input();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.input_pending.clear();
                self.input = None;
            }
        }
    }

    /// Lets the program see the end of its input, once it has all of it; a terminal has none.
    fn end_input(&mut self) {
        if self.input_ends && self.input_pending.is_empty() && !self.tty {
            self.input = None;
        }
    }

    fn read_own_input(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        let mut bytes = [0; CHUNK];
        match stdin.read(&mut bytes) {
            Ok(0) => {
                self.own_input = false;
                // The program sees the end of its input; a terminal has none.
                if !self.tty {
                    self.input = None;
                }
            }
            Ok(length) => self.input_pending.extend_from_slice(&bytes[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.own_input = false,
        }
    }

    fn serve_clients(&mut self) {
        let takes = self.input.is_some() && self.input_pending.is_empty();
        if let Some(clients) = &mut self.clients {
            let said = clients.serve(takes, &mut self.input_pending);
            if let (Some(size), Some(terminal)) = (said.size, &self.terminal) {
                let _ = rustix::termios::tcsetwinsize(terminal, size);
            }
            self.input_ends |= said.end;
            self.end_input();
        }
    }

    /// Takes all that is left in the container's streams, once those who count write no more. Others
    /// may have been given a stream and write on: of them it takes no more than was there at once. What
    /// the monitor's own streams do not take at once waits for [`Relay::pass_on`].
    pub(crate) fn take_rest(&mut self) {
        for number in 0..self.outputs.len() {
            let mut left = rest_max(&self.outputs[number].from);
            while left > 0 {
                match self.take_output(number) {
                    Taken::Some(length) => left = left.saturating_sub(length),
                    Taken::Nothing | Taken::End => break,
                }
            }
            self.write_own(number);
        }
        if let Some(clients) = &mut self.clients {
            clients.flush();
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
    }

    /// Passes on what waits, for as long as somebody reads, or until a signal ends the waiting.
    pub(crate) fn pass_on(&mut self, signals: &OwnedFd) {
        self.clients = None;
        self.input = None;
        loop {
            self.outputs.retain(|output| output.to.is_some() && !output.pending.is_empty());
            if self.outputs.is_empty() {
                return;
            }
            let Ok(ready) = wait_for(signals.as_fd(), &self.wanted(), None) else { return };
            while let Some(signal) = sys::read_signal(signals) {
                if !OWN.contains(&signal) && ends_by_default(signal) {
                    return;
                }
            }
            self.advance(&ready);
        }
    }
}

/// Returns how much a stream can hold: a pipe has a size, a terminal holds less than the smallest.
fn rest_max(from: &OwnedFd) -> usize {
    fcntl_getpipe_size(from).unwrap_or(TERMINAL_REST_MAX)
}

pub(super) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}
