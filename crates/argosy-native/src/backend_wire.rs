//! What daemon and supervisor say about the cluster's units: the backend port as JSON.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `POST /v1/backend/start` | [`StartBody`] | 204; conflict: an earlier identity |
//! | `POST /v1/backend/stop` | [`StopBody`] | 204; not found: not loaded; conflict: a later epoch |
//! | `POST /v1/backend/forget` | [`ForgetBody`] | 204; conflict: it runs |

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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ForgetBody {
    pub(crate) unit: String,
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
    },
    Stop {
        unit: UnitName,
        epoch: Epoch,
    },
    Forget {
        unit: UnitName,
    },
}
