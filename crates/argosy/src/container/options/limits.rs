//! Sizes and limits.

use argosy_container::{Limits, Ulimit};

use super::bad;
use crate::args::ContainerRun;
use crate::failure::Failure;

pub(super) fn limits(options: &ContainerRun) -> Result<Limits, Failure> {
    let milli_cpus = match options.cpus {
        // As docker has it, none is no limit.
        Some(0.0) => None,
        Some(cpus) if cpus.is_finite() && cpus > 0.0 => Some((cpus * 1_000.0).round() as u64),
        Some(cpus) => {
            return Err(bad(format!("--cpus {cpus} is no number of processors"), "write 1.5"));
        }
        None => None,
    };
    let memory_swap = match options.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        Some(text) => some(bytes(text)?).map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
        None => None,
    };
    Ok(Limits {
        memory: size(&options.memory)?,
        memory_swap,
        milli_cpus,
        cpu_shares: options.cpu_shares,
        memory_reservation: size(&options.memory_reservation)?,
        cpuset_cpus: options.cpuset_cpus.clone(),
        cpuset_mems: options.cpuset_mems.clone(),
        pids: options.pids_limit.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0),
    })
}

fn size(option: &Option<String>) -> Result<Option<u64>, Failure> {
    Ok(option.as_deref().map(bytes).transpose()?.and_then(some))
}

/// A limit of zero is none.
fn some(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

/// Reads a size as docker writes it: bytes, or with k, m, g or t (powers of 1024) also parts such as
/// 0.5g, and perhaps a b.
pub(in crate::container) fn bytes(text: &str) -> Result<u64, Failure> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix('b').unwrap_or(&lower);
    let number = number.strip_suffix('i').unwrap_or(number);
    let (number, shift) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 10),
        Some('m') => (&number[..number.len() - 1], 20),
        Some('g') => (&number[..number.len() - 1], 30),
        Some('t') => (&number[..number.len() - 1], 40),
        _ => (number, 0),
    };
    let whole = || number.parse::<u64>().ok()?.checked_mul(1 << shift);
    let parts = || {
        let is_plain = number.bytes().all(|it| it.is_ascii_digit() || it == b'.');
        let bytes = number.parse::<f64>().ok().filter(|_| is_plain)? * (1_u64 << shift) as f64;
        // Beyond this a number with parts is not exact, and no machine's memory is that large.
        (bytes < (1_u64 << 53) as f64).then_some(bytes as u64)
    };
    let found = whole().or_else(parts);
    found.ok_or_else(|| bad(format!("{text:?} is no size"), "write it 512m or 2g"))
}

pub(super) fn ulimits(texts: &[String]) -> Result<Vec<Ulimit>, Failure> {
    // The machine's are those of the unit, which the container has anyway.
    texts.iter().filter(|text| *text != "host").map(|text| ulimit(text)).collect()
}

fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let wrong =
        || bad(format!("--ulimit {text} is no limit"), "write it nofile=1024 or nofile=1024:4096");
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    };
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}
