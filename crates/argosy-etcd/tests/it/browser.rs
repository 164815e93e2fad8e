//! One HTTP/1.1 connection that is kept, as a v2 client has it.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clients::PATIENCE;
use crate::ours::Ours;

/// A connection with at most one request under way.
pub(crate) struct Browser {
    stream: BufReader<TcpStream>,
    /// How much of the body is left, or whether it comes in chunks.
    length: Option<usize>,
}

/// The head of an answer, in lower case.
pub(crate) struct Head {
    pub(crate) status: u16,
    lines: Vec<String>,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Browser {
    pub(crate) async fn open(server: &Ours) -> Browser {
        let address = server.endpoint.strip_prefix("http://").unwrap();
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        Browser { stream, length: None }
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, form: &str) -> (u16, String) {
        let head = self.begin(method, path, form).await;
        (head.status, self.body().await)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn begin(&mut self, method: &str, path: &str, form: &str) -> Head {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            lines.push(line.to_lowercase());
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let head = Head { status, lines };
        self.length = head.get("content-length").map(|length| length.parse().unwrap());
        head
    }

    /// Waits for the rest of the answer.
    pub(crate) async fn body(&mut self) -> String {
        if let Some(length) = self.length.take() {
            return self.exactly(length).await;
        }
        let mut body = String::new();
        while let Some(chunk) = self.chunk().await {
            body += &chunk;
        }
        body
    }

    /// Waits for the next piece of a body in chunks; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let length = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.exactly(length).await;
        assert_eq!(self.line().await, "");
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }

    async fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.expect("a body").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("a line").unwrap();
        line.trim_end().to_owned()
    }
}
