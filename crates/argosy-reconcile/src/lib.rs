//! The agent's and the leader's decisions, and the unit backend port.
