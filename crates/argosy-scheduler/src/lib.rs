//! Where each unit runs and why: the planner, its report and the plan checker.
