//! How full the disk of a machine's images may be.

use std::ffi::OsString;

use argosy_image::Limits;
use clap::Args;

/// From here on images that nobody uses go by themselves.
const COLLECT: u8 = 80;
/// From here on pulls are refused, and the machine takes no new units.
const LIMIT: u8 = 90;
const COLLECT_VARIABLE: &str = "ARGOSY_DISK_COLLECT";
const LIMIT_VARIABLE: &str = "ARGOSY_DISK_LIMIT";

/// Marks, in percent of the disk of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct DiskMarks {
    /// The daemon removes images that nobody uses when their disk is as full as this.
    #[arg(
        long,
        value_name = "PERCENT",
        env = COLLECT_VARIABLE,
        default_value_t = COLLECT,
        value_parser = clap::value_parser!(u8).range(1..=100),
        hide_env_values = true
    )]
    pub(crate) disk_collect: u8,
    /// Pulls are refused, and the machine takes no new units, when the disk of its images is as full
    /// as this.
    #[arg(
        long,
        value_name = "PERCENT",
        env = LIMIT_VARIABLE,
        default_value_t = LIMIT,
        value_parser = clap::value_parser!(u8).range(1..=100),
        hide_env_values = true
    )]
    pub(crate) disk_limit: u8,
}

impl DiskMarks {
    /// Where nothing is said on the command line: the variables of this process.
    pub(crate) fn usual() -> DiskMarks {
        let of = |variable| std::env::var(variable).ok().and_then(|text| text.parse().ok());
        DiskMarks {
            disk_collect: of(COLLECT_VARIABLE).unwrap_or(COLLECT),
            disk_limit: of(LIMIT_VARIABLE).unwrap_or(LIMIT),
        }
    }

    /// The limits of an image store.
    pub(crate) fn limits(self) -> Limits {
        let usual = Limits::default();
        Limits {
            collect_percent: self.disk_collect,
            refuse_percent: self.disk_limit,
            stop_percent: usual.stop_percent.max(self.disk_limit),
            ..usual
        }
    }

    /// The options that say the same to a process with this one's variables; none where it knows
    /// anyway, so that an older version, too, can be started.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        self.arguments_beside(DiskMarks::usual())
    }

    fn arguments_beside(self, usual: DiskMarks) -> Vec<OsString> {
        let options = [
            ("--disk-collect", self.disk_collect, usual.disk_collect),
            ("--disk-limit", self.disk_limit, usual.disk_limit),
        ];
        let said = options.into_iter().filter(|(_, mark, usual)| mark != usual);
        said.flat_map(|(name, mark, _)| [name.into(), mark.to_string().into()]).collect()
    }

    /// The variables that say the same to a process without this one's variables.
    pub(crate) fn variables(self) -> impl Iterator<Item = (String, String)> {
        let variables = [
            (COLLECT_VARIABLE, self.disk_collect, COLLECT),
            (LIMIT_VARIABLE, self.disk_limit, LIMIT),
        ];
        let said = variables.into_iter().filter(|(_, mark, usual)| mark != usual);
        said.map(|(name, mark, _)| (name.to_owned(), mark.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_what_the_store_has_and_is_said_to_nobody() {
        let usual = DiskMarks { disk_collect: COLLECT, disk_limit: LIMIT };
        assert_eq!(usual.limits(), Limits::default());
        assert!(usual.arguments_beside(usual).is_empty() && usual.variables().next().is_none());
        let own = DiskMarks { disk_collect: 50, disk_limit: 99 };
        let arguments = ["--disk-collect", "50", "--disk-limit", "99"];
        assert_eq!(own.arguments_beside(usual), arguments);
        // What its variables say otherwise is said.
        assert_eq!(usual.arguments_beside(own), ["--disk-collect", "80", "--disk-limit", "90"]);
        assert_eq!(own.variables().count(), 2);
        assert_eq!(own.limits().stop_percent, 99);
    }
}
