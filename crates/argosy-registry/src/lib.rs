//! Desired state in the store: keys, records, the ClusterView and guarded commits.
