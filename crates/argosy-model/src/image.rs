//! An image that a machine is to have before a unit is started there, or in case it is.

/// How far a machine is with an image that it was told to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is there.
    Here,
    /// It is being brought; how far that is, one line for people.
    Coming(String),
    /// It cannot be brought now, and why, one line for people. It is tried again.
    Failed(String),
}
