//! What daemon and supervisor say about the cluster's units: the backend port as JSON.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `POST /v1/backend/start` | [`StartBody`] | 204; conflict: an earlier identity |
//! | `POST /v1/backend/stop` | [`StopBody`] | 204; not found: not loaded; conflict: a later epoch |
//! | `POST /v1/backend/forget` | [`ForgetBody`] | 204; conflict: it runs |
//!
//! `GET /v1/events?backend=NUMBER` begins the connection of that number. A request names its own;
//! once a later one has begun it is a conflict, and nothing is done. A body of a daemon from before
//! there was this has the number 0, and a start of it was never ordered: the keeper refuses those
//! of fenced units.

use std::time::Duration;

use argosy_api::EpochView;
use argosy_model::{Epoch, RestartCount, UnitName, UnitRevision};
use argosy_reconcile::RunIdentity;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartBody {
    pub(crate) unit: String,
    pub(crate) text: String,
    pub(crate) identity: IdentityView,
    pub(crate) environment: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) connection: u64,
    /// Nanoseconds on CLOCK_BOOTTIME.
    #[serde(default)]
    pub(crate) ordered_at: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct IdentityView {
    epoch: EpochView,
    revision: u64,
    restart: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StopBody {
    pub(crate) unit: String,
    pub(crate) epoch: EpochView,
    #[serde(default)]
    pub(crate) connection: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ForgetBody {
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) connection: u64,
}

/// The query of the event stream.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct EventsQuery {
    /// The connection that begins with it; none for whoever only looks.
    pub(crate) backend: Option<u64>,
}

impl From<RunIdentity> for IdentityView {
    fn from(identity: RunIdentity) -> Self {
        IdentityView {
            epoch: identity.epoch.into(),
            revision: identity.revision.0,
            restart: identity.restart.0,
        }
    }
}

impl From<IdentityView> for RunIdentity {
    fn from(view: IdentityView) -> Self {
        RunIdentity {
            epoch: view.epoch.into(),
            revision: UnitRevision(view.revision),
            restart: RestartCount(view.restart),
        }
    }
}

/// What the supervisor's loop is asked to do with a unit of the cluster.
#[derive(Debug, Clone)]
pub(crate) enum BackendCall {
    Start {
        unit: UnitName,
        text: String,
        identity: RunIdentity,
        environment: Vec<(String, String)>,
        ordered_at: Duration,
    },
    Stop {
        unit: UnitName,
        epoch: Epoch,
    },
    Forget {
        unit: UnitName,
    },
}
