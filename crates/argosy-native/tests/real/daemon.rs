//! A daemon's end of the backend port.

use argosy_model::UnitStatus;
use argosy_native::NativeBackend;
use argosy_reconcile::{BackendEvent, BackendRequest, Connection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::machine::Machine;

/// A connected one.
pub(crate) struct Daemon {
    pub(crate) connection: Connection,
    pub(crate) requests: mpsc::Sender<(Connection, BackendRequest)>,
    pub(crate) events: mpsc::Receiver<BackendEvent>,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Connects, and returns what the machine has.
    pub(crate) async fn connect(machine: &Machine) -> (Daemon, Vec<UnitStatus>) {
        let NativeBackend { requests, mut events, task } = NativeBackend::start(machine.socket());
        let task = tokio::spawn(task);
        match events.recv().await {
            Some(BackendEvent::Snapshot(connection, units)) => {
                (Daemon { connection, requests, events, task }, units)
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ask(&self, request: BackendRequest) {
        self.requests.send((self.connection, request)).await.unwrap();
    }

    /// Waits for a status.
    pub(crate) async fn until(&mut self, fits: impl Fn(&UnitStatus) -> bool) -> UnitStatus {
        loop {
            match self.events.recv().await.unwrap() {
                BackendEvent::Changed(status) if fits(&status) => return status,
                BackendEvent::Changed(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn end(self) {
        drop(self.requests);
        self.task.await.unwrap();
    }
}
