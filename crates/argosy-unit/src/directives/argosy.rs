//! The rows of `[X-Fleet]` and `[X-Argosy]`, which plain systemd ignores.

use super::Harmless::{Empty, Values};
use super::{DirectiveGroup, refused, supported};

const SCORES: &str =
    "it is not available yet; instances of one template already spread over machines";
const RESOURCES: &str = "machines are not chosen by free resources yet";
const BOOT: &str = "a boot id names no machine after its next reboot; use MachineID= in [X-Fleet]";
const UPDATES: &str = "updates in steps are not available yet";

/// fleet's section and the names it had before that section.
pub(super) const FLEET: DirectiveGroup = DirectiveGroup {
    section: "X-Fleet",
    page: "unit-files.md",
    rules: &[
        supported("MachineID"),
        supported("MachineOf"),
        supported("MachineMetadata"),
        supported("Conflicts"),
        supported("Global"),
        refused(
            "Replaces",
            "a unit does not push another one off its machine yet; use Conflicts=",
            Empty,
        ),
        supported("X-ConditionMachineID"),
        refused("X-ConditionMachineBootID", BOOT, Empty),
        supported("X-ConditionMachineOf"),
        supported("X-ConditionMachineMetadata"),
        supported("X-Conflicts"),
    ],
};

/// Our own section.
pub(super) const ARGOSY: DirectiveGroup = DirectiveGroup {
    section: "X-Argosy",
    page: "unit-files.md",
    rules: &[
        supported("Announce"),
        supported("Replicas"),
        supported("Data"),
        supported("OnPartition"),
        supported("Endpoint"),
        supported("Publish"),
        supported("HealthCheck"),
        supported("Standby"),
        refused("Spread", SCORES, Empty),
        refused("With", "it is not available yet; use MachineOf= in [X-Fleet]", Empty),
        refused("NotWith", "it is not available yet; use Conflicts= in [X-Fleet]", Empty),
        refused("RequestCPU", RESOURCES, Empty),
        refused("RequestMemory", RESOURCES, Empty),
        refused("RequestPort", RESOURCES, Empty),
        refused("Priority", "units do not push each other off machines yet", Values(&["0"])),
        refused("StoreAccess", "the store asks units for no permission yet", Empty),
        refused("Update*", UPDATES, Empty),
    ],
};
