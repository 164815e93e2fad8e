//! Scripts of events with the commands expected, properties, and restarts at every step.

mod ends;
mod fence;
mod jobs;
mod machine;
mod restart_table;
mod script;
mod takeover;
