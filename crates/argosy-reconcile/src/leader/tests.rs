//! Tests of the leader machine.
