//! Unit-file text to model and back, with line-exact diagnostics.
