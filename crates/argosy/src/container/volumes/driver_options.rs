//! Options of a volume (`--opt`), as those of docker's driver `local`.

use std::path::Path;

use super::{Volume, VolumeKind};
use crate::failure::{Exit, Failure};

/// Reads `--opt` and returns the owner that the volume's directory gets.
pub(super) fn apply_options(
    volume: &mut Volume,
    options: &[String],
) -> Result<(Option<u32>, Option<u32>), Failure> {
    let bad = |text: &str, help: &str| {
        Failure::new(Exit::BadInput, format!("--opt {text} is not supported")).with_help(help)
    };
    let (mut kind, mut device, mut words) = (None, None, Vec::new());
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("copy", "" | "true") => volume.copy = true,
            ("nocopy", "" | "true") => volume.copy = false,
            ("type", value) => kind = Some(value),
            ("device", value) => device = Some(value),
            ("o", value) => words.extend(value.split(',').map(str::to_owned)),
            _ => return Err(bad(option, "there are type, device, o, copy and nocopy")),
        }
    }
    let mut owner = (None, None);
    let mut rest = Vec::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        let number = |value: &str| value.parse().map_err(|_| bad(&word, "name the id as a number"));
        match word.split_once('=') {
            Some(("uid", value)) if kind != Some("tmpfs") => owner.0 = Some(number(value)?),
            Some(("gid", value)) if kind != Some("tmpfs") => owner.1 = Some(number(value)?),
            _ => rest.push(word),
        }
    }
    volume.kind = match (kind, device) {
        (Some("tmpfs"), _) => VolumeKind::Tmpfs { options: rest },
        (None | Some("none" | "bind"), Some(path)) => {
            if let Some(word) = rest.iter().find(|it| !matches!(it.as_str(), "bind" | "rbind")) {
                return Err(bad(&format!("o={word}"), "for a directory there are bind and rbind"));
            }
            if !Path::new(path).is_dir() {
                let message = format!("{path} is no directory of this machine");
                return Err(Failure::new(Exit::BadInput, message)
                    .with_help("make it first; the volume shows what is in it"));
            }
            VolumeKind::Directory { path: path.into() }
        }
        (None, None) => {
            if let Some(word) = rest.first() {
                return Err(bad(&format!("o={word}"), "without type= there are uid= and gid="));
            }
            VolumeKind::Own
        }
        (Some(other), _) => {
            let help = "there are none, bind and tmpfs; mount others on the machine and name the \
                        directory: type=none,device=PATH";
            return Err(bad(&format!("type={other}"), help));
        }
    };
    Ok(owner)
}
