//! What a container may not do.

use std::fs;
use std::path::Path;

use argosy_container::{Clamped, Device, Mount, Root, SeccompChoice, State};

use crate::stand::{Stand, chmod, program};

/// `exit(errno of keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0))`
const KEYCTL: [u8; 31] = [
    0xb8, 0xfa, 0, 0, 0, // mov eax, 250
    0x31, 0xff, // xor edi, edi
    0x48, 0xc7, 0xc6, 0xfe, 0xff, 0xff, 0xff, // mov rsi, -2
    0x31, 0xd2, // xor edx, edx
    0x0f, 0x05, // syscall
    0x89, 0xc7, // mov edi, eax
    0xf7, 0xdf, // neg edi
    0xb8, 0x3c, 0, 0, 0, // mov eax, 60
    0x0f, 0x05, // syscall
    0x90, 0x90,
];

/// The same, by the way in for 32-bit programs.
const KEYCTL_32: [u8; 30] = [
    0xb8, 0x20, 1, 0, 0, // mov eax, 288
    0x31, 0xdb, // xor ebx, ebx
    0xb9, 0xfe, 0xff, 0xff, 0xff, // mov ecx, -2
    0x31, 0xd2, // xor edx, edx
    0xcd, 0x80, // int 0x80
    0x89, 0xc7, // mov edi, eax
    0xf7, 0xdf, // neg edi
    0xb8, 0x3c, 0, 0, 0, // mov eax, 60
    0x0f, 0x05, // syscall
    0x90, 0x90, 0x90,
];

/// `exit(geteuid())`
const EFFECTIVE_USER: [u8; 16] = [
    0xb8, 0x6b, 0, 0, 0, // mov eax, 107
    0x0f, 0x05, // syscall
    0x89, 0xc7, // mov edi, eax
    0xb8, 0x3c, 0, 0, 0, // mov eax, 60
    0x0f, 0x05, // syscall
];

/// The image with programs that make one call.
fn with_programs(stand: &Stand) -> Root {
    let layer = stand.path("programs");
    fs::create_dir_all(&layer).unwrap();
    program(&layer.join("keyctl"), &KEYCTL);
    program(&layer.join("keyctl32"), &KEYCTL_32);
    program(&layer.join("user"), &EFFECTIVE_USER);
    program(&layer.join("setuid"), &EFFECTIVE_USER);
    chmod(&layer.join("setuid"), 0o4755);
    Root::Layers(vec![stand.image().to_owned(), layer])
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_blocked_call_is_blocked_with_and_without_new_privileges() {
    let stand = Stand::new();
    let root = with_programs(&stand);
    let run = |program: &str, no_new_privileges, seccomp, user: &str| {
        let mut spec = stand.spec(&[program]);
        spec.root = root.clone();
        spec.process.user = user.to_owned();
        spec.security.no_new_privileges = no_new_privileges;
        spec.security.seccomp = seccomp;
        stand.run(&spec).status.code().unwrap()
    };
    for no_new_privileges in [false, true] {
        for user in ["", "web"] {
            let blocked = run("/keyctl", no_new_privileges, SeccompChoice::Default, user);
            assert_eq!(blocked, libc::EPERM, "{no_new_privileges} {user}");
            let open = run("/keyctl", no_new_privileges, SeccompChoice::Unconfined, user);
            assert_ne!(open, libc::EPERM, "{no_new_privileges} {user}");
            // A setuid program gives what it gives, unless that was forbidden.
            let setuid = run("/setuid", no_new_privileges, SeccompChoice::Default, user);
            let own = if user == "web" { 33 } else { 0 };
            assert_eq!(setuid, if no_new_privileges { own } else { 0 }, "{user}");
        }
    }
    assert_eq!(run("/user", false, SeccompChoice::Default, "web"), 33);
    // A kernel without 32-bit programs kills by SIGSEGV there; then there is nothing to get around.
    let open = run("/keyctl32", false, SeccompChoice::Unconfined, "");
    if open != 128 + libc::SIGSEGV {
        assert_ne!(open, libc::EPERM);
        assert_eq!(run("/keyctl32", false, SeccompChoice::Default, ""), libc::EPERM);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_profile_of_the_user_s_is_kept() {
    let stand = Stand::new();
    let path = stand.path("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
        "syscalls":[{"names":["geteuid"],"action":"SCMP_ACT_ERRNO","errnoRet":77},
                    {"names":["keyctl"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
    fs::write(&path, text).unwrap();
    let root = with_programs(&stand);
    let run = |program: &str| {
        let mut spec = stand.spec(&[program]);
        spec.root = root.clone();
        spec.security.seccomp = SeccompChoice::File(path.clone());
        // Beside an init, so that its end by a signal shows.
        spec.init = true;
        stand.run(&spec).status.code().unwrap()
    };
    assert_eq!(run("/user"), (-77_i32 & 0xff));
    assert_eq!(run("/keyctl"), 128 + libc::SIGSYS);
    assert_eq!(run("/keyctl32"), 128 + libc::SIGSYS);
}

#[test]
fn capabilities_are_docker_s_and_what_was_said() {
    let stand = Stand::new();
    let status = |add: &[&str], drop: &[&str], privileged, user: &str| {
        let list = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let mut spec = stand.spec(&["grep", "-E", "Cap|NoNew|Seccomp:", "/proc/self/status"]);
        spec.security.cap_add = list(add);
        spec.security.cap_drop = list(drop);
        spec.security.privileged = privileged;
        spec.process.user = user.to_owned();
        let words = stand.output(&spec);
        words.split_whitespace().skip(1).step_by(2).collect::<Vec<_>>().join(" ")
    };
    let (none, docker) = ("0000000000000000", "00000000a80425fb");
    // Inheritable, permitted, effective, bounding, ambient; no new privileges; filter.
    assert_eq!(
        status(&[], &[], false, ""),
        format!("{none} {docker} {docker} {docker} {none} 0 2")
    );
    assert_eq!(status(&[], &[], false, "web"), format!("{none} {none} {none} {docker} {none} 0 2"));
    let bind = "0000000000000400";
    assert_eq!(
        status(&["NET_BIND_SERVICE"], &["ALL"], false, ""),
        format!("{none} {bind} {bind} {bind} {none} 0 2")
    );
    // As many as we have ourselves.
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap();
    assert_eq!(status(&[], &[], true, ""), format!("{none} {own} {own} {own} {none} 0 0"));
}

#[test]
fn paths_are_masked_and_read_only_unless_privileged() {
    let stand = Stand::new();
    let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | head -c 1 | wc -c; \
                  ls /sys/firmware | wc -l; touch /proc/sys/kernel/domainname 2>&1 | wc -l; \
                  echo b > /proc/sysrq-trigger 2>/dev/null || echo kept";
    let plain = stand.output(&stand.script(&script.replace("echo b", "true")));
    assert_eq!(plain.lines().collect::<Vec<_>>(), ["0", "0", "1", "kept"]);
    let mut spec = stand.script("echo x > /proc/sys/kernel/domainname && mount | grep -c /proc/");
    spec.security.privileged = true;
    let output = stand.run(&spec);
    assert_eq!(output.stdout, b"0\n");
    let mut own =
        stand.script("cat /proc/version | wc -c; cat /etc/passwd | wc -c; ls /tmp | wc -l");
    own.security.masked_paths =
        Some(["/proc/version", "/etc/passwd", "/none"].map(str::to_owned).to_vec());
    assert_eq!(stand.output(&own), "0\n0\n0");
}

#[test]
fn devices_are_those_given_by_rules_of_either_version() {
    let stand = Stand::new();
    let script = "mknod /tmp/fuse c 10 229; dd if=/tmp/fuse of=/dev/null count=0 2>/dev/null && echo open; \
                  mknod /tmp/disk b 254 0; dd if=/tmp/disk of=/dev/null count=0 2>/dev/null && echo open; \
                  dd if=/dev/zero of=/dev/null count=1 2>/dev/null && head -c 1 /dev/urandom | wc -c; \
                  test -e /dev/given && dd if=/dev/given of=/dev/null count=0 2>/dev/null && echo given";
    let hide_v1 = "umount /sys/fs/cgroup/devices";
    let without: &[&str] =
        if Path::new("/sys/fs/cgroup/devices").exists() { &["true", hide_v1] } else { &["true"] };
    for version in without {
        let plain = stand.script(script);
        stand.containers.create(&plain).unwrap();
        let output = stand.command_after(&plain.id, version).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{version}: {output:?}");
        let exit = stand.containers.exit(&plain.id).unwrap().unwrap();
        assert!(exit.clamped.is_empty(), "{version}: {:?}", exit.clamped);
        stand.containers.delete(&plain.id, false).unwrap();
        let mut given = stand.script(script);
        given.devices = vec![Device {
            source: "/dev/fuse".into(),
            target: "/dev/given".to_owned(),
            access: "rwm".to_owned(),
        }];
        given.device_rules = vec!["b 254:0 r".to_owned()];
        stand.containers.create(&given).unwrap();
        let output = stand.command_after(&given.id, version).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("open\n") && text.ends_with("1\ngiven\n"), "{version}: {text}");
        stand.containers.delete(&given.id, false).unwrap();
    }
}

#[test]
fn the_helper_s_own_program_cannot_be_written_to() {
    let stand = Stand::new();
    let spec = stand.spec(&["sleep", "1000"]);
    let mut child = stand.start(&spec);
    let inspection = stand.containers.inspect(&spec.id).unwrap();
    assert!(matches!(inspection.state, State::Running));
    // What a container gets hold of when its program is a link to /proc/self/exe. That it is busy
    // now ends with the helper; that it is on a read-only mount does not.
    let program = fs::File::open(format!("/proc/{}/exe", child.id())).unwrap();
    let flags = rustix::fs::fstatvfs(&program).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_container_sees_its_own_processes_and_cgroups_only() {
    let stand = Stand::new();
    let text = stand.output(&stand.script("ps -o pid | wc -l; cat /proc/self/cgroup; ls /sys/fs/cgroup/memory/tasks /sys/fs/cgroup/cgroup.procs 2>/dev/null | wc -l"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].trim().parse::<u32>().unwrap() <= 4, "{text}");
    assert!(lines.iter().any(|it| it.ends_with("::/")), "{text}");
    assert!(!text.contains("container-"), "{text}");
    let mut spec = stand
        .script("touch /sys/fs/cgroup/x || touch /sys/x || mount -t tmpfs none /tmp || echo kept");
    spec.mounts.push(Mount::tmpfs("/scratch"));
    assert_eq!(stand.output(&spec), "kept");
}

#[test]
fn without_any_cgroup_it_runs_and_says_what_is_missing() {
    let stand = Stand::new();
    let mut spec = stand.script("echo alive");
    spec.limits.memory = Some(64 << 20);
    stand.containers.create(&spec).unwrap();
    let output = stand.command_after(&spec.id, "umount -R /sys/fs/cgroup").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n", "{output:?}");
    let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
    let lines: Vec<String> = exit.clamped.iter().map(Clamped::to_string).collect();
    assert!(lines.iter().any(|it| it.starts_with("memory: 67108864 was asked for")), "{lines:?}");
    assert!(lines.iter().any(|it| it.starts_with("devices: only those")), "{lines:?}");
    stand.containers.delete(&spec.id, false).unwrap();
}
