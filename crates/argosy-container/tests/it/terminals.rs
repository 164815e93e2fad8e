//! Terminals, and attaching to a container.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use argosy_container::{ContainerSpec, ExecSpec, Process, Streams};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::stand::{Stand, wait};

/// A terminal with a user before it.
struct Screen {
    user: File,
    inner: OwnedFd,
    seen: String,
}

impl Screen {
    fn new(rows: u16, columns: u16) -> Screen {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let own = openpt(flags).unwrap();
        unlockpt(&own).unwrap();
        let inner = ioctl_tiocgptpeer(&own, flags).unwrap();
        let screen = Screen { user: File::from(own), inner, seen: String::new() };
        screen.resize(rows, columns);
        let flags = rustix::fs::fcntl_getfl(&screen.user).unwrap();
        rustix::fs::fcntl_setfl(&screen.user, flags | OFlags::NONBLOCK).unwrap();
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.user, size).unwrap();
    }

    fn stream(&self) -> Stdio {
        Stdio::from(self.inner.try_clone().unwrap())
    }

    fn types(&mut self, text: &str) {
        self.user.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, behind what was waited for before.
    fn shows(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        wait(|| {
            while let Ok(length @ 1..) = self.user.read(&mut bytes) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
            let place = self.seen.find(text)?;
            self.seen.drain(..place + text.len());
            Some(())
        });
    }

    fn raw(&self) -> bool {
        let modes = tcgetattr(&self.inner).unwrap().local_modes;
        !modes.contains(rustix::termios::LocalModes::ECHO)
    }
}

fn run(stand: &Stand, spec: &ContainerSpec, screen: &Screen) -> Child {
    stand.containers.create(spec).unwrap();
    let streams = Streams { interactive: true, attachable: false };
    let mut command = stand.command(&spec.id, streams);
    command.stdin(screen.stream()).stdout(screen.stream()).stderr(screen.stream());
    command.spawn().unwrap()
}

#[test]
fn a_container_has_a_terminal_of_its_own() {
    let stand = Stand::new();
    for init in [false, true] {
        let mut screen = Screen::new(33, 77);
        let mut spec = stand.spec(&["sh"]);
        spec.process.tty = true;
        spec.process.user = "web".to_owned();
        spec.init = init;
        let mut child = run(&stand, &spec, &screen);
        screen.types("tty; stty size; test -w /dev/console && echo con''sole\n");
        screen.shows("/dev/pts/0");
        screen.shows("33 77");
        assert!(screen.raw());
        screen.shows("console");
        screen.resize(44, 99);
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::WINCH,
        )
        .unwrap();
        // The signal may still be on its way.
        wait(|| {
            screen.types("stty size; echo =\n");
            screen.shows("\r\n=");
            let before = screen.seen.len();
            screen.types("test \"$(stty size)\" = '44 99' && echo ye''s || echo n''o\n");
            let mut answer = None;
            while answer.is_none() {
                let mut bytes = [0; 4096];
                if let Ok(length @ 1..) = screen.user.read(&mut bytes) {
                    screen.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
                }
                answer = ["yes", "no"].into_iter().find(|it| screen.seen[before..].contains(it));
            }
            (answer == Some("yes")).then_some(())
        });
        // A key of the terminal is a signal to what runs in front.
        screen.types("sleep 1000; echo inter''rupted $?\n");
        wait(|| {
            (stand.containers.processes(&spec.id).unwrap().len() == 2 + usize::from(init))
                .then_some(())
        });
        // It goes to whatever is in front, which becomes the program a moment after its start.
        wait(|| {
            screen.types("\u{3}");
            let count = stand.containers.processes(&spec.id).unwrap().len();
            (count == 1 + usize::from(init)).then_some(())
        });
        screen.types("echo al''ive; exit 6\n");
        screen.shows("alive");
        assert_eq!(child.wait().unwrap().code(), Some(6));
        // As it was before.
        assert!(!screen.raw());
        stand.containers.delete(&spec.id, false).unwrap();
    }
}

#[test]
fn what_is_executed_can_have_a_terminal_too() {
    let stand = Stand::new();
    let spec = stand.spec(&["sleep", "1000"]);
    let mut first = stand.start(&spec);
    let mut screen = Screen::new(20, 60);
    let process = Process { args: vec!["sh".to_owned()], tty: true, ..Process::default() };
    let exec = ExecSpec { process, privileged: false };
    let streams = Streams { interactive: true, attachable: false };
    let request = stand.containers.exec_request(&spec.id, &exec, streams).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_container-stand"));
    command.arg(request.argument().unwrap());
    command.stdin(screen.stream()).stdout(screen.stream()).stderr(screen.stream());
    let mut child = command.spawn().unwrap();
    screen.types("tty; stty size; exit 3\n");
    screen.shows("/dev/pts/0");
    screen.shows("20 60");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    stand.containers.delete(&spec.id, true).unwrap();
    first.wait().unwrap();
}

/// Reads one of docker's frames.
fn frame(socket: &mut UnixStream) -> (u8, String) {
    let mut header = [0; 8];
    socket.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).unwrap();
    (header[0], String::from_utf8(body).unwrap())
}

#[test]
fn others_can_attach_and_none_of_them_holds_it_up() {
    let stand = Stand::new();
    let script = "while read line; do echo out $line; echo err $line >&2; \
                  test $line = flood && dd if=/dev/zero bs=1k count=2000 2>/dev/null; \
                  test $line = end && exit 2; done";
    let spec = stand.script(script);
    stand.containers.create(&spec).unwrap();
    let streams = Streams { interactive: true, attachable: true };
    let mut command = stand.command(&spec.id, streams);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let path = stand.containers.attach_path(&spec.id);
    let connect = || wait(|| UnixStream::connect(&path).ok());
    let (mut first, lazy) = (connect(), connect());
    let say = |socket: &mut UnixStream, text: &str| {
        let mut bytes = vec![0, 0, 0, 0];
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text.as_bytes());
        socket.write_all(&bytes).unwrap();
    };
    say(&mut first, "a\n");
    let mut both = [frame(&mut first), frame(&mut first)];
    both.sort();
    assert_eq!(both, [(1, "out a\n".to_owned()), (2, "err a\n".to_owned())]);
    // Standard input works beside it.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"b\n").unwrap();
    let mut both = [frame(&mut first), frame(&mut first)];
    both.sort();
    assert_eq!(both[0].1, "out b\n");
    // Who does not read is left behind; the others get all of it.
    say(&mut first, "flood\n");
    let mut zeros = 0;
    while zeros < 2000 * 1024 {
        let (stream, text) = frame(&mut first);
        zeros += if stream == 1 { text.matches('\0').count() } else { 0 };
    }
    say(&mut first, "end\n");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    drop((lazy, input));
    stand.containers.delete(&spec.id, false).unwrap();
}
