//! The supervisor's decisions: unit machines, jobs, restarts, stops.
