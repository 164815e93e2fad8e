//! Containers that run in the namespaces of a holder.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use argosy_container::{ContainerSpec, Namespace, PodPart, Root, State};
use rustix::process::{Pid, Signal, kill_process};

use crate::stand::{LIMIT, Stand, wait};

/// The holder of a pod.
fn holder(stand: &Stand, ends_when_empty: bool) -> ContainerSpec {
    let mut spec = stand.spec(&["(holds)"]);
    spec.root = Root::Empty;
    spec.root_read_only = true;
    spec.hostname = Some("pod".to_owned());
    spec.security.cap_drop = vec!["ALL".to_owned()];
    spec.security.no_new_privileges = true;
    spec.pod = Some(PodPart::Holder { ends_when_empty });
    spec
}

/// A container in the pod of `holder`.
fn member(stand: &Stand, holder: &ContainerSpec, script: &str) -> ContainerSpec {
    let mut spec = stand.script(script);
    let shared = || Namespace::Container(holder.id.clone());
    (spec.namespaces.net, spec.namespaces.ipc, spec.namespaces.uts) =
        (shared(), shared(), shared());
    spec.pod = Some(PodPart::Member { of: holder.id.clone() });
    spec
}

#[test]
fn members_share_network_host_name_and_memory_of_the_holder() {
    let stand = Stand::new();
    let pod = holder(&stand, false);
    let mut held = stand.start(&pod);
    let spec = member(&stand, &pod, "echo hi > /dev/shm/word; exec sleep 1000");
    let mut first = stand.start(&spec);
    wait(|| (stand.exec(&spec.id, &["cat", "/dev/shm/word"]).1 == "hi").then_some(()));
    let script =
        "hostname; cat /dev/shm/word; readlink /proc/self/ns/net; readlink /proc/self/ns/pid";
    let second = stand.output(&member(&stand, &pod, script));
    let lines: Vec<&str> = second.lines().collect();
    assert_eq!(lines[..2], ["pod", "hi"]);
    let inside = |kind| stand.exec(&spec.id, &["readlink", &format!("/proc/self/ns/{kind}")]).1;
    let net = inside("net");
    assert_eq!(lines[2], net);
    assert_ne!(lines[3], inside("pid"), "processes are each one's own");
    let process = stand.containers.inspect(&pod.id).unwrap().init.unwrap();
    let seen = fs::read_link(format!("/proc/{}/ns/net", process.pid)).unwrap();
    assert_eq!(seen.to_str(), Some(net.as_str()));
    // It has given up everything, and keeps nothing open but what it listens to.
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    assert!(status.contains("Seccomp:\t2\n"), "{status}");
    let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap().count();
    assert_eq!(open, 2);
    // Without company it stays, if it is told to; a stop ends it well.
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    first.wait().unwrap();
    assert_eq!(stand.containers.inspect(&pod.id).unwrap().state, State::Running);
    stand.containers.stop(&pod.id, LIMIT).unwrap();
    assert_eq!(held.wait().unwrap().code(), Some(0));
    for id in [&spec.id, &pod.id] {
        stand.containers.delete(id, false).unwrap();
    }
}

#[test]
fn a_holder_ends_after_its_last_member_however_that_ended() {
    let stand = Stand::new();
    let pod = holder(&stand, true);
    let mut held = stand.start(&pod);
    let spec = member(&stand, &pod, "exec sleep 1000");
    let mut first = stand.start(&spec);
    assert_eq!(stand.output(&member(&stand, &pod, "echo short")), "short");
    assert_eq!(stand.containers.inspect(&pod.id).unwrap().state, State::Running);
    // Its monitor cannot say goodbye.
    kill_process(Pid::from_child(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    assert_eq!(held.wait().unwrap().code(), Some(0));
    for id in [&spec.id, &pod.id] {
        stand.containers.delete(id, false).unwrap();
    }
}

#[test]
fn who_comes_too_late_is_told_so() {
    let stand = Stand::new();
    let pod = holder(&stand, true);
    let mut held = stand.start(&pod);
    // A killed monitor takes the holder along.
    kill_process(Pid::from_child(&held), Signal::KILL).unwrap();
    assert_eq!(held.wait().unwrap().signal(), Some(9));
    stand.until(&pod.id, |it| it.state == State::Lost);
    let spec = member(&stand, &pod, "true");
    stand.containers.create(&spec).unwrap();
    let said = stand.run_again(&spec);
    assert!(said.contains(&format!("container {} does not run", pod.id)), "{said}");
    for id in [&spec.id, &pod.id] {
        stand.containers.delete(id, false).unwrap();
    }
}
