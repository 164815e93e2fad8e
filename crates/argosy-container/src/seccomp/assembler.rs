//! From a profile to the kernel's instructions: a tree of number ranges, so that each call takes
//! about ten steps, whatever its number.

use std::collections::BTreeMap;

use rustix::thread::CapabilitySet;

use super::syscalls::{CONVENTIONS, Convention, NUMBER_MAX, Table};
use super::{Action, Condition, Profile, Test};
use crate::sys::FilterStep;

/// Offsets within struct seccomp_data.
const NUMBER_AT: u32 = 0;
const MARK_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const SKIP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_NOT_LESS: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;

/// How one call is judged: rules with conditions in their order, then what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    conditional: Vec<(Vec<Condition>, Action)>,
    otherwise: Action,
}

impl Verdict {
    fn plain(action: Action) -> Verdict {
        Verdict { conditional: Vec::new(), otherwise: action }
    }
}

/// Assembles the filter for a container with these capabilities.
pub(crate) fn assemble(
    profile: &Profile,
    table: &Table,
    capabilities: CapabilitySet,
    kernel: (u32, u32),
) -> Vec<FilterStep> {
    let mut steps = vec![step(LOAD, MARK_AT)];
    for convention in CONVENTIONS.iter().filter(|it| it.native || profile.compatible) {
        let verdicts = verdicts(profile, table, *convention, capabilities, kernel);
        let mut code = vec![step(LOAD, NUMBER_AT)];
        code.extend(tree(&ranges(verdicts, profile.default)));
        steps.push(jump(IF_EQUAL, convention.mark, 1, 0));
        steps.push(step(SKIP, code.len() as u32));
        steps.append(&mut code);
    }
    steps.push(answer(Action::KillProcess));
    steps
}

/// Decides for each number that some rule names.
fn verdicts(
    profile: &Profile,
    table: &Table,
    convention: Convention,
    capabilities: CapabilitySet,
    kernel: (u32, u32),
) -> BTreeMap<u32, Verdict> {
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    for rule in profile.rules.iter().filter(|rule| rule.when.holds(capabilities, kernel)) {
        for name in &rule.names {
            let Some(number) = table.number(name, convention) else { continue };
            let verdict = verdicts.entry(number).or_insert_with(|| Verdict::plain(profile.default));
            if rule.conditions.is_empty() {
                verdict.otherwise = rule.action;
            } else {
                verdict.conditional.push((rule.conditions.clone(), rule.action));
            }
        }
    }
    verdicts
}

/// Covers all numbers with ranges of one verdict each, by the first number of each range.
fn ranges(verdicts: BTreeMap<u32, Verdict>, default: Action) -> Vec<(u32, Verdict)> {
    let mut ranges = vec![(0, Verdict::plain(default))];
    let mut add = |from: u32, verdict: Verdict| match ranges.last_mut() {
        Some((start, last)) if *start == from => *last = verdict,
        Some((_, last)) if *last == verdict => {}
        _ => ranges.push((from, verdict)),
    };
    let mut next = 0;
    for (number, verdict) in verdicts {
        if number > next {
            add(next, Verdict::plain(default));
        }
        add(number, verdict);
        next = number + 1;
    }
    add(next, Verdict::plain(default));
    // What nobody knows yet, and x32, is as on a kernel without it: programs then do without.
    // A profile that lets everything pass lets that pass, too.
    if matches!(default, Action::Errno(_)) {
        let unknown = Verdict::plain(Action::Errno(libc::ENOSYS as u16));
        add((NUMBER_MAX + 1).max(next), unknown);
    }
    ranges
}

/// Finds the range of a loaded number, half by half.
fn tree(ranges: &[(u32, Verdict)]) -> Vec<FilterStep> {
    match ranges {
        [] => Vec::new(),
        [(_, verdict)] => leaf(verdict),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let first = high.first().map_or(0, |(from, _)| *from);
            let mut below = tree(low);
            let mut code = vec![jump(IF_NOT_LESS, first, 0, 1), step(SKIP, below.len() as u32)];
            code.append(&mut below);
            code.extend(tree(high));
            code
        }
    }
}

fn leaf(verdict: &Verdict) -> Vec<FilterStep> {
    let mut code = Vec::new();
    for (conditions, action) in &verdict.conditional {
        let mut rule: Vec<FilterStep> = Vec::new();
        for condition in conditions.iter().rev() {
            let mut with_rest = test(*condition, rule.len());
            with_rest.append(&mut rule);
            rule = with_rest;
        }
        // The jumps of a failed test go behind the rule's answer.
        rule.push(answer(*action));
        code.append(&mut rule);
    }
    code.push(answer(verdict.otherwise));
    code
}

/// Tests an argument, high half first. It goes on behind itself if it holds, and past `rest`
/// further instructions and the answer behind them if not.
fn test(condition: Condition, rest: usize) -> Vec<FilterStep> {
    let low_at = ARGUMENTS_AT + 8 * u32::from(condition.index);
    let (low_at, high_at) =
        if cfg!(target_endian = "little") { (low_at, low_at + 4) } else { (low_at + 4, low_at) };
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    // Jumps to the label are resolved when the length is known.
    const HOLDS: u8 = 254;
    const FAILS: u8 = 255;
    let ordered = |value: u64, low_test: u16, greater: bool| {
        let (high, low) = halves(value);
        let (over, under) = if greater { (HOLDS, FAILS) } else { (FAILS, HOLDS) };
        let (yes, no) = if greater { (HOLDS, FAILS) } else { (FAILS, HOLDS) };
        vec![
            step(LOAD, high_at),
            jump(IF_GREATER, high, over, 0),
            jump(IF_EQUAL, high, 0, under),
            step(LOAD, low_at),
            jump(low_test, low, yes, no),
        ]
    };
    let equal = |value: u64, holds: u8, fails: u8| {
        let (high, low) = halves(value);
        vec![
            step(LOAD, high_at),
            jump(IF_EQUAL, high, 0, fails),
            step(LOAD, low_at),
            jump(IF_EQUAL, low, holds, fails),
        ]
    };
    let mut code = match condition.test {
        Test::Equal(value) => equal(value, HOLDS, FAILS),
        Test::NotEqual(value) => equal(value, FAILS, HOLDS),
        Test::Greater(value) => ordered(value, IF_GREATER, true),
        Test::GreaterOrEqual(value) => ordered(value, IF_NOT_LESS, true),
        Test::LessOrEqual(value) => ordered(value, IF_GREATER, false),
        Test::Less(value) => ordered(value, IF_NOT_LESS, false),
        Test::Masked { mask, value } => {
            let ((mask_high, mask_low), (high, low)) = (halves(mask), halves(value));
            vec![
                step(LOAD, high_at),
                step(AND, mask_high),
                jump(IF_EQUAL, high, 0, FAILS),
                step(LOAD, low_at),
                step(AND, mask_low),
                jump(IF_EQUAL, low, HOLDS, FAILS),
            ]
        }
    };
    let length = code.len();
    for (place, step) in code.iter_mut().enumerate() {
        let to_end = (length - place - 1) as u8;
        for target in [&mut step.jt, &mut step.jf] {
            match *target {
                HOLDS => *target = to_end,
                FAILS => *target = to_end + rest as u8 + 1,
                _ => {}
            }
        }
    }
    code
}

fn answer(action: Action) -> FilterStep {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Trace(value) => libc::SECCOMP_RET_TRACE | u32::from(value),
    };
    step(RETURN, value)
}

fn step(code: u16, k: u32) -> FilterStep {
    FilterStep { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> FilterStep {
    FilterStep { code, jt, jf, k }
}
