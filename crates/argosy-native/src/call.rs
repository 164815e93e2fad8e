//! What the socket's handlers ask of the loop.

use argosy_api::ApiError;
use argosy_api::local::{JobReply, LoadRequest, LocalEvent, LocalUnit, ReloadReply};
use argosy_model::UnitName;
use argosy_reconcile::Connection;
use argosy_supervisor::{KillWhom, Verb};
use tokio::sync::{broadcast, oneshot};

use crate::backend_wire::BackendCall;

/// Where the answer goes; whoever asked may be gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// A snapshot, and what changes after it.
pub(crate) type Subscription = (LocalEvent, broadcast::Receiver<LocalEvent>);

/// One question or order.
pub(crate) enum Call {
    List {
        reply: Reply<Vec<LocalUnit>>,
    },
    Show {
        unit: UnitName,
        reply: Reply<LocalUnit>,
    },
    Load {
        unit: UnitName,
        request: LoadRequest,
        reply: Reply<LocalUnit>,
    },
    Forget {
        unit: UnitName,
        reply: Reply<()>,
    },
    Job {
        unit: UnitName,
        verb: Verb,
        wait: bool,
        reply: Reply<JobReply>,
    },
    Kill {
        unit: UnitName,
        signal: i32,
        whom: KillWhom,
        reply: Reply<()>,
    },
    /// `backend`: the connection that begins with it.
    Subscribe {
        backend: Option<Connection>,
        reply: Reply<Subscription>,
    },
    DaemonReload {
        reply: Reply<ReloadReply>,
    },
    /// Drops the journal's oldest files until it is no longer than this.
    Vacuum {
        bytes: u64,
        reply: Reply<()>,
    },
    Backend {
        connection: Connection,
        call: BackendCall,
        reply: Reply<()>,
    },
}
