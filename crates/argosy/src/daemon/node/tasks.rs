//! The tasks of a node, and what becomes of one that ends by itself.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The tasks that a node cannot be without. One that ends by itself ends the daemon: the keeper
/// starts it anew, and a half-dead one would only look alive.
pub(super) struct Tasks {
    set: JoinSet<()>,
    stopped: watch::Receiver<bool>,
    broken: mpsc::Sender<&'static str>,
}

impl Tasks {
    pub(super) fn new(stopped: watch::Receiver<bool>, broken: mpsc::Sender<&'static str>) -> Tasks {
        Tasks { set: JoinSet::new(), stopped, broken }
    }

    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Returns when all have ended.
    pub(super) async fn ended(&mut self) {
        while self.set.join_next().await.is_some() {}
    }

    /// Spawns what ends when the node is stopped.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stopped, broken) = (self.stopped.clone(), self.broken.clone());
        self.set.spawn(async move {
            let ended = tokio::spawn(task).await;
            if !*stopped.borrow() {
                tracing::error!(task = name, panicked = ended.is_err(), "a task ended by itself");
                // One report is enough to end the daemon.
                let _ = broken.try_send(name);
            }
        });
    }

    /// Spawns what would go on for ever.
    pub(super) fn spawn_until_stopped(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut until = self.stopped.clone();
        self.spawn(name, async move {
            tokio::select! {
                () = task => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
    }
}
