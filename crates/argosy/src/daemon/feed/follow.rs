//! Follows one member after the other.

use std::io;
use std::time::Duration;

use argosy_peer::{DialTimeouts, PeerStream, Service};
use argosy_reconcile::Timing;
use argosy_registry::feed::{FRAME_BYTES_MAX, FeedError, FeedFrame, FeedReceiver, FrameError};
use argosy_store::MemberId;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
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

/// How long after one member the next is tried.
const NEXT_AFTER: Duration = Duration::from_millis(150);

/// The pause before another member is tried: they may all be there and have nothing to say.
const RETRY: Duration = Duration::from_millis(100);

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
    Connect(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
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
    let mut left = None;
    loop {
        let mut members = feed.members();
        // The one that was just left is the last choice.
        members.sort_by_key(|member| Some(*member) == left);
        let only = members.len() < 2;
        let (member, ended) = match connect_first(&feed, &members, timing).await {
            Ok((member, stream)) => {
                left = Some(member);
                let ended = follow_one(&feed, member, stream, timing, only).await;
                feed.shared.followed.send_replace(None);
                (Some(member), ended)
            }
            Err(ended) => (None, ended),
        };
        tracing::debug!(?member, why = chain(&ended), "no member of the store is followed");
        let place = member.and_then(|member| feed.shared.port.book().member(member));
        let who = place.map(|place| format!(" at {}", place.address)).unwrap_or_default();
        feed.set_problem(Some(format!("no member of the store{who}: {}", chain(&ended))));
        sleep(RETRY).await;
    }
}

/// Connects to the first member that answers. The next is tried a moment after the one before: one
/// that is gone does not answer for seconds.
async fn connect_first(
    feed: &Feed,
    members: &[MemberId],
    timing: FeedTiming,
) -> Result<(MemberId, PeerStream), Ended> {
    let timeouts = DialTimeouts { connect: timing.silence(), handshake: timing.silence() };
    let mut dials = JoinSet::new();
    let mut pause = Duration::ZERO;
    for member in members.iter().copied() {
        let port = feed.shared.port.clone();
        dials.spawn(async move {
            sleep(pause).await;
            port.connect_within(member, Service::Feed, timeouts)
                .await
                .map(|stream| (member, stream))
        });
        pause += NEXT_AFTER;
    }
    let mut why = io::Error::new(io::ErrorKind::NotFound, "none is known");
    while let Some(ended) = dials.join_next().await {
        match ended.map_err(io::Error::other) {
            // Dropping the set ends the others.
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) | Err(error) => why = error,
        }
    }
    Err(Ended::Connect(why))
}

async fn follow_one(
    feed: &Feed,
    member: MemberId,
    mut stream: PeerStream,
    timing: FeedTiming,
    only: bool,
) -> Ended {
    let silence = timing.silence();
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
