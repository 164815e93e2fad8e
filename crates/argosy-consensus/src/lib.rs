//! Raft stepped by hand: log, write-ahead log, recovery, snapshots, membership.
