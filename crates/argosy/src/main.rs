//! The `argosy` program.

fn main() {}
