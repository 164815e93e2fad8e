//! The command line of container images.

use std::path::PathBuf;

use argosy_image::{Platform, Reference};
use clap::{Args, Subcommand};

pub(crate) use disk::DiskMarks;

use super::DataDir;

mod disk;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageAction {
    /// Bring images from a registry.
    ///
    /// What another machine of the cluster has comes from there, and what several machines want at
    /// once is asked of the registry by one of them. Layers that are here do not travel again; what broke off goes on where it broke. An image
    /// is listed only when all of it is here, verified and synced to the disk.
    ///
    /// Exit status: 1 bad name, 2 refused or not there, 75 registry not reachable.
    Pull(ImagePull),
    /// List images, what they cost on the disk and who uses them.
    #[command(visible_alias = "ls")]
    List(ImageList),
    /// Print all about images, as JSON.
    Inspect(ImageInspect),
    /// Give an image another name.
    Tag(ImageTag),
    /// Remove names, and images with their last one.
    ///
    /// Exit status: 1 bad name, 2 not there or in use.
    Rm(ImageRemove),
    /// Make an image of an archive with a root filesystem.
    Import(ImageImport),
    /// Write images to an archive that docker, podman and argosy load, or to an OCI layout.
    Save(ImageSave),
    /// Load images from an archive of docker, podman or argosy, or an OCI layout.
    Load(ImageLoad),
    /// Send an image to a registry.
    Push(ImagePush),
    /// Remove images without a name that nobody uses, and what belongs to no image.
    Gc(ImageGc),
    /// Say where credentials are read from.
    #[command(hide = true, visible_alias = "logout")]
    Login {
        /// Whatever docker takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// How registries are reached.
#[derive(Debug, Args)]
pub(crate) struct RegistryOptions {
    /// Mirrors, transports and certificates of registries [default: /etc/argosy/registries.toml].
    #[arg(long, value_name = "FILE", env = "ARGOSY_REGISTRIES", hide_env_values = true)]
    pub(crate) registries: Option<PathBuf>,
    /// Credentials, as `docker login` and `podman login` write them; their files by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
}

impl RegistryOptions {
    /// Where nothing is said: the files of this machine and its variables.
    pub(crate) fn usual() -> RegistryOptions {
        let registries = std::env::var_os("ARGOSY_REGISTRIES").map(PathBuf::from);
        RegistryOptions { registries, auth_file: None }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImagePull {
    /// Names of images, by docker's rules.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<Reference>,
    /// Take the image for this platform; this machine's own by default.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub(crate) platform: Option<Platform>,
    /// Ask no registry for a name that an image here or on another machine has.
    #[arg(long)]
    pub(crate) missing: bool,
    /// Print only the images' ids.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) disk: DiskMarks,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageList {
    /// Print only the images' ids.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// A template of docker's: `{{.Repository}}:{{.Tag}}`, `table ...`, or `json`.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Whole ids.
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only images of this name, with any tag if it has none.
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) disk: DiskMarks,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageInspect {
    /// In docker's shape, as under the name docker.
    #[arg(long)]
    pub(crate) docker: bool,
    /// A template of docker's: `{{.Id}}`, `{{json .Config.Env}}`; or `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageTag {
    /// The image: a name, or the beginning of its id.
    pub(crate) image: String,
    /// The other name.
    pub(crate) name: Reference,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageRemove {
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Remove all names of an image that is given by its id.
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageImport {
    /// The archive, compressed or not; - is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The image's name.
    pub(crate) name: Option<Reference>,
    /// What its containers run.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Set an environment variable; may be given several times.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Run in this directory.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Run as this user.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// A word about it for the history.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// The platform it is for; this machine's own by default.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageSave {
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Write the archive to this file instead of standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "layout")]
    pub(crate) to: Option<PathBuf>,
    /// Write a directory with an OCI layout instead of an archive.
    #[arg(long, value_name = "DIR")]
    pub(crate) layout: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageLoad {
    /// An archive, compressed or not, or a directory with an OCI layout; standard input if none
    /// is given.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Name the only image so, instead of as the archive says.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) name: Option<Reference>,
    /// Take images for this platform; this machine's own by default.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImagePush {
    /// The image: a name, or the beginning of its id.
    pub(crate) image: String,
    /// Where it goes; its own name by default.
    pub(crate) to: Option<Reference>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct ImageGc {
    /// Remove named images, too, unless they are in use.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// As it is always: nobody is asked.
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}
