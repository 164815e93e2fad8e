//! Numbers of system calls, on this machine and in its 32-bit programs.

use std::collections::BTreeMap;

const NUMBERS: &str = include_str!("../../data/syscalls.txt");

/// Calls beyond this number have no name here. It rises with `data/syscalls.txt`; until then newer
/// calls look to a program as on a kernel that has none of them.
pub(crate) const NUMBER_MAX: u32 = 469;

/// docker's name of this machine's kind.
#[cfg(target_arch = "x86_64")]
pub(crate) const MACHINE: &str = "amd64";
#[cfg(target_arch = "aarch64")]
pub(crate) const MACHINE: &str = "arm64";

/// A way to make system calls: how the kernel marks it (AUDIT_ARCH of linux/audit.h), and the
/// column of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convention {
    pub(crate) mark: u32,
    column: usize,
    /// Whether it is the machine's own one.
    pub(crate) native: bool,
}

/// The conventions that a filter on this machine meets. One that is not here, such as arm's 32-bit
/// one, ends the process: it would be a way around the filter.
#[cfg(target_arch = "x86_64")]
pub(crate) const CONVENTIONS: &[Convention] = &[
    Convention { mark: 0xc000_003e, column: 0, native: true },
    Convention { mark: 0x4000_0003, column: 1, native: false },
];
#[cfg(target_arch = "aarch64")]
pub(crate) const CONVENTIONS: &[Convention] =
    &[Convention { mark: 0xc000_00b7, column: 2, native: true }];

/// Names to numbers.
#[derive(Debug)]
pub(crate) struct Table(BTreeMap<&'static str, [Option<u32>; 3]>);

impl Table {
    pub(crate) fn new() -> Table {
        let line = |line: &'static str| {
            let mut words = line.split(' ');
            let name = words.next().filter(|it| *it != "#")?;
            let mut number = || words.next().and_then(|it| it.parse().ok());
            Some((name, [number(), number(), number()]))
        };
        Table(NUMBERS.lines().filter_map(line).collect())
    }

    /// Returns the number of a call; `None` if this convention has none of that name.
    pub(crate) fn number(&self, name: &str, convention: Convention) -> Option<u32> {
        self.0.get(name)?.get(convention.column).copied().flatten()
    }
}
