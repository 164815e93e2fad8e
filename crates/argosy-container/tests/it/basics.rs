//! That a container runs, what it sees, and how its end is told.

use std::process::Stdio;

use argosy_container::{Clamped, ContainerError, Namespace, State, Streams, Ulimit, UserNamespace};

use crate::stand::Stand;

#[test]
fn exit_codes_are_docker_s() {
    let stand = Stand::new();
    let cases: [(&[&str], i32); 8] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
        (&["/etc/not-a-program"], 126),
        (&["/etc"], 126),
        (&["/etc/passwd/x"], 127),
    ];
    for (args, code) in cases {
        let output = stand.run(&stand.spec(args));
        // The first process of a PID namespace is not killed by its own signal.
        let code = if args.contains(&"kill -9 $$") { 0 } else { code };
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
    }
    let mut spec = stand.spec(&["true"]);
    spec.process.user = "nobody-here".to_owned();
    let output = stand.run(&spec);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8(output.stderr).unwrap();
    let reason = "cannot find the user: unable to find user nobody-here: \
                  no matching entries in passwd file\n";
    assert_eq!(text, format!("argosy: {reason}"));
}

#[test]
fn a_signal_is_told_as_128_and_its_number() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["sleep", "1000"]);
    // Beside an init the program is an ordinary process, which signals end.
    spec.init = true;
    let mut child = stand.start(&spec);
    stand.containers.kill(&spec.id, libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
    assert_eq!((exit.code, exit.oom_killed), (143, false));
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn output_errors_and_input_are_the_monitor_s_own() {
    use std::io::Write;
    let stand = Stand::new();
    let spec = stand.script("cat; echo bad >&2; exit 3");
    stand.containers.create(&spec).unwrap();
    for attachable in [false, true] {
        let streams = Streams { interactive: true, attachable };
        let mut command = stand.command(&spec.id, streams);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let big = "0123456789".repeat(50_000);
        let mut input = child.stdin.take().unwrap();
        let text = big.clone();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout == big.as_bytes(), "{}", output.stdout.len());
        assert_eq!(output.stderr, b"bad\n");
    }
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn without_interactive_there_is_no_input() {
    let stand = Stand::new();
    let spec = stand.spec(&["cat"]);
    stand.containers.create(&spec).unwrap();
    let mut command = stand.command(&spec.id, Streams::default());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn users_groups_and_variables_are_those_of_the_image() {
    let stand = Stand::new();
    let mut spec = stand.script("id -u; id -g; id -G; echo $HOME; pwd; umask; hostname");
    spec.process.user = "web".to_owned();
    spec.process.groups = vec!["77".to_owned()];
    spec.process.cwd = Some("/made/for/it".to_owned());
    spec.hostname = Some("box".to_owned());
    assert_eq!(
        stand.output(&spec).replace('\n', " "),
        "33 44 44 55 77 /home/web /made/for/it 0022 box"
    );
    let mut spec = stand.script("id -u; id -g; echo $HOME; ls -ld /tmp/x");
    spec.process.user = "1234:55".to_owned();
    spec.process.args[2].insert_str(0, "touch /tmp/x;");
    let text = stand.output(&spec);
    assert!(text.starts_with("1234\n55\n/\n-rw-r--r--"), "{text}");
}

#[test]
fn each_has_its_own_namespaces_or_the_machine_s() {
    let stand = Stand::new();
    let kinds = ["net", "pid", "ipc", "uts", "cgroup", "mnt"];
    let script = "for k in net pid ipc uts cgroup mnt; do readlink /proc/self/ns/$k; done";
    let own: Vec<String> = kinds
        .iter()
        .map(|it| std::fs::read_link(format!("/proc/self/ns/{it}")).unwrap().display().to_string())
        .collect();
    let private = stand.output(&stand.script(script));
    assert!(private.lines().all(|it| !own.contains(&it.to_owned())), "{private}");
    let mut spec = stand.script(script);
    let namespaces = &mut spec.namespaces;
    for it in [
        &mut namespaces.net,
        &mut namespaces.pid,
        &mut namespaces.ipc,
        &mut namespaces.uts,
        &mut namespaces.cgroup,
    ] {
        *it = Namespace::Host;
    }
    let host = stand.output(&spec);
    assert_eq!(host.lines().take(5).collect::<Vec<_>>(), own[..5]);
    assert_ne!(host.lines().last().unwrap(), own[5]);
}

#[test]
fn a_container_can_share_another_one_s_namespaces() {
    let stand = Stand::new();
    let first = stand.spec(&["sleep", "1000"]);
    let mut child = stand.start(&first);
    let script = "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ps -o args; kill -0 1";
    let mut second = stand.script(script);
    second.namespaces.net = Namespace::Container(first.id.clone());
    second.namespaces.pid = Namespace::Container(first.id.clone());
    second.namespaces.ipc = Namespace::Container(first.id.clone());
    let text = stand.output(&second);
    let init = stand.containers.inspect(&first.id).unwrap().init.unwrap();
    for kind in ["net", "pid"] {
        let link = std::fs::read_link(format!("/proc/{}/ns/{kind}", init.pid)).unwrap();
        assert!(text.contains(&link.display().to_string()), "{text}");
    }
    assert!(text.contains("sleep 1000"), "{text}");
    stand.containers.delete(&first.id, true).unwrap();
    child.wait().unwrap();
    let error = stand.containers.create(&second).map(|()| stand.run_again(&second)).unwrap();
    assert!(error.contains("there is no container"), "{error}");
    stand.containers.delete(&second.id, false).unwrap();
}

#[test]
fn a_network_that_was_made_before_is_entered() {
    let stand = Stand::new();
    let mut holder =
        std::process::Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let other =
        crate::stand::wait(|| Some(std::fs::read_link(&path).ok()?).filter(|it| *it != own));
    let mut spec = stand.spec(&["readlink", "/proc/self/ns/net"]);
    spec.namespaces.net = Namespace::Path(path.into());
    assert_eq!(stand.output(&spec), other.display().to_string());
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_loopback_is_up_in_a_network_of_its_own() {
    let stand = Stand::new();
    assert_eq!(stand.output(&stand.script("ping -c 1 -W 5 127.0.0.1 >/dev/null && echo up")), "up");
}

#[test]
fn what_the_machine_does_not_grant_is_reported_and_the_container_runs() {
    let stand = Stand::new();
    let mut spec = stand.script("ulimit -Hn; ulimit -n; cat /proc/self/oom_score_adj");
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let ulimit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
    spec.ulimits =
        vec![ulimit("nofile", Some(64), Some(own + 1)), ulimit("core", Some(0), Some(0))];
    spec.oom_score_adj = Some(-500);
    stand.containers.create(&spec).unwrap();
    let output = stand.command(&spec.id, Streams::default()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
    let lines: Vec<String> = exit.clamped.iter().map(Clamped::to_string).collect();
    let text = String::from_utf8(output.stdout).unwrap();
    // Somebody with CAP_SYS_RESOURCE gets all of it.
    let raised = text.starts_with(&format!("{}\n", own + 1));
    let limit = if raised { own + 1 } else { own };
    assert!(text.starts_with(&format!("{limit}\n64\n")), "{text}");
    assert_eq!(!raised, lines.iter().any(|it| it.starts_with("ulimit nofile: 64:")), "{lines:?}");
    let lowered = text.ends_with("-500\n");
    assert_eq!(!lowered, lines.iter().any(|it| it.starts_with("oom-score-adj: -500")), "{lines:?}");
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_mapped_root_is_nobody_on_the_machine_and_owns_its_image() {
    let stand = Stand::new();
    let script = "id -u; cat /proc/self/uid_map; ls -ln /bin/busybox; echo x >> /etc/passwd; \
                  chmod 600 /etc/group; touch /new /dev/shm/x; id -u > /dev/null; ls -ln /new; \
                  cat /etc/hostname; touch /up; sleep 1000";
    let mut spec = stand.script(script);
    spec.hostname = Some("box".to_owned());
    let ids = argosy_container::IdRange { inside: 0, outside: 100_000, count: 65536 };
    spec.namespaces.user = UserNamespace::Mapped { uids: vec![ids], gids: vec![ids] };
    // Nobody else may even look into it.
    crate::stand::chmod(&stand.path(""), 0o700);
    stand.containers.create(&spec).unwrap();
    crate::stand::chmod(&stand.containers.data_dir, 0o700);
    let mut command = stand.command(&spec.id, Streams::default());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let upper = stand.containers.data_dir.join(spec.id.as_str()).join("upper");
    crate::stand::wait(|| {
        let ended = child.try_wait().unwrap().is_some();
        (ended || upper.join("up").exists()).then_some(())
    });
    use std::os::unix::fs::MetadataExt;
    for name in ["new", "etc/passwd", "etc/group"] {
        let file = std::fs::metadata(upper.join(name)).unwrap();
        assert_eq!((file.uid(), file.gid()), (100_000, 100_000), "{name}");
    }
    let init = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", init.pid)).unwrap();
    assert!(status.contains("Uid:\t100000\t100000"), "{status}");
    assert_eq!(stand.exec(&spec.id, &["id", "-u"]), (0, "0".to_owned()));
    assert_eq!(stand.containers.inspect(&spec.id).unwrap().clamped, []);
    stand.containers.stop(&spec.id, std::time::Duration::ZERO).unwrap();
    child.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(lines[..2], [vec!["0"], vec!["0", "100000", "65536"]], "{text}");
    // Who owns the program, and the new file.
    assert_eq!([lines[2][2], lines[3][2]], ["0", "0"], "{text}");
    assert_eq!(lines[4], ["box"], "{text}");
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_name_is_taken_once_and_a_bad_request_is_refused_before_anything_is_made() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["true"]);
    stand.containers.create(&spec).unwrap();
    assert!(matches!(stand.containers.create(&spec), Err(ContainerError::Exists { .. })));
    assert!(matches!(stand.containers.inspect(&spec.id).unwrap().state, State::Created));
    stand.containers.delete(&spec.id, false).unwrap();
    spec.sysctls.insert("kernel.panic".to_owned(), "1".to_owned());
    let output = stand.run(&spec);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("sysctl kernel.panic is the whole machine's"), "{text}");
}

#[test]
fn settings_of_its_own_network_are_made() {
    let stand = Stand::new();
    let mut spec = stand
        .script("cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start");
    spec.sysctls.insert("net.core.somaxconn".to_owned(), "77".to_owned());
    assert_eq!(stand.output(&spec), "77\n0");
}
