//! What runc and crun do with the same root file system and the same settings, where they are
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::stand::Stand;

/// docker's settings in OCI's words (config.md of the runtime specification).
fn config(root: &Path, args: &[&str], uid: u32) -> String {
    let caps = r#"["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD",
        "CAP_NET_RAW","CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]"#;
    let mount = |target: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        let options = serde_json::to_string(&options).unwrap();
        format!(
            r#"{{"destination":"{target}","type":"{kind}","source":"{kind}","options":{options}}}"#
        )
    };
    let mounts = [
        mount("/proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
    ];
    let args = serde_json::to_string(args).unwrap();
    format!(
        r#"{{"ociVersion":"1.0.2","hostname":"box","root":{{"path":"{root}","readonly":false}},
        "process":{{"user":{{"uid":{uid},"gid":{uid}}},"args":{args},"cwd":"/",
          "env":["PATH=/bin","HOME=/"],"noNewPrivileges":false,
          "capabilities":{{"bounding":{caps},"effective":{caps},"permitted":{caps}}}}},
        "mounts":[{mounts}],
        "linux":{{"namespaces":[{{"type":"pid"}},{{"type":"network"}},{{"type":"ipc"}},
            {{"type":"uts"}},{{"type":"mount"}}],
          "resources":{{"devices":[{{"allow":false,"access":"rwm"}}]}},
          "maskedPaths":["/proc/kcore","/proc/keys","/proc/timer_list","/sys/firmware"],
          "readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}}}}"#,
        root = root.display(),
        mounts = mounts.join(","),
    )
}

/// Runs a bundle; `None` where the runtime is not installed.
fn peer(stand: &Stand, runtime: &str, args: &[&str], uid: u32) -> Option<Output> {
    Command::new(runtime).arg("--version").output().ok()?;
    let bundle: PathBuf = stand.path(&format!("bundle-{runtime}"));
    fs::create_dir_all(&bundle).unwrap();
    let root = bundle.join("rootfs");
    if !root.exists() {
        let copied = Command::new("cp").arg("-a").arg(stand.image()).arg(&root).status();
        assert!(copied.unwrap().success());
    }
    fs::write(bundle.join("config.json"), config(&root, args, uid)).unwrap();
    // crun refuses a machine with both versions of cgroups.
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null || true; exec \"$@\"";
    let id = format!("{}-{runtime}", stand.name());
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh", runtime, "run", &id])
        .current_dir(&bundle)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(output)
}

fn own(stand: &Stand, args: &[&str], uid: u32) -> Output {
    let mut spec = stand.spec(args);
    spec.hostname = Some("box".to_owned());
    spec.process.env = vec!["PATH=/bin".to_owned(), "HOME=/".to_owned()];
    spec.process.user = format!("{uid}:{uid}");
    spec.security.seccomp = argosy_container::SeccompChoice::Unconfined;
    stand.run(&spec)
}

#[test]
fn runc_and_crun_show_a_container_the_same() {
    let stand = Stand::new();
    let scripts = [
        // Who it is and what it may do.
        "id -u; id -g; id -G; env | grep -v -E '^(SHLVL|PWD|_)=' | sort; hostname; pwd; umask",
        "grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status",
        "cat /proc/self/oom_score_adj; ulimit -n; ulimit -c",
        // What it sees.
        "ps -o pid,comm | grep '^ *1 '",
        "cd /dev; ls -ln null zero full random urandom tty | tr -s ' ' | cut -d' ' -f1,5-6,10",
        "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls -ld /dev/shm /dev/pts /tmp | cut -c1-10",
        "grep -E ' (/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys) ' /proc/self/mounts | \
         sed 's/size=[0-9]*k//; s/,inode64//; s/gid=5,//' | cut -d' ' -f2-4 | sort",
        "for k in pid net ipc uts mnt; do test -e /proc/self/ns/$k && echo $k; done",
        // What is hidden.
        "for p in /proc/kcore /proc/keys /proc/timer_list; do cat $p 2>/dev/null | head -c 1 | wc -c; done; ls /sys/firmware | wc -l",
        "for p in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq/x /proc/fs/x /proc/bus/x /sys/x; do \
         (true > $p) 2>&1 | sed 's/.*: //'; done",
        "mknod /tmp/d b 254 0 && dd if=/tmp/d of=/dev/null count=0 2>&1 | sed 's/.*: //'; rm -f /tmp/d",
        "mount -t tmpfs none /tmp 2>&1 | sed 's/.*: //'; hostname other 2>&1 | sed 's/.*: //'",
    ];
    // One container for all: each start takes its time.
    let all = scripts.map(|script| format!("({script}); echo --")).join("\n");
    let args = ["sh", "-c", &all];
    let sections = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split("--\n").map(str::to_owned).collect::<Vec<_>>()
    };
    for uid in [0, 33] {
        let ours = sections(&own(&stand, &args, uid));
        assert_eq!(ours.len(), scripts.len() + 1, "{ours:?}");
        for runtime in ["runc", "crun"] {
            let Some(output) = peer(&stand, runtime, &args, uid) else { continue };
            let theirs = sections(&output);
            for ((script, ours), theirs) in scripts.iter().zip(&ours).zip(&theirs) {
                assert_eq!(ours, theirs, "{runtime} {uid} {script}");
            }
            assert_eq!(ours.len(), theirs.len(), "{output:?}");
        }
    }
}

#[test]
fn runc_and_crun_end_the_same() {
    let stand = Stand::new();
    let cases: [&[&str]; 5] = [
        &["true"],
        &["sh", "-c", "exit 42"],
        &["sh", "-c", "kill -9 $$; exit 3"],
        &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"],
        &["sh", "-c", "trap 'exit 8' TERM; kill $$; exit 3"],
    ];
    for args in cases {
        let ours = own(&stand, args, 0).status.code();
        for runtime in ["runc", "crun"] {
            let Some(theirs) = peer(&stand, runtime, args, 0) else { continue };
            assert_eq!(ours, theirs.status.code(), "{runtime} {args:?}");
        }
    }
}
