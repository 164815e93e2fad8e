//! Which devices a container may use: rules of version 1, or a program in version 2.

use std::fs::{self, File};
use std::os::fd::AsFd;

use super::Cgroups;
use crate::clamped::Clamped;
use crate::sys;

/// Kinds of access, as the kernel numbers them (linux/bpf.h).
const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;

/// A device, or all of one number, that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    /// `b`, `c`, or `a` for both.
    kind: char,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

/// A text is no rule about devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device rule: write `c 10:200 rwm`, with `*` for any number")]
pub struct BadDeviceRule(String);

impl DeviceRule {
    /// Reads `c 1:3 rwm`.
    pub(crate) fn parse(text: &str) -> Result<DeviceRule, BadDeviceRule> {
        let parsed = || {
            let mut words = text.split_whitespace();
            let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
            let (major, minor) = numbers.split_once(':')?;
            let number = |text: &str| match text {
                "*" => Some(None),
                _ => text.parse().ok().map(Some),
            };
            let rule = DeviceRule {
                kind: ["a", "b", "c"].contains(&kind).then(|| kind.chars().next())??,
                major: number(major)?,
                minor: number(minor)?,
                access: access_of(access)?,
            };
            words.next().is_none().then_some(rule)
        };
        parsed().ok_or_else(|| BadDeviceRule(text.to_owned()))
    }

    /// Allows one device.
    pub(crate) fn device(block: bool, major: u32, minor: u32, access: &str) -> Option<DeviceRule> {
        let kind = if block { 'b' } else { 'c' };
        Some(DeviceRule {
            kind,
            major: Some(major),
            minor: Some(minor),
            access: access_of(access)?,
        })
    }

    /// Returns what every container may use: any device file may be made, and those of `/dev` used.
    pub(crate) fn defaults() -> Vec<DeviceRule> {
        let rules = [
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
            "c 136:* rwm",
        ];
        rules.iter().filter_map(|it| DeviceRule::parse(it).ok()).collect()
    }

    fn text(&self) -> String {
        let number = |it: Option<u32>| it.map_or("*".to_owned(), |it| it.to_string());
        let letters = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')];
        let access: String =
            letters.iter().filter(|it| self.access & it.0 != 0).map(|it| it.1).collect();
        format!("{} {}:{} {access}", self.kind, number(self.major), number(self.minor))
    }
}

fn access_of(text: &str) -> Option<u32> {
    let bit = |letter| match letter {
        'r' => Some(READ),
        'w' => Some(WRITE),
        'm' => Some(MAKE),
        _ => None,
    };
    let all = text.chars().try_fold(0, |all, letter| {
        let bit = bit(letter)?;
        (all & bit == 0).then_some(all | bit)
    })?;
    (all != 0).then_some(all)
}

/// Allows these devices and no others; reports where that cannot be had.
pub(crate) fn restrict(cgroups: &Cgroups, rules: &[DeviceRule], clamped: &mut Vec<Clamped>) {
    let reason = match (restrict_v1(cgroups, rules), cgroups.v2()) {
        (Some(Ok(())), _) => return,
        (_, Some(path)) => {
            let attached = File::open(path)
                .and_then(|cgroup| sys::attach_device_program(cgroup.as_fd(), &program(rules)));
            match attached {
                Ok(()) => return,
                Err(error) => error.to_string(),
            }
        }
        (Some(Err(error)), None) => error.to_string(),
        (None, None) => "the machine has no cgroup for it here".to_owned(),
    };
    let given = "every device that its user may open";
    clamped.push(Clamped::new("devices", "only those it was given", given, reason));
}

fn restrict_v1(cgroups: &Cgroups, rules: &[DeviceRule]) -> Option<std::io::Result<()>> {
    let path = cgroups.v1("devices")?;
    let all = || {
        fs::write(path.join("devices.deny"), "a")?;
        for rule in rules {
            fs::write(path.join("devices.allow"), rule.text())?;
        }
        Ok(())
    };
    Some(all())
}

/// Writes the program of version 2: one test after the other, each answering yes when it fits.
fn program(rules: &[DeviceRule]) -> Vec<u64> {
    // Registers: 1 the context, then 2 the kind, 3 the access, 4 and 5 the numbers.
    let mut code = vec![
        instruction(0x61, 2, 1, 0, 0),
        instruction(0xbc, 3, 2, 0, 0),
        instruction(0x54, 2, 0, 0, 0xffff),
        instruction(0x74, 3, 0, 0, 16),
        instruction(0x61, 4, 1, 4, 0),
        instruction(0x61, 5, 1, 8, 0),
    ];
    for rule in rules {
        let mut tests = Vec::new();
        match rule.kind {
            'b' => tests.push((2, 1)),
            'c' => tests.push((2, 2)),
            _ => {}
        }
        tests.extend(rule.major.map(|it| (4, it)));
        tests.extend(rule.minor.map(|it| (5, it)));
        // Behind the tests: is anything else wanted than is allowed (3 instructions), and the yes
        // (2 instructions).
        let mut left = tests.len() as i16 + 5;
        for (register, value) in tests {
            left -= 1;
            code.push(instruction(0x55, register, 0, left, value as i32));
        }
        code.extend([
            instruction(0xbc, 6, 3, 0, 0),
            instruction(0x54, 6, 0, 0, !rule.access as i32),
            instruction(0x55, 6, 0, 2, 0),
            instruction(0xb7, 0, 0, 0, 1),
            instruction(0x95, 0, 0, 0, 0),
        ]);
    }
    code.extend([instruction(0xb7, 0, 0, 0, 0), instruction(0x95, 0, 0, 0, 0)]);
    code
}

/// Packs `struct bpf_insn`.
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let [a, b] = offset.to_ne_bytes();
    let [c, d, e, f] = value.to_ne_bytes();
    u64::from_ne_bytes([code, registers, a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::DeviceRule;

    #[test]
    fn rules_are_read_as_docker_writes_them() {
        let check = |text| DeviceRule::parse(text).map_or("refused".to_owned(), |it| it.text());
        assert_eq!(check("c 10:200 rwm"), "c 10:200 rwm");
        assert_eq!(check("b *:* m"), "b *:* m");
        assert_eq!(check("a 7:* r"), "a 7:* r");
        for bad in
            ["", "c", "d 1:2 r", "c 1 r", "c 1:2 x", "c 1:2 rr", "c 1:2", "c 1:2 r r", "c -1:2 r"]
        {
            assert_eq!(check(bad), "refused", "{bad}");
        }
    }
}
