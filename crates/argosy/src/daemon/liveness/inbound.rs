//! Another machine's connection: its beats go to the loop and grants back to it; a leader's
//! question is answered at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::MachineId;
use argosy_peer::{DetachedStream, FrameStream};
use tokio::sync::mpsc;

use super::Shared;
use super::frame::{FRAME_BYTES, Frame, Message};
use super::run::News;

/// Grants that wait to be written. One is enough; a few more, so that a slow moment drops none.
const GRANTS_WAITING_MAX: usize = 4;

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: DetachedStream,
    machine: MachineId,
    shared: Arc<Shared>,
    news: mpsc::Sender<News>,
    patience: Duration,
) {
    let served = async {
        let mut stream: FrameStream<FRAME_BYTES> = stream.attach(patience)?;
        let (grants, mut to_write) = mpsc::channel::<Frame>(GRANTS_WAITING_MAX);
        loop {
            tokio::select! {
                frame = stream.read() => {
                    take_in(&frame?, &mut stream, machine, &shared, &news, &grants).await?;
                }
                Some(grant) = to_write.recv() => stream.write(&grant).await?,
            }
        }
    };
    let ended: io::Result<()> = served.await;
    if let Err(error) = ended {
        tracing::debug!(%machine, %error, "a connection for beats ended");
    }
}

async fn take_in(
    frame: &Frame,
    stream: &mut FrameStream<FRAME_BYTES>,
    machine: MachineId,
    shared: &Shared,
    news: &mpsc::Sender<News>,
    grants: &mpsc::Sender<Frame>,
) -> io::Result<()> {
    match Message::decode(frame) {
        Some(Message::Beat(beat)) => {
            let answer = grants.clone();
            // The loop is behind: the next beat will do.
            drop(news.try_send(News::Beat { machine, beat, answer }));
            Ok(())
        }
        Some(Message::Ask { round, term: _ }) => {
            let answer = Message::Answer { round, term: shared.store.term() };
            stream.write(&answer.encode()).await
        }
        // Nobody that dials sends those, or a later version knows better.
        Some(Message::Grant(_) | Message::Answer { .. }) | None => Ok(()),
    }
}
