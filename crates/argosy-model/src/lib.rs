//! The nouns that cross a stage: ids, units, machines, assignments, status.
//!
//! Plain data without I/O, clocks or serialisation. Stored and sent forms live beside
//! whoever stores or sends them.

mod assignment;
mod exec;
mod ids;
mod image;
mod machine;
mod outcome;
#[cfg(feature = "planted-bugs")]
mod planted;
mod reason;
mod service;
mod signal;
mod status;
mod traffic;
mod unit_name;
mod unit_spec;
mod value;

pub use assignment::{Assignment, AssignmentEntry, Want, Wanted};
pub use exec::{ExecCommand, ExecPrefix};
pub use ids::{
    ClusterId, Epoch, Generation, InvalidId, InvocationId, MachineId, RestartCount, Term,
    UnitRevision,
};
pub use image::{IMAGE_NAME_BYTES_MAX, ImageEngine, ImageState, STANDBY_MAX, UnitImage};
pub use machine::{Machine, MachineDisk, MachineState};
pub use outcome::{ExitOutcome, UnitResult, exit_status_name};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use reason::{Reason, ReasonKind};
pub use service::{
    EnvironmentFile, ExitStatusSet, KillMode, NotifyAccess, RestartPolicy, ServiceSpec,
    ServiceType, StandardInput, StandardOutput, WorkingDirectory,
};
pub use signal::{signal_name, signal_number};
pub use status::{ActiveState, SubState, UnitStatus};
pub use traffic::{EndpointProtocol, EndpointSpec, HealthCheck, Publish, Traffic};
pub use unit_name::{InvalidUnitName, UNIT_NAME_MAX, UnitKind, UnitName};
pub use unit_spec::{
    Announce, DataPolicy, Dependencies, MetadataRequirement, OnPartition, Placement, UnitSpec,
};
pub use value::{Timeout, UnixMicros};
