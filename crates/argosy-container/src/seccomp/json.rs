//! Profiles in docker's format.

use std::path::Path;

use serde::Deserialize;

use super::{Action, Condition, Profile, Rule, SeccompError, Test, When};
use crate::capabilities;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<Architecture>>,
    #[serde(default)]
    syscalls: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Selector>,
    #[serde(default)]
    excludes: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Arguments of a system call.
const ARGUMENTS: u8 = 6;

/// Reads a profile. What cannot be done as written is refused, never left out.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Profile, SeccompError> {
    let file: File = serde_json::from_str(text)
        .map_err(|source| SeccompError::Syntax { path: path.to_owned(), source })?;
    let refuse = |what: String| SeccompError::Unsupported { path: path.to_owned(), what };
    let (own, other) = match super::syscalls::MACHINE {
        "amd64" => ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
        _ => ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    };
    let listed = |list: &Option<Vec<String>>| {
        list.as_ref().is_some_and(|list| list.iter().any(|it| it == other))
    };
    let mapped = file.arch_map.iter().flatten().filter(|it| it.architecture == own);
    let compatible =
        listed(&file.architectures) || mapped.into_iter().any(|it| listed(&it.sub_architectures));
    let default = action(&file.default_action, file.default_errno_ret).map_err(refuse)?;
    let rules = file.syscalls.into_iter().map(rule).collect::<Result<_, _>>().map_err(refuse)?;
    Ok(Profile { default, compatible, rules })
}

fn rule(line: Line) -> Result<Rule, String> {
    let conditions =
        line.args.unwrap_or_default().iter().map(condition).collect::<Result<_, _>>()?;
    let (with, without) = (line.includes.unwrap_or_default(), line.excludes.unwrap_or_default());
    if without.min_kernel.is_some() {
        return Err("excludes.minKernel".to_owned());
    }
    let numbers = |list: Option<Vec<String>>| {
        let number = |name: &String| capabilities::number(name).map_err(|it| it.0);
        list.unwrap_or_default().iter().map(number).collect::<Result<Vec<_>, _>>()
    };
    Ok(Rule {
        names: line.name.into_iter().chain(line.names).collect(),
        action: action(&line.action, line.errno_ret)?,
        conditions,
        when: When {
            capabilities: numbers(with.caps)?,
            no_capabilities: numbers(without.caps)?,
            machines: with.arches.unwrap_or_default(),
            no_machines: without.arches.unwrap_or_default(),
            kernel: with.min_kernel.map(|text| version(&text)).transpose()?,
        },
    })
}

fn action(name: &str, number: Option<u16>) -> Result<Action, String> {
    let number = number.unwrap_or(libc::EPERM as u16);
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(number),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_TRACE" => Action::Trace(number),
        _ => return Err(name.to_owned()),
    })
}

fn condition(argument: &Argument) -> Result<Condition, String> {
    if argument.index >= ARGUMENTS {
        return Err(format!("argument {}", argument.index));
    }
    let value = argument.value;
    let test = match argument.op.as_str() {
        "SCMP_CMP_EQ" => Test::Equal(value),
        "SCMP_CMP_NE" => Test::NotEqual(value),
        "SCMP_CMP_LT" => Test::Less(value),
        "SCMP_CMP_LE" => Test::LessOrEqual(value),
        "SCMP_CMP_GT" => Test::Greater(value),
        "SCMP_CMP_GE" => Test::GreaterOrEqual(value),
        "SCMP_CMP_MASKED_EQ" => Test::Masked { mask: value, value: argument.value_two },
        other => return Err(other.to_owned()),
    };
    Ok(Condition { index: argument.index, test })
}

fn version(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('.').and_then(|(major, minor)| {
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    });
    parsed.ok_or_else(|| format!("kernel {text}"))
}
