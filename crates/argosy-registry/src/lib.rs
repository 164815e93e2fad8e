//! Desired state in the store: keys, records, the cluster view and guarded commits.
//!
//! Users change it through an [`Edit`], the leader through a [`PlanCommit`], machines through
//! [`announce`] and [`withdraw`]. Each gives one transaction whose guards make it fail when
//! what it was decided on is no longer so.

pub mod admission;
mod change_error;
mod edit;
mod endpoint;
pub mod feed;
mod keys;
mod plan_commit;
mod planted;
mod record;
#[cfg(test)]
mod testing;
mod transaction;
mod view;

pub use argosy_kv::{Revision, Txn};
pub use argosy_model::Wanted;
pub use change_error::ChangeError;
pub use edit::{Edit, Submitted, TEXT_BYTES_MAX};
pub use endpoint::{
    announce, announce_again, announced_keys, endpoint_name, endpoint_of, mirror_key, services_of,
    withdraw,
};
pub use keys::Key;
pub use plan_commit::{PORTS, PlanCommit};
pub use record::{
    Desired, LeaderMark, Record, RecordError, StoredAuthority, StoredEndpoint, StoredMachine,
    StoredRevision, StoredService, StoredToken, StoredUnit, Versioned,
};
pub use transaction::{BYTES_MAX, OPERATIONS_MAX, Outcome, fits};
pub use view::{
    ClusterView, ClusterViewBuilder, EndpointName, REPLICAS_MAX, RecordChange, SpecSource, UnitView,
};
