//! Follows one member after the other.

use std::time::Duration;

use argosy_peer::{DialTimeouts, PeerStream};
use argosy_reconcile::Timing;
use argosy_registry::feed::{FRAME_BYTES_MAX, FeedError, FeedFrame, FeedReceiver, FrameError};
use argosy_store::MemberId;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::Feed;
use crate::failure::chain;

/// Signs of life that a member may miss before another one is followed: one may be late.
const SIGNS_MISSED: u32 = 3;

/// The shortest time between signs of life: less would only keep connections busy.
const SIGN_MIN: Duration = Duration::from_millis(500);

/// Signs of life during which a member is followed that knows no leader, or has not heard from a
/// majority, if there are others: an election or two.
const SIGNS_UNWELL: u32 = 4;

/// The pause after every member was tried.
const RETRY: Duration = Duration::from_millis(250);

/// The limits of a feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedTiming {
    /// How often a member gives a sign of life.
    pub(super) sign: Duration,
    unwell: Duration,
}

impl FeedTiming {
    /// Returns what fits a cluster's preset.
    pub(crate) fn of(timing: Timing) -> FeedTiming {
        let sign = timing.lost_after.max(SIGN_MIN);
        FeedTiming { sign, unwell: sign * SIGNS_UNWELL }
    }

    /// Returns after how much silence an end is gone.
    pub(super) fn silence(self) -> Duration {
        self.sign * SIGNS_MISSED
    }
}

/// A member is not followed any longer.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    #[error("it has been silent for {0:?}")]
    Silent(Duration),
    #[error("it has no leader, or is behind")]
    Unwell,
    #[error("it sends a frame of {0} bytes")]
    FrameLength(u32),
    #[error("it sends what is no feed")]
    Frame(#[source] FrameError),
    #[error("its feed cannot be followed")]
    Feed(#[source] FeedError),
}

/// Follows the members, for ever.
pub(crate) async fn follow(feed: Feed, timing: FeedTiming) {
    loop {
        let members = feed.members();
        let only = members.len() < 2;
        for member in members {
            let ended = follow_one(&feed, member, timing, only).await;
            feed.shared.followed.send_replace(None);
            tracing::debug!(%member, why = chain(&ended), "a member of the store is not followed");
            let book = feed.shared.port.book();
            let name = book.member(member).map(|place| format!(" at {}", place.address));
            let who = name.unwrap_or_default();
            feed.set_problem(Some(format!("no member of the store{who}: {}", chain(&ended))));
        }
        sleep(RETRY).await;
    }
}

async fn follow_one(feed: &Feed, member: MemberId, timing: FeedTiming, only: bool) -> Ended {
    let silence = timing.silence();
    let timeouts = DialTimeouts { connect: silence, handshake: silence };
    let mut stream = match feed.shared.port.connect_for_feed(member, timeouts).await {
        Ok(stream) => stream,
        Err(error) => return Ended::Connect(error),
    };
    // What it says is older than what is known here is of no use.
    let known = feed.state().revision;
    if let Err(error) = stream.write_all(&known.to_le_bytes()).await {
        return Ended::Broken(error);
    }
    feed.shared.followed.send_replace(Some(member));
    let mut receiver = FeedReceiver::new();
    let mut well_at = Instant::now();
    loop {
        let frame = match timeout(silence, read_frame(&mut stream)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Silent(silence),
        };
        let facts = frame.facts.clone();
        let is_whole = match receiver.take(frame, known.max(1)) {
            Ok(Some(state)) => {
                feed.set_problem(None);
                feed.heard(state).await;
                true
            }
            Ok(None) => {
                feed.heard_leader(facts.term, facts.leader.map(MemberId));
                false
            }
            Err(error) => return Ended::Feed(error),
        };
        if is_whole && facts.leader.is_some() && facts.current {
            well_at = Instant::now();
        } else if !only && well_at.elapsed() > timing.unwell {
            return Ended::Unwell;
        }
    }
}

async fn read_frame(stream: &mut PeerStream) -> Result<FeedFrame, Ended> {
    let length = stream.read_u32_le().await.map_err(Ended::Broken)?;
    let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= FRAME_BYTES_MAX);
    let mut frame = vec![0; bytes.ok_or(Ended::FrameLength(length))?];
    stream.read_exact(&mut frame).await.map_err(Ended::Broken)?;
    FeedFrame::decode(Bytes::from(frame)).map_err(Ended::Frame)
}
