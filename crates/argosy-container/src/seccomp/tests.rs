//! Filters, run by an interpreter of the kernel's instructions.

use std::path::Path;

use rustix::thread::CapabilitySet;

use super::syscalls::{CONVENTIONS, Table};
use super::{Action, Profile, assembler, default_profile, json};
use crate::capabilities;
use crate::spec::Security;
use crate::sys::FilterStep;

/// Runs a filter over one call; returns what the kernel would be told.
fn run(steps: &[FilterStep], mark: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(mark.to_ne_bytes());
    data.extend([0; 8]);
    arguments.iter().for_each(|it| data.extend(it.to_ne_bytes()));
    let (mut place, mut value) = (0, 0_u32);
    loop {
        let step = &steps[place];
        place += 1;
        let holds = match u32::from(step.code) {
            0x20 => {
                let at = step.k as usize;
                value = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
                continue;
            }
            0x54 => {
                value &= step.k;
                continue;
            }
            0x06 => return step.k,
            0x05 => {
                place += step.k as usize;
                continue;
            }
            0x15 => value == step.k,
            0x25 => value > step.k,
            0x35 => value >= step.k,
            other => panic!("instruction {other:#x}"),
        };
        place += usize::from(if holds { step.jt } else { step.jf });
    }
}

/// Runs a call by name and says what happens to it.
struct Judge {
    steps: Vec<FilterStep>,
    table: Table,
}

impl Judge {
    fn new(profile: &Profile, capabilities: CapabilitySet) -> Judge {
        let table = Table::new();
        let steps = assembler::assemble(profile, &table, capabilities, (6, 1));
        assert!(steps.len() < super::STEPS_MAX);
        Judge { steps, table }
    }

    fn docker(add: &[&str]) -> Judge {
        let cap_add = add.iter().map(|it| (*it).to_owned()).collect();
        let security = Security { cap_add, ..Security::default() };
        Judge::new(&default_profile(), capabilities::wanted(&security).unwrap())
    }

    fn ask(&self, convention: usize, name: &str, arguments: &[u64]) -> String {
        let convention = CONVENTIONS[convention];
        let number = self.table.number(name, convention).unwrap();
        self.ask_number(convention.mark, number, arguments)
    }

    fn ask_number(&self, mark: u32, number: u32, arguments: &[u64]) -> String {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        match run(&self.steps, mark, number, all) {
            0x7fff_0000 => "allow".to_owned(),
            0x8000_0000 => "kill".to_owned(),
            it if it >> 16 == 5 => format!("errno {}", it & 0xffff),
            other => format!("{other:#x}"),
        }
    }
}

#[test]
fn docker_s_profile_allows_and_denies_by_capability() {
    let plain = Judge::docker(&[]);
    for name in ["read", "write", "openat", "execve", "ptrace", "futex_wait", "seccomp", "chroot"] {
        assert_eq!(plain.ask(0, name, &[]), "allow", "{name}");
    }
    for name in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "bpf",
        "keyctl",
        "add_key",
        "kexec_load",
        "reboot",
        "init_module",
        "swapon",
        "open_by_handle_at",
        "mbind",
        "io_uring_setup",
        "userfaultfd",
        "perf_event_open",
        "settimeofday",
        "syslog",
        "iopl",
    ] {
        assert_eq!(plain.ask(0, name, &[]), "errno 1", "{name}");
    }
    let admin = Judge::docker(&["SYS_ADMIN", "SYS_NICE"]);
    for name in ["mount", "unshare", "clone3", "mbind", "perf_event_open", "bpf"] {
        assert_eq!(admin.ask(0, name, &[]), "allow", "{name}");
    }
    assert_eq!(admin.ask(0, "keyctl", &[]), "errno 1");
}

#[test]
fn arguments_decide() {
    let plain = Judge::docker(&[]);
    let new_user = libc::CLONE_NEWUSER as u64;
    assert_eq!(plain.ask(0, "clone", &[libc::SIGCHLD as u64]), "allow");
    assert_eq!(plain.ask(0, "clone", &[new_user]), "errno 1");
    assert_eq!(Judge::docker(&["SYS_ADMIN"]).ask(0, "clone", &[new_user]), "allow");
    // Threads ask for clone3 first, and take clone when there is none.
    assert_eq!(plain.ask(0, "clone3", &[]), "errno 38");
    for (family, expected) in [
        (1, "allow"),
        (16, "allow"),
        (37, "allow"),
        (38, "errno 1"),
        (39, "allow"),
        (40, "errno 1"),
        (41, "allow"),
        // The kernel sees the lower half alone.
        (1 << 32 | 38, "errno 1"),
    ] {
        assert_eq!(plain.ask(0, "socket", &[family]), expected, "family {family}");
    }
    assert_eq!(plain.ask(0, "personality", &[0xffff_ffff]), "allow");
    assert_eq!(plain.ask(0, "personality", &[0x40000]), "errno 1");
}

#[test]
fn a_call_that_nobody_knows_is_as_if_the_kernel_had_none() {
    let plain = Judge::docker(&[]);
    let own = CONVENTIONS[0].mark;
    assert_eq!(plain.ask_number(own, 4000, &[]), "errno 38");
    // x32: mount by another number.
    assert_eq!(plain.ask_number(own, 0x4000_0000 | 165, &[]), "errno 38");
    assert_eq!(plain.ask_number(own, 0xffff_ffff, &[]), "errno 38");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_call_is_no_way_around() {
    let plain = Judge::docker(&[]);
    assert_eq!(plain.ask(1, "mount", &[]), "errno 1");
    assert_eq!(plain.ask(1, "keyctl", &[]), "errno 1");
    assert_eq!(plain.ask(1, "read", &[]), "allow");
    assert_eq!(plain.ask(1, "socketcall", &[]), "allow");
    // 21 is mount there, and access here.
    assert_eq!(plain.ask_number(CONVENTIONS[1].mark, 21, &[]), "errno 1");
    assert_eq!(plain.ask_number(CONVENTIONS[0].mark, 21, &[]), "allow");
    // No such machine.
    assert_eq!(plain.ask_number(0xc000_00b7, 0, &[]), "kill");
}

#[test]
fn every_word_of_the_default_profile_is_known() {
    let table = Table::new();
    let foreign = [
        "riscv_hwprobe",
        "arm_fadvise64_64",
        "arm_sync_file_range",
        "sync_file_range2",
        "breakpoint",
        "cacheflush",
        "set_tls",
        "fstatat64",
        "recv",
        "send",
        "utimensat_time64",
        "timerfd_create",
    ];
    for rule in default_profile().rules {
        let when = rule.when;
        assert!(when.capabilities.iter().chain(&when.no_capabilities).all(|it| *it < 41));
        for name in rule.names.iter().filter(|it| !foreign.contains(&it.as_str())) {
            let known = [0, 1]
                .map(|it| CONVENTIONS.get(it).is_some_and(|it| table.number(name, *it).is_some()));
            assert!(known.contains(&true), "{name}");
        }
    }
}

#[test]
fn every_way_of_comparing_is_right() {
    const OVER: u64 = 1 << 32;
    /// The word, its values, arguments for which it holds, arguments for which it does not.
    type Case = (&'static str, u64, u64, &'static [u64], &'static [u64]);
    let cases: [Case; 7] = [
        ("EQ", 5, 0, &[5], &[4, 6, OVER | 5]),
        ("NE", 5, 0, &[4, 6, OVER | 5], &[5]),
        ("LT", OVER, 0, &[0, 5, OVER - 1], &[OVER, OVER + 1, 2 * OVER]),
        ("LE", OVER, 0, &[0, OVER], &[OVER + 1, 2 * OVER]),
        ("GT", OVER, 0, &[OVER + 1, 2 * OVER, 2 * OVER + 1], &[0, OVER, OVER - 1]),
        ("GE", OVER + 5, 0, &[OVER + 5, OVER + 6, 2 * OVER], &[OVER + 4, 5, 6, 0]),
        ("MASKED_EQ", OVER | 6, 4, &[4, 5, 4 | (2 * OVER)], &[0, 6, 2, OVER | 4]),
    ];
    for (op, value, value_two, holds, fails) in cases {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
               {{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":7,"args":[
                 {{"index":2,"value":{value},"valueTwo":{value_two},"op":"SCMP_CMP_{op}"}},
                 {{"index":0,"value":1,"op":"SCMP_CMP_EQ"}}]}}]}}"#
        );
        let profile = json::parse(&text, Path::new("p")).unwrap();
        let judge = Judge::new(&profile, CapabilitySet::empty());
        for it in holds {
            assert_eq!(judge.ask(0, "read", &[1, 0, *it]), "errno 7", "{op} {it:#x}");
            assert_eq!(judge.ask(0, "read", &[2, 0, *it]), "allow", "{op} {it:#x}");
        }
        for it in fails {
            assert_eq!(judge.ask(0, "read", &[1, 0, *it]), "allow", "{op} {it:#x}");
        }
        assert_eq!(judge.ask(0, "write", &[1, 0, 5]), "allow");
    }
}

#[test]
fn a_profile_that_cannot_be_kept_is_refused() {
    let refuse = |text: &str| match json::parse(text, Path::new("p.json")) {
        Ok(profile) => panic!("{:?}", profile.default == Action::Allow),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        refuse(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#),
        "the seccomp profile p.json: SCMP_ACT_NOTIFY is not supported"
    );
    assert_eq!(
        refuse(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
            "action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#
        ),
        "the seccomp profile p.json: argument 6 is not supported"
    );
    assert_eq!(refuse("{"), "the seccomp profile p.json is no profile in docker's format");
}

#[test]
fn a_profile_without_the_32_bit_machine_ends_its_programs() {
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;
    let judge = Judge::new(&json::parse(text, Path::new("p")).unwrap(), CapabilitySet::empty());
    assert_eq!(judge.ask(0, "read", &[]), "allow");
    assert_eq!(judge.ask_number(0x4000_0003, 3, &[]), "kill");
}
