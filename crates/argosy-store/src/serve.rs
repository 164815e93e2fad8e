//! Connections that other members made to this one.

mod messages;
mod snapshot;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::links::frame::{self, FrameKind, Hello, LINK_FORMAT, Welcome};
use crate::links::{FRAME_PATIENCE, LinkRefusal, Purpose, SILENCE_MAX};
use crate::{MemberId, StoreHandle};

/// Bytes of messages that wait for the raft thread, from all members together. Past it their
/// connections are not read, which the senders feel: as much as one of them may have waiting.
pub(crate) const INBOUND_BYTES_MAX: usize = 64 << 20;

/// Why a connection of another member ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It broke.
    #[error("the connection of member {member} failed")]
    Io {
        /// The member.
        member: MemberId,
        /// What went wrong.
        source: io::Error,
    },
    /// Nothing came for too long; an idle member says so every second.
    #[error("nothing came from member {member} for {after:?}")]
    Silent {
        /// The member.
        member: MemberId,
        /// How long.
        after: Duration,
    },
    /// It is not taken.
    #[error("the connection of member {member} is refused")]
    Refused {
        /// The member.
        member: MemberId,
        /// Why.
        source: LinkRefusal,
    },
    /// It carries what this version cannot read.
    #[error("member {member} sends what cannot be read: {what}")]
    Unreadable {
        /// The member.
        member: MemberId,
        /// What.
        what: String,
    },
    /// A snapshot was offered that this member has no use for. The sender asks again if it
    /// still sees a need.
    #[error("the snapshot of member {member} is not wanted")]
    NotWanted {
        /// The member.
        member: MemberId,
    },
    /// The store is shut down.
    #[error("the store is shut down")]
    Closed,
}

impl ServeError {
    fn io(member: MemberId) -> impl FnOnce(io::Error) -> Self {
        move |source| ServeError::Io { member, source }
    }

    fn unreadable(member: MemberId, what: impl ToString) -> Self {
        ServeError::Unreadable { member, what: what.to_string() }
    }
}

impl StoreHandle {
    /// Serves a connection that member `from` made for [`Purpose::Raft`], until it breaks or
    /// the store is shut down. The caller has authenticated `from`.
    ///
    /// Runs on the caller's runtime, and should be a task of its own there. Dropping it ends
    /// the connection; the member makes another.
    ///
    /// # Errors
    /// Says how the connection ended; `Ok` when the member closed it.
    pub async fn serve_raft(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        from: MemberId,
    ) -> Result<(), ServeError> {
        self.until_closed(async {
            self.greet(&mut stream, from, Purpose::Raft, LinkRefusal::None).await?;
            messages::serve(self, stream, from).await
        })
        .await
    }

    /// Serves a connection that member `from` made for [`Purpose::Snapshot`]: receives one
    /// state, installs it, and returns when it is durable. The caller has authenticated
    /// `from`. One snapshot at a time is received; others are refused and come again.
    ///
    /// # Errors
    /// When no snapshot was installed.
    pub async fn serve_snapshot(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        from: MemberId,
    ) -> Result<(), ServeError> {
        let place = self.shared().snapshot_place.try_acquire();
        self.until_closed(async {
            let busy = if place.is_ok() { LinkRefusal::None } else { LinkRefusal::Busy };
            self.greet(&mut stream, from, Purpose::Snapshot, busy).await?;
            snapshot::receive(self, stream, from).await
        })
        .await
    }

    async fn until_closed(
        &self,
        serve: impl Future<Output = Result<(), ServeError>>,
    ) -> Result<(), ServeError> {
        let mut closed = self.shared().closed.clone();
        tokio::select! {
            outcome = serve => outcome,
            // An error means that the sender is gone, with the store.
            _ = closed.wait_for(|closed| *closed) => Err(ServeError::Closed),
        }
    }

    /// Takes or refuses the connection, and tells the other end.
    async fn greet(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin + Send),
        from: MemberId,
        purpose: Purpose,
        busy: LinkRefusal,
    ) -> Result<(), ServeError> {
        let hello = timeout(SILENCE_MAX, frame::expect::<Hello>(stream, FrameKind::Hello)).await;
        let hello = hello
            .map_err(|_| ServeError::Silent { member: from, after: SILENCE_MAX })?
            .map_err(ServeError::io(from))?;
        let refusal = match self.refusal(&hello, from, purpose) {
            LinkRefusal::None => busy,
            refusal => refusal,
        };
        let welcome = Welcome { refusal: refusal.into() };
        let told = timeout(FRAME_PATIENCE, frame::write(stream, FrameKind::Welcome, &welcome));
        told.await
            .map_err(|_| ServeError::Silent { member: from, after: FRAME_PATIENCE })?
            .map_err(ServeError::io(from))?;
        match refusal {
            LinkRefusal::None => Ok(()),
            source => Err(ServeError::Refused { member: from, source }),
        }
    }

    fn refusal(&self, hello: &Hello, from: MemberId, purpose: Purpose) -> LinkRefusal {
        let expected = Hello::new(self.cluster_id(), from, self.member_id(), purpose);
        if hello.format > LINK_FORMAT {
            LinkRefusal::Format
        } else if hello.cluster != expected.cluster {
            LinkRefusal::Cluster
        } else if hello.to != expected.to {
            LinkRefusal::Receiver
        } else if hello.from != expected.from {
            LinkRefusal::Sender
        } else if hello.snapshot != expected.snapshot {
            LinkRefusal::Purpose
        } else if self.membership().removed.contains(&from) {
            LinkRefusal::Removed
        } else {
            LinkRefusal::None
        }
    }
}
