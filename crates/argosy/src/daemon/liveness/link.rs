//! This machine's link to a voter: beats and questions go out, grants and answers come back. Kept
//! to every voter, since each may lead next.
//!
//! A link has one connection, its *line*. After an outage TCP sends again what was lost, but the
//! longer the outage the later, and what comes after waits behind it: the end of a short one would
//! be noticed only when the machine counts as lost. So when nothing comes back, other lines are
//! tried beside the first; the first that answers is kept, and the others are dropped.

use std::io;
use std::time::Duration;

use argosy_model::Term;
use argosy_peer::{DialTimeouts, FrameStream, Service};
use argosy_store::MemberId;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::frame::{FRAME_BYTES, Message};
use super::run::News;
use crate::daemon::machine_port::MachinePort;
use crate::failure::chain;

mod attempts;

use attempts::Attempts;

/// Messages that wait to be written. What does not fit is dropped: the next beat is on its way.
const WAITING_MAX: usize = 4;

/// Lines of one link: the one in use, and two that are tried beside it, so that one of them may be
/// caught in the outage too.
pub(super) const LINES_MAX: usize = 3;

/// What lines have told and the link has not heard yet. It never waits for anything else.
const TOLD_MAX: usize = 16;

/// A question that is only asked because the voter's answer to it shows that the line works: not
/// every beat is answered by a grant. Rounds of a leader count from 1.
const PROBE: Message = Message::Ask { round: 0, term: Term(0) };

/// One voter's link.
pub(super) struct Link {
    messages: mpsc::Sender<Message>,
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
        let (messages, to_send) = mpsc::channel(WAITING_MAX);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let attempts = Attempts::new(patience.beat, patience.silence);
        let (lines, line_tasks, last) = (Vec::new(), JoinSet::new(), 0);
        let ends = Ends { port, voter, news, tell, silence: patience.silence };
        let lines = Lines { ends, lines, tasks: line_tasks, last, attempts };
        let task = tasks.spawn(lines.keep(to_send, told));
        Link { messages, task }
    }

    /// Sends a message, if the link is there and has room.
    pub(super) fn send(&self, message: Message) {
        let _ = self.messages.try_send(message);
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
    /// Between two beats, and between two tries.
    pub(super) beat: Duration,
    /// For the other side to acknowledge what was sent, and to shake hands.
    pub(super) silence: Duration,
}

/// What a line is connected to.
#[derive(Clone)]
struct Ends {
    port: MachinePort,
    voter: MemberId,
    news: mpsc::Sender<News>,
    tell: mpsc::Sender<Told>,
    silence: Duration,
}

/// What a line tells its link.
struct Told {
    line: u64,
    what: What,
}

enum What {
    /// It can be written to.
    Up,
    /// Something has come back.
    Answered,
    /// It is gone.
    Ended,
}

/// What wakes a link.
enum Event {
    Send(Message),
    Told(Told),
    Retry,
}

struct Line {
    number: u64,
    messages: mpsc::Sender<Message>,
    task: AbortHandle,
    is_up: bool,
}

/// The lines of one link, and what it knows of them.
struct Lines {
    ends: Ends,
    /// The oldest first.
    lines: Vec<Line>,
    tasks: JoinSet<()>,
    last: u64,
    attempts: Attempts,
}

impl Lines {
    async fn keep(mut self, mut to_send: mpsc::Receiver<Message>, mut told: mpsc::Receiver<Told>) {
        self.dial(Instant::now());
        loop {
            let retry_at = self.attempts.next_at();
            let event = tokio::select! {
                message = to_send.recv() => match message {
                    Some(message) => Event::Send(message),
                    None => return,
                },
                Some(told) = told.recv() => Event::Told(told),
                Some(_) = self.tasks.join_next() => continue,
                () = sleep_until(retry_at), if self.lines.is_empty() => Event::Retry,
            };
            self.handle(event, Instant::now());
        }
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Send(message) => self.send(message, now),
            Event::Retry => self.dial(now),
            Event::Told(Told { line, what: What::Up }) => {
                let found = self.lines.iter_mut().find(|other| other.number == line);
                if let Some(found) = found {
                    found.is_up = true;
                    drop(self.ends.news.try_send(News::Connected));
                }
            }
            Event::Told(Told { line, what: What::Answered }) => {
                if self.lines.iter().any(|other| other.number == line) {
                    self.attempts.answered();
                    self.lose(|other| other.number != line);
                }
            }
            Event::Told(Told { line, what: What::Ended }) => {
                self.lose(|other| other.number == line);
                if self.lines.is_empty() {
                    self.attempts.forget_sent();
                }
            }
        }
    }

    /// Writes to every line that is up, and tries another if nothing has come back for a while.
    fn send(&mut self, message: Message, now: Instant) {
        let up: Vec<&Line> = self.lines.iter().filter(|line| line.is_up).collect();
        if up.is_empty() {
            return;
        }
        let unanswered = self.attempts.sent(now);
        for line in up {
            let _ = line.messages.try_send(message);
            if unanswered && matches!(message, Message::Beat(_)) {
                let _ = line.messages.try_send(PROBE);
            }
        }
        if self.attempts.is_due(now) {
            self.dial(now);
        }
    }

    fn dial(&mut self, now: Instant) {
        if self.lines.len() == LINES_MAX {
            // Tries that hang are those of a voter that has too much to do, or is stopped: more of
            // them would not help it.
            if self.lines.iter().any(|line| !line.is_up) {
                return;
            }
            self.lines.remove(0).task.abort();
        }
        let within = match self.lines.is_empty() {
            true => self.attempts.begin_alone(now),
            false => self.attempts.begin_beside(now),
        };
        let timeouts = DialTimeouts { connect: within, handshake: self.ends.silence };
        self.last += 1;
        let (messages, to_write) = mpsc::channel(WAITING_MAX);
        let task = self.tasks.spawn(self.ends.clone().line(self.last, timeouts, to_write));
        self.lines.push(Line { number: self.last, messages, task, is_up: false });
    }

    fn lose(&mut self, which: impl Fn(&Line) -> bool) {
        self.lines.retain(|line| {
            let lost = which(line);
            if lost {
                line.task.abort();
            }
            !lost
        });
    }
}

impl Ends {
    /// Connects, and speaks until the line breaks.
    async fn line(self, number: u64, timeouts: DialTimeouts, to_write: mpsc::Receiver<Message>) {
        let voter = self.voter;
        match self.connect(timeouts).await {
            Ok(stream) => {
                drop(self.tell.send(Told { line: number, what: What::Up }).await);
                if let Err(error) = self.speak(number, stream, to_write).await {
                    tracing::debug!(%voter, %error, "a connection for beats ended");
                }
            }
            Err(error) => tracing::debug!(%voter, error = chain(&error), "no beats to a voter"),
        }
        drop(self.tell.send(Told { line: number, what: What::Ended }).await);
    }

    async fn connect(&self, timeouts: DialTimeouts) -> io::Result<FrameStream<FRAME_BYTES>> {
        let stream = self.port.connect_within(self.voter, Service::Liveness, timeouts).await?;
        stream.detach()?.attach(self.silence)
    }

    /// Ends without an error when nobody sends any more.
    async fn speak(
        &self,
        number: u64,
        mut stream: FrameStream<FRAME_BYTES>,
        mut to_write: mpsc::Receiver<Message>,
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                frame = stream.read() => {
                    // One that is not heard is followed by the next.
                    drop(self.tell.try_send(Told { line: number, what: What::Answered }));
                    self.take_in(Message::decode(&frame?));
                }
                message = to_write.recv() => match message {
                    Some(message) => stream.write(&message.encode()).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    fn take_in(&self, message: Option<Message>) {
        match message {
            Some(Message::Grant(grant)) => {
                drop(self.news.try_send(News::Grant { voter: self.voter, grant }));
            }
            // To a probe.
            Some(Message::Answer { round: 0, .. }) => {}
            Some(Message::Answer { round, term }) => {
                drop(self.news.try_send(News::Answer { voter: self.voter, round, term }));
            }
            // Nobody that was dialled sends those, or a later version knows better.
            Some(Message::Beat(_) | Message::Ask { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
