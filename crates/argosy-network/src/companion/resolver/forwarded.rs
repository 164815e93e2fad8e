//! A question that others are asked, one server after the other.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::rand::{GetRandomFlags, getrandom};

use super::Asker;
use super::client::{framed, prefix};
use crate::companion::{datagrams, relay};
use crate::dns::{Query, identifier, set_identifier};

/// How long one server may take. Three of them are done before libc gives up, after five seconds.
const ATTEMPT_LIMIT: Duration = Duration::from_millis(1500);
/// Datagrams looked at in one turn; those that are no answer are none of ours.
const DATAGRAMS_MAX: usize = 8;
/// The lowest four bits of the fourth byte say what became of a query. Of these, another server
/// may know more: server failure, not implemented, refused.
const CODE_MASK: u8 = 0x0f;
const ASK_ANOTHER: [u8; 3] = [2, 4, 5];

/// What has come of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waits,
    /// This server is of no use.
    Failed,
    /// With the answer as the one who asked is to get it.
    Answered(Vec<u8>),
}

#[derive(Debug)]
enum Way {
    Datagram(OwnedFd),
    Connection { socket: OwnedFd, output: Vec<u8>, written: usize, input: Vec<u8> },
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) asker: Asker,
    pub(super) deadline: Instant,
    query: Query,
    /// As it came, with a number of our own.
    bytes: Vec<u8>,
    way: Way,
    /// Those that were not asked yet.
    servers: std::vec::IntoIter<SocketAddr>,
}

impl Forwarded {
    /// Asks the first server that can be asked; gives the query back if there is none.
    pub(super) fn begin(
        asker: Asker,
        query: Query,
        bytes: &[u8],
        servers: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<Forwarded, Query> {
        let mut bytes = bytes.to_vec();
        let mut servers = servers.into_iter();
        match next_way(asker, &mut bytes, &mut servers) {
            Some(way) => {
                let deadline = now + ATTEMPT_LIMIT;
                Ok(Forwarded { asker, deadline, query, bytes, way, servers })
            }
            None => Err(query),
        }
    }

    /// Asks the next server.
    pub(super) fn go_on(mut self, now: Instant) -> Result<Forwarded, Query> {
        match next_way(self.asker, &mut self.bytes, &mut self.servers) {
            Some(way) => Ok(Forwarded { way, deadline: now + ATTEMPT_LIMIT, ..self }),
            None => Err(self.query),
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        match &self.way {
            Way::Datagram(socket) | Way::Connection { socket, .. } => socket,
        }
    }

    pub(super) fn flags(&self) -> PollFlags {
        match &self.way {
            Way::Connection { output, written, .. } if *written < output.len() => PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    pub(super) fn carry(&mut self, scratch: &mut [u8]) -> Progress {
        match &mut self.way {
            Way::Datagram(socket) => {
                for _ in 0..DATAGRAMS_MAX {
                    match recv(&*socket, &mut *scratch, RecvFlags::empty()) {
                        Ok((length, _)) => {
                            match answer(&self.query, &self.bytes, &scratch[..length]) {
                                Some(answer) => return self.judge(answer),
                                // Somebody guesses; the real one may still come.
                                None => continue,
                            }
                        }
                        Err(Errno::INTR) => {}
                        Err(Errno::AGAIN) => return Progress::Waits,
                        Err(_) => return Progress::Failed,
                    }
                }
                Progress::Waits
            }
            Way::Connection { socket, output, written, input } => {
                while *written < output.len() {
                    match send(&*socket, &output[*written..], SendFlags::NOSIGNAL) {
                        Ok(length) => *written += length,
                        Err(Errno::INTR) => {}
                        Err(Errno::AGAIN) => return Progress::Waits,
                        Err(_) => return Progress::Failed,
                    }
                }
                match recv(&*socket, &mut *scratch, RecvFlags::empty()) {
                    Ok((0, _)) => return Progress::Failed,
                    Ok((length, _)) => input.extend(&scratch[..length]),
                    Err(Errno::AGAIN | Errno::INTR) => return Progress::Waits,
                    Err(_) => return Progress::Failed,
                }
                let Some(length) = prefix(input) else { return Progress::Waits };
                let Some(message) = input.get(2..2 + length) else { return Progress::Waits };
                match answer(&self.query, &self.bytes, message) {
                    Some(answer) => self.judge(answer),
                    None => Progress::Failed,
                }
            }
        }
    }

    fn judge(&self, answer: Vec<u8>) -> Progress {
        let code = answer.get(3).map_or(0, |byte| byte & CODE_MASK);
        if ASK_ANOTHER.contains(&code) && self.servers.len() > 0 {
            return Progress::Failed;
        }
        Progress::Answered(answer)
    }
}

/// The answer with the number of whoever asked, if it is one to this question.
fn answer(query: &Query, asked: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    if identifier(bytes) != identifier(asked) || !query.is_answered_by(bytes) {
        return None;
    }
    let mut answer = bytes.to_vec();
    set_identifier(&mut answer, query.id);
    Some(answer)
}

/// Asks by a socket and with a number that nobody can guess.
fn next_way(
    asker: Asker,
    bytes: &mut [u8],
    servers: &mut std::vec::IntoIter<SocketAddr>,
) -> Option<Way> {
    for server in servers {
        let mut id = [0; 2];
        if getrandom(&mut id, GetRandomFlags::empty()).is_err() {
            continue;
        }
        set_identifier(bytes, u16::from_ne_bytes(id));
        match asker {
            Asker::Datagram(_) => {
                let Ok(socket) = datagrams::connected(server) else { continue };
                if send(&socket, &*bytes, SendFlags::NOSIGNAL).is_ok() {
                    return Some(Way::Datagram(socket));
                }
            }
            Asker::Client(_) => {
                let Ok(socket) = relay::begin(server) else { continue };
                let (output, input) = (framed(bytes), Vec::new());
                return Some(Way::Connection { socket, output, written: 0, input });
            }
        }
    }
    None
}
