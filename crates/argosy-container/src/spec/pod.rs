//! What a container is to a pod.

use serde::{Deserialize, Serialize};

use super::ContainerId;

/// Its part in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodPart {
    /// It has the namespaces that the others enter. Its first process is ours and waits; of the
    /// program that it is said to have nothing is executed.
    Holder {
        /// Whether it ends some time after the last of the others has.
        ends_when_empty: bool,
    },
    /// It belongs to the pod of this holder, which has to run.
    Member { of: ContainerId },
}
