//! Images that a machine is to have before a unit is started there, or in case it is.

/// Most machines that may stand by for one unit (`Standby=`): each keeps its images on its disk.
pub const STANDBY_MAX: u8 = 8;

/// Longest name of an image that is looked at: a name of 255 bytes with a tag of 128 and a digest
/// (OCI distribution, "pulling manifests") is shorter.
pub const IMAGE_NAME_BYTES_MAX: usize = 512;

/// Which engine runs a command that names an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageEngine {
    /// This program's own.
    Argosy,
    /// Whatever is called docker: this program, where no docker is installed.
    Docker,
}

/// An image that a unit's commands name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitImage {
    /// As it is written there.
    pub name: String,
    /// Who is asked to run it.
    pub engine: ImageEngine,
}

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
