//! A registry that misbehaves as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use argosy_image::Digest;

use crate::archive::{MANIFEST, MadeImage};

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

/// What is answered. `cut` ends the connection after so many bytes of the body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) cut: Option<usize>,
}

impl Answer {
    pub(crate) fn ok(media_type: &str, body: &[u8]) -> Self {
        let headers = vec![("Content-Type", media_type.to_owned())];
        Self { status: 200, headers, body: body.to_vec(), cut: None }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None }
    }

    /// What a range asks for, as registries answer it.
    pub(crate) fn ranged(asked: &Asked, body: &[u8]) -> Self {
        let from = asked
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match from {
            Some(from) if from <= body.len() => {
                Self { status: 206, ..Self::ok("application/octet-stream", &body[from..]) }
            }
            Some(_) => Self::status(416),
            None => Self::ok("application/octet-stream", body),
        }
    }
}

type Handler = Box<dyn Fn(&Asked) -> Option<Answer> + Send>;

/// The registry. It runs until the test's process ends.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    contents: HashMap<String, (String, Vec<u8>)>,
    handler: Option<Handler>,
    asked: Vec<Asked>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    /// A registry with one image, `HOST/app:latest`.
    pub(crate) fn with(image: &MadeImage) -> Self {
        let fake = Self::start();
        fake.add("app", "latest", image);
        fake
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(crate) fn add(&self, repository: &str, tag: &str, image: &MadeImage) {
        self.put_manifest(repository, tag, MANIFEST, &image.manifest);
        self.put_blob(repository, &image.config);
        for layer in &image.layers {
            self.put_blob(repository, &layer.blob);
        }
    }

    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, kind: &str, bytes: &[u8]) {
        for name in [tag.to_owned(), Digest::sha256(bytes).to_string()] {
            self.put(&format!("/v2/{repository}/manifests/{name}"), kind, bytes);
        }
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let path = format!("/v2/{repository}/blobs/{}", Digest::sha256(bytes));
        self.put(&path, "application/octet-stream", bytes);
    }

    pub(crate) fn put(&self, path: &str, kind: &str, bytes: &[u8]) {
        let content = (kind.to_owned(), bytes.to_vec());
        self.state.lock().unwrap().contents.insert(path.to_owned(), content);
    }

    /// Answers first; what it leaves is answered as usual.
    pub(crate) fn handle(&self, handler: impl Fn(&Asked) -> Option<Answer> + Send + 'static) {
        self.state.lock().unwrap().handler = Some(Box::new(handler));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(asked) = request(&mut reader) {
        let answer = {
            let mut state = state.lock().unwrap();
            state.asked.push(asked.clone());
            let special = state.handler.as_ref().and_then(|handler| handler(&asked));
            special.unwrap_or_else(|| match state.contents.get(&asked.path) {
                Some((kind, bytes)) if asked.path.contains("/blobs/") => Answer {
                    headers: vec![("Content-Type", kind.clone())],
                    ..Answer::ranged(&asked, bytes)
                },
                Some((kind, bytes)) => Answer::ok(kind, bytes),
                None => Answer::status(404),
            })
        };
        let mut head =
            format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
        if sent.and_then(|()| stream.write_all(body)).is_err() || answer.cut.is_some() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let path = words.nth(1)?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: u64 = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
    Some(Asked { path, headers })
}
