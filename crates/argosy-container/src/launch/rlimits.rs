//! Limits of getrlimit(2), as far as the machine lets them be raised.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::StartFailure;
use crate::clamped::Clamped;
use crate::spec::Ulimit;

/// docker's names.
fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Sets all. A limit above what the machine grants becomes the machine's.
pub(crate) fn set(ulimits: &[Ulimit], clamped: &mut Vec<Clamped>) -> Result<(), StartFailure> {
    for ulimit in ulimits {
        let step = || StartFailure::at(format!("set ulimit {}", ulimit.name));
        let resource = resource(&ulimit.name).ok_or_else(|| {
            StartFailure::new(format!("set ulimit {}", ulimit.name), "no such limit")
        })?;
        let wanted = Rlimit { current: ulimit.soft, maximum: ulimit.hard };
        match setrlimit(resource, wanted) {
            Err(rustix::io::Errno::PERM) => {
                let own = getrlimit(resource).maximum;
                let given =
                    Rlimit { current: least(ulimit.soft, own), maximum: least(ulimit.hard, own) };
                setrlimit(resource, given).map_err(step())?;
                clamped.push(Clamped::new(
                    format!("ulimit {}", ulimit.name),
                    text(ulimit.soft, ulimit.hard),
                    text(given.current, given.maximum),
                    "the engine may not raise its own limit here",
                ));
            }
            result => result.map_err(step())?,
        }
    }
    Ok(())
}

/// Returns the lower one; `None` is no limit.
fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (it, None) | (None, it) => it,
    }
}

fn text(soft: Option<u64>, hard: Option<u64>) -> String {
    let one = |it: Option<u64>| it.map_or("unlimited".to_owned(), |it| it.to_string());
    format!("{}:{}", one(soft), one(hard))
}

#[cfg(test)]
mod tests {
    use super::{least, text};

    #[test]
    fn no_limit_is_above_every_limit() {
        assert_eq!(least(None, Some(5)), Some(5));
        assert_eq!(least(Some(7), None), Some(7));
        assert_eq!(least(Some(7), Some(5)), Some(5));
        assert_eq!(least(None, None), None);
        assert_eq!(text(Some(5), None), "5:unlimited");
    }
}
