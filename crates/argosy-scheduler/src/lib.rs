//! Where each unit runs and why: the planner, its report and the plan checker.
//!
//! [`plan`] is a pure function of the whole cluster. Units that run where they may stay there;
//! nothing moves for balance alone, and instances of a template only where one place has at
//! least two more of them than another. What cannot be done has a reason in the plan, with one line for
//! every machine.

mod check;
mod glob;
mod input;
mod plan;
mod planner;
mod planted;

pub use check::{Violation, check_plan};
pub use input::{Placed, PlacedState, PlanInput, PlanMachine, PlanUnit};
pub use plan::{Plan, PlanAction, PlanReport, PlanStep};
#[cfg(feature = "planted-bugs")]
pub use planner::plan_planted;
pub use planner::{
    CANDIDATES_MAX, REPAIRS_AT_ONCE_MAX, STANDBY_IMAGES_MAX, UNITS_PER_MACHINE_MAX, plan,
};
