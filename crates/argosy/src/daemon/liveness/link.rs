//! This machine's connection to a voter: beats and questions go out, grants and answers come
//! back. Kept to every voter, since each may lead next.

use std::io;
use std::time::Duration;

use argosy_peer::{DialTimeouts, FrameStream};
use argosy_store::MemberId;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{FRAME_BYTES, Frame, Message};
use super::run::News;
use crate::daemon::machine_port::MachinePort;
use crate::failure::chain;

/// Messages that wait to be written. What does not fit is dropped: the next beat is on its way.
const WAITING_MAX: usize = 4;

/// One voter's link.
pub(super) struct Link {
    messages: mpsc::Sender<Frame>,
    task: AbortHandle,
}

impl Link {
    /// Begins to connect, and goes on until dropped.
    pub(super) fn start(
        tasks: &mut JoinSet<()>,
        port: MachinePort,
        voter: MemberId,
        news: mpsc::Sender<News>,
        patience: Patience,
    ) -> Link {
        let (messages, to_write) = mpsc::channel(WAITING_MAX);
        let task = tasks.spawn(keep(port, voter, news, to_write, patience));
        Link { messages, task }
    }

    /// Sends a message, if the link is there and has room.
    pub(super) fn send(&self, message: Message) {
        let _ = self.messages.try_send(message.encode());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a link tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between two attempts to connect.
    pub(super) retry: Duration,
    /// For the other side to acknowledge what was sent, and to shake hands.
    pub(super) silence: Duration,
}

async fn keep(
    port: MachinePort,
    voter: MemberId,
    news: mpsc::Sender<News>,
    mut to_write: mpsc::Receiver<Frame>,
    patience: Patience,
) {
    loop {
        match connect(&port, voter, patience).await {
            Ok(stream) => {
                // What waited for the connection is old.
                while to_write.try_recv().is_ok() {}
                drop(news.try_send(News::Connected));
                let ended = speak(stream, voter, &news, &mut to_write).await;
                let Err(error) = ended else { return };
                tracing::debug!(%voter, %error, "a connection for beats ended");
            }
            Err(error) => tracing::debug!(%voter, error = chain(&error), "no beats to a voter"),
        }
        tokio::time::sleep(patience.retry).await;
    }
}

async fn connect(
    port: &MachinePort,
    voter: MemberId,
    patience: Patience,
) -> io::Result<FrameStream<FRAME_BYTES>> {
    let timeouts = DialTimeouts { connect: patience.silence, handshake: patience.silence };
    port.connect_for_beats(voter, timeouts).await?.detach()?.attach(patience.silence)
}

/// Ends without an error when nobody sends any more.
async fn speak(
    mut stream: FrameStream<FRAME_BYTES>,
    voter: MemberId,
    news: &mpsc::Sender<News>,
    to_write: &mut mpsc::Receiver<Frame>,
) -> io::Result<()> {
    loop {
        tokio::select! {
            frame = stream.read() => match Message::decode(&frame?) {
                Some(Message::Grant { number, term }) => {
                    drop(news.try_send(News::Grant { number, term }));
                }
                Some(Message::Answer { round, term }) => {
                    drop(news.try_send(News::Answer { voter, round, term }));
                }
                // Nobody that was dialled sends those, or a later version knows better.
                Some(Message::Beat(_) | Message::Ask { .. }) | None => {}
            },
            frame = to_write.recv() => match frame {
                Some(frame) => stream.write(&frame).await?,
                None => return Ok(()),
            },
        }
    }
}
