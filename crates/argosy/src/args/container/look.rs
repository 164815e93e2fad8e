//! The options of what shows containers.

use clap::{Args, ValueEnum};

use super::Names;

#[derive(Debug, Args)]
pub(crate) struct ContainerList {
    /// Those that do not run as well.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print ids only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Only those with name=, id=, status=, label=, ancestor=, exited=, health=, volume= or network=.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// A template of docker's: `{{.Names}}`, `table {{.ID}}\t{{.Status}}`, or `json`.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// The last so many that were made, those that do not run as well.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) last: Option<usize>,
    /// The last one that was made.
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Whole ids and command lines.
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerInspect {
    /// In docker's shape, as under the name docker.
    #[arg(long)]
    pub(crate) docker: bool,
    /// A template of docker's: `{{.State.Status}}`, `{{json .Mounts}}`; or `json`.
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// What has the name.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) kind: Option<InspectKind>,
    #[command(flatten)]
    pub(crate) containers: Names,
}

/// What can be inspected in docker's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectKind {
    Container,
    Image,
    Volume,
    Network,
}

impl InspectKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            InspectKind::Container => "container",
            InspectKind::Image => "image",
            InspectKind::Volume => "volume",
            InspectKind::Network => "network",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ContainerLogs {
    /// Wait for more.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines; `all` for every one.
    #[arg(
        short = 'n',
        long,
        visible_alias = "lines",
        default_value = "all",
        value_name = "NUMBER"
    )]
    pub(crate) tail: Tail,
    /// Begin each line with its time.
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// From this time on: 2026-11-30T04:53:54Z, seconds since 1970, or a span ago such as 10m.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Name, id, or beginning of an id.
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct ContainerEvents {
    /// From this time on: 2026-11-30T04:53:54Z, seconds since 1970, or a span ago such as 10m; from now
    /// on by default.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to this time, then it ends.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only such: container=, event=, image=, label=, type=.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// A template of docker's: `{{.Action}} {{.Actor.Attributes.name}}`, or `json`.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
}

/// How many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    All,
    Last(usize),
}

impl std::str::FromStr for Tail {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Tail, Self::Err> {
        match text {
            "all" => Ok(Tail::All),
            number => number.parse().map(Tail::Last),
        }
    }
}
