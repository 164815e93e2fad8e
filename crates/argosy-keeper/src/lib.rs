//! The keeper: holds unit processes, their output and their exits across every restart.
