//! An engine that is served to docker's clients, and such a client: plain HTTP, and connections that become
//! streams.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::containers::{OwnNetwork, containers, with_busybox};
use crate::machine::Machine;

/// A machine whose engine is served.
pub(crate) struct Served {
    pub(crate) machine: Machine,
    pub(crate) server: Child,
    // Dropped after the machine.
    _network: OwnNetwork,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}{}", self.head, self.body);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// What an error says.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

impl Served {
    pub(crate) fn new() -> Served {
        let network = OwnNetwork::enter();
        let machine = Machine::new();
        with_busybox(&machine);
        let server = serve(&machine);
        Served { machine, server, _network: network }
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.machine.path("run/docker.sock")).unwrap()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "50"]);
        command.arg("--unix-socket").arg(self.machine.path("run/docker.sock"));
        match method {
            "HEAD" => command.arg("--head"),
            _ => command.args(["--request", method]),
        };
        if let Some(body) = body {
            command.args([
                "--header",
                "Content-Type: application/json",
                "--data",
                &body.to_string(),
            ]);
        }
        let output = command.arg(format!("http://docker/v1.41{path}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, None)
    }

    /// Makes a container without a network; returns its id.
    pub(crate) fn create(&self, name: &str, body: Value) -> String {
        let mut body = body;
        body["Image"] = "busybox".into();
        body["HostConfig"]["NetworkMode"] = "none".into();
        let made = self.ask("POST", &format!("/containers/create?name={name}"), Some(body)).is(201);
        made.json()["Id"].as_str().unwrap().to_owned()
    }

    /// Begins what becomes a stream; returns it behind the head of the answer.
    pub(crate) fn hijack(&self, path: &str, body: &str) -> BufReader<UnixStream> {
        let mut stream = self.connect();
        write!(
            stream,
            "POST /v1.41{path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        assert!(head(&mut reader).starts_with("HTTP/1.1 101 "));
        reader
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
        for container in containers(&self.machine) {
            self.machine.run(&["container", "rm", "-f", container["id"].as_str().unwrap()]);
        }
    }
}

/// Reads the head of an answer.
pub(crate) fn head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    head
}

/// Serves a machine's engine; returns when it answers.
pub(crate) fn serve(machine: &Machine) -> Child {
    let mut command = machine.command(&["container", "serve"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("whoever may use this socket is root"), "{line}");
    child
}

/// Takes docker's frames apart: what was printed, and what as an error.
pub(crate) fn printed(bytes: &[u8]) -> (String, String) {
    let (mut out, mut error) = (String::new(), String::new());
    let mut rest = bytes;
    while let [stream, 0, 0, 0, a, b, c, d, more @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let text = String::from_utf8_lossy(&more[..length]);
        if *stream == 2 {
            error.push_str(&text)
        } else {
            out.push_str(&text)
        }
        rest = &more[length..];
    }
    assert!(rest.is_empty(), "{rest:?}");
    (out, error)
}

pub(crate) fn shell(script: &str) -> Value {
    json!({ "Cmd": ["sh", "-c", script] })
}
