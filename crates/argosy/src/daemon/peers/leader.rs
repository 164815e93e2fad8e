//! Whoever leads, to be asked and told about images: this machine itself, or another one.

use std::sync::Arc;
use std::time::Duration;

use argosy_api::{Client, ClientError, ErrorCode};
use argosy_model::MachineId;
use argosy_store::Leadership;
use http::Method;
use tokio::sync::watch;

use super::board::{Ask, Board, NEWS_MAX, NotLeading};
use super::who::{Answer, News, Unheard};
use super::wire::{AnswerWire, AskWire, NewsWire, WordError};
use crate::daemon::machine_port::MachinePort;

/// How long the leader's answer is waited for, beyond what it waits itself. Without one, registries
/// are asked.
const ANSWER_MAX: Duration = NEWS_MAX.saturating_add(Duration::from_secs(3));
/// How long it is waited for the leader to hear news.
const HEAR_MAX: Duration = Duration::from_secs(5);

pub(super) const ASK: &str = "/v1/images/ask";
pub(super) const NEWS: &str = "/v1/images/news";

/// Why the leader does not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaderError {
    #[error("the cluster has no leader")]
    None,
    #[error("the leader has changed")]
    NotLeading,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the leader says something that is not understood")]
    Word(#[from] WordError),
    #[error("the leader answers {found} of {asked} questions")]
    Count { found: usize, asked: usize },
}

impl LeaderError {
    /// Whether it is only that nobody leads just now: that is known at once, and may be over at once.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            LeaderError::None | LeaderError::NotLeading => true,
            LeaderError::Client(ClientError::Refused(error)) => error.code == ErrorCode::Conflict,
            _ => false,
        }
    }

    /// Whether it is a machine with an older version, which knows nothing of this.
    pub(super) fn is_old(&self) -> bool {
        match self {
            LeaderError::Client(ClientError::Refused(error)) => error.code == ErrorCode::NotFound,
            // What axum says of a path that it does not know has no body.
            LeaderError::Client(ClientError::Answer { .. }) => true,
            _ => false,
        }
    }
}

impl From<NotLeading> for LeaderError {
    fn from(NotLeading: NotLeading) -> LeaderError {
        LeaderError::NotLeading
    }
}

/// The way to whoever leads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Leader {
    pub(super) machine: MachineId,
    pub(super) board: Arc<Board>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) port: MachinePort,
}

impl Leader {
    /// Asks for several things at once. To give it up is to have asked nothing.
    pub(super) async fn ask(&self, asks: &[Ask]) -> Result<Vec<Answer>, LeaderError> {
        let Some(leader) = self.other()? else {
            return Ok(self.board.answer(self.machine, asks).await?);
        };
        let wires: Vec<AskWire> = asks.iter().map(AskWire::from).collect();
        let leader = leader.with_limit(ANSWER_MAX);
        let answers: Vec<AnswerWire> = leader.send(Method::POST, ASK, &wires).await?;
        if answers.len() != asks.len() {
            return Err(LeaderError::Count { found: answers.len(), asked: asks.len() });
        }
        Ok(answers.into_iter().map(Answer::try_from).collect::<Result<_, _>>()?)
    }

    /// Tells what is new here.
    pub(super) async fn tell(&self, news: &News) -> Result<Result<(), Unheard>, LeaderError> {
        let Some(leader) = self.other()? else {
            return Ok(self.board.hear(self.machine, news.clone())?);
        };
        let leader = leader.with_limit(HEAR_MAX);
        let heard: bool = leader.send(Method::POST, NEWS, &NewsWire::from(news)).await?;
        Ok(if heard { Ok(()) } else { Err(Unheard) })
    }

    /// Returns a client of the machine that leads; none if it is this one.
    fn other(&self) -> Result<Option<Client>, LeaderError> {
        let leadership = *self.leadership.borrow();
        if leadership.is_leader {
            return Ok(None);
        }
        let member = leadership.leader.ok_or(LeaderError::None)?;
        Ok(Some(self.port.client_of_member(member)))
    }
}
