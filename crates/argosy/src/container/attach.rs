//! `argosy container attach`: where a container prints and reads.
//!
//! Its monitor passes on over a socket: from a terminal bytes as they are, else docker's frames (the
//! stream's number, three zeros, the length in four bytes). Towards it frames of the same form are
//! sent: stream 0 is input, stream 3 a terminal's size.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_container::{ContainerError, ContainerId};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{Engine, failed};
use crate::args::ContainerAttach;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

const INPUT: u8 = 0;
const ERROR: u8 = 2;
const SIZE: u8 = 3;

/// Most that is read at once; less than what the monitor takes in one frame.
const CHUNK: usize = 16 << 10;
/// Largest frame from the monitor: it reads no more of a container at once.
const FRAME_MAX: usize = 1 << 20;
/// Pieces of input that wait for the container to read.
const INPUT_WAITING: usize = 4;

/// docker's keys to leave a terminal by: Ctrl-P, Ctrl-Q.
const LEAVE: [u8; 2] = [0x10, 0x11];

/// Signals that are the container's.
const PASSED_ON: [i32; 6] = [1, 2, 3, 10, 12, 15];

/// How it went on being attached.
enum Ended {
    /// The container closed.
    ByContainer,
    /// The user left.
    ByUser,
}

pub(super) fn attach(
    engine: &Engine,
    options: &ContainerAttach,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let id = engine.find(&options.container)?;
    let inspection = engine.containers.inspect(&id).map_err(|error| failed(&error))?;
    if !inspection.state.is_live() {
        let message = format!("container {} does not run", options.container);
        return Err(Failure::new(Exit::Refused, message));
    }
    let tty = inspection.spec.process.tty;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let raw = (tty && !options.no_stdin).then(RawMode::enter).flatten();
    let ended = runtime.block_on(async {
        let socket = connect(&engine.containers.attach_path(&id)).map_err(|error| {
            Failure::new(Exit::Refused, format!("cannot attach to {}: {error}", options.container))
                .with_help(
                    "what a unit's container prints is in the journal: argosy journal UNIT; one of \
                     `run` without -d is attached where it runs",
                )
        })?;
        serve(engine, &id, options, tty, socket, printer).await
    });
    drop(raw);
    match ended? {
        Ended::ByUser => Ok(ExitCode::SUCCESS),
        Ended::ByContainer => {
            let runs = || engine.containers.inspect(&id).is_ok_and(|it| it.state.is_live());
            if runs() && !ends_soon(runs) {
                let message = format!("{} prints faster than it was read here", options.container);
                return Err(Failure::new(Exit::Refused, message)
                    .with_help("attach again; argosy container logs has what was printed"));
            }
            match engine.containers.wait(&id) {
                Ok(Some(exit)) => Ok(ExitCode::from(exit.code)),
                // Its end has taken it away, and how it ended with it.
                Ok(None) | Err(ContainerError::NotFound { .. }) => {
                    let message = format!("{} has ended and is gone", options.container);
                    Err(Failure::new(Exit::Refused, message).with_help(
                        "how it ended was told where it was run; argosy container events has it, too",
                    ))
                }
                Err(error) => Err(failed(&error)),
            }
        }
    }
}

/// How long a container's end may take to be seen after its streams have ended.
const END_MAX: Duration = Duration::from_secs(2);

/// Tells whether a container whose streams have ended ends with them.
fn ends_soon(runs: impl Fn() -> bool) -> bool {
    let until = Instant::now() + END_MAX;
    while runs() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Connects by way of the directory: the path of a socket has few bytes.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let wrong = || io::Error::from(io::ErrorKind::NotFound);
    let directory = File::open(path.parent().ok_or_else(wrong)?)?;
    let name = path.file_name().ok_or_else(wrong)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    // A monitor that takes no more of them is no reason to wait.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(short)?)?;
    UnixStream::from_std(socket.into())
}

async fn serve(
    engine: &Engine,
    id: &ContainerId,
    options: &ContainerAttach,
    tty: bool,
    socket: UnixStream,
    printer: &Printer,
) -> Result<Ended, Failure> {
    let broken =
        |error: io::Error| Failure::new(Exit::BadInput, format!("the container is lost: {error}"));
    let (mut from, mut to) = socket.into_split();
    let (sender, mut input) = mpsc::channel(INPUT_WAITING);
    if !options.no_stdin {
        let (sender, leaves) = (sender.clone(), tty && io::stdin().is_terminal());
        // It ends with the process: nothing else ends a read of the standard input.
        std::thread::spawn(move || read_input(&sender, leaves));
    }
    let mut resized = signal(SignalKind::window_change()).map_err(broken)?;
    let (told, mut signals) = mpsc::channel(INPUT_WAITING);
    if options.sig_proxy {
        for number in PASSED_ON {
            let mut one = signal(SignalKind::from_raw(number)).map_err(broken)?;
            let told = told.clone();
            tokio::spawn(async move {
                while one.recv().await.is_some() && told.send(number).await.is_ok() {}
            });
        }
    }
    if tty {
        send_size(&mut to).await;
    }
    let mut output = Output { tty, frame: Vec::new() };
    let mut bytes = vec![0; CHUNK];
    loop {
        tokio::select! {
            length = from.read(&mut bytes) => match length {
                Ok(0) => return Ok(Ended::ByContainer),
                Ok(length) => output.take(&bytes[..length], printer)?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Ended::ByContainer);
                }
                Err(error) => return Err(broken(error)),
            },
            Some(piece) = input.recv() => match piece {
                Some(piece) => drop(send(&mut to, INPUT, &piece).await),
                None => return Ok(Ended::ByUser),
            },
            Some(()) = resized.recv(), if tty => send_size(&mut to).await,
            // One that has just ended needs no signal.
            Some(number) = signals.recv() => drop(engine.containers.kill(id, number)),
        }
    }
}

/// Reads the standard input; says nothing, once, when the user leaves.
fn read_input(sender: &mpsc::Sender<Option<Vec<u8>>>, leaves: bool) {
    let mut keys = Keys::default();
    let mut bytes = vec![0; CHUNK];
    while let Some(length) = io::stdin().lock().read(&mut bytes).ok().filter(|it| *it > 0) {
        let (piece, left) = match leaves {
            true => keys.take(&bytes[..length]),
            false => (bytes[..length].to_vec(), false),
        };
        if (!piece.is_empty() && sender.blocking_send(Some(piece)).is_err()) || left {
            drop(sender.blocking_send(None));
            return;
        }
    }
}

/// Finds the keys to leave by.
#[derive(Debug, Default)]
struct Keys {
    /// The first of them was pressed and is held back.
    first: bool,
}

impl Keys {
    /// Returns what is the container's, and whether the user leaves.
    fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        for byte in bytes {
            match (self.first, *byte) {
                (true, byte) if byte == LEAVE[1] => return (rest, true),
                (false, byte) if byte == LEAVE[0] => {
                    self.first = true;
                    continue;
                }
                (true, _) => rest.push(LEAVE[0]),
                (false, _) => {}
            }
            self.first = *byte == LEAVE[0];
            if !self.first {
                rest.push(*byte);
            }
        }
        (rest, false)
    }
}

async fn send(to: &mut OwnedWriteHalf, stream: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = vec![stream, 0, 0, 0];
    frame.extend(length.to_be_bytes());
    frame.extend(bytes);
    to.write_all(&frame).await
}

/// Gives the container's terminal the size of this one.
async fn send_size(to: &mut OwnedWriteHalf) {
    if let Ok(size) = tcgetwinsize(io::stdout()) {
        let text = format!("{} {}", size.ws_row, size.ws_col);
        // One that has just ended needs no size.
        drop(send(to, SIZE, text.as_bytes()).await);
    }
}

/// Takes what the container prints apart.
struct Output {
    tty: bool,
    frame: Vec<u8>,
}

impl Output {
    fn take(&mut self, bytes: &[u8], printer: &Printer) -> Result<(), Failure> {
        if self.tty {
            return printer.bytes(bytes);
        }
        self.frame.extend_from_slice(bytes);
        while let [stream, _, _, _, a, b, c, d, rest @ ..] = self.frame.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length > FRAME_MAX {
                return Err(Failure::new(
                    Exit::BadInput,
                    "the container's monitor sends no frames",
                ));
            }
            let Some(body) = rest.get(..length) else { break };
            match *stream {
                // Whoever closed it does not want to know.
                ERROR => drop(io::Write::write_all(&mut io::stderr(), body)),
                _ => printer.bytes(body)?,
            }
            let taken = self.frame.len() - rest.len() + length;
            self.frame.drain(..taken);
        }
        Ok(())
    }
}

/// The user's terminal while it passes every key on. It is set back when this is dropped.
struct RawMode(Termios);

impl RawMode {
    fn enter() -> Option<RawMode> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn two_keys_in_a_row_leave() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.take(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.take(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.take(b"\x11d"), (Vec::new(), true));
    }
}
