//! The replicated key-value state machine: revisions, transactions, leases, watches.
