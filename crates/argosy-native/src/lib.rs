//! The native unit backend: the supervisor process and the client that drives it.
