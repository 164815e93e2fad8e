//! The machine's journal on disk: append, recover, query, follow.
