//! What options mean.

use argosy_container::MountKind;
use clap::Parser;

use super::*;
use crate::args::{Arguments, Command, ContainerAction};

fn run(words: &str) -> Result<ContainerSpec, String> {
    whole(words).map(|(spec, _)| spec)
}

fn whole(words: &str) -> Result<(ContainerSpec, Vec<Wanted>), String> {
    let line = ["argosy", "container", "run"].into_iter().chain(words.split(' '));
    let arguments = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
    let Some(Command::Container(container)) = arguments.command else { panic!("no container") };
    let ContainerAction::Run(options) = &container.action else { panic!("no run") };
    let engine = Engine::at("/nowhere/run".as_ref(), "/nowhere".as_ref());
    let id = ContainerId::new("c").unwrap();
    let process = overrides(options).map_err(|failure| failure.message)?;
    let process = argosy_container::process_of(None, &process, "c").map_err(|it| it.to_string())?;
    let root = argosy_container::Root::Directory("/".into());
    let mut spec = ContainerSpec::new(id, root, process);
    let wanted = apply(options, &engine, &mut spec).map_err(|failure| failure.message)?;
    Ok((spec, wanted))
}

#[test]
fn options_after_the_image_are_the_commands() {
    let spec = run("--rm busybox ls -l --name x").unwrap();
    assert_eq!(spec.process.args, ["ls", "-l", "--name", "x"]);
}

#[test]
fn an_option_that_is_not_there_is_refused_by_name() {
    for line in ["--bogus busybox", "--bogus=1 busybox ls", "-x busybox", "-itx busybox"] {
        let error = run(line).unwrap_err();
        let word = if line.starts_with("--") { "'--bogus" } else { "'-x'" };
        assert!(error.contains(word), "{line}: {error}");
    }
    let error = run("--nmae x busybox").unwrap_err();
    assert!(error.contains("--name"), "{error}");
    assert_eq!(run("-h box -c 512 i c").unwrap().hostname.as_deref(), Some("box"));
    assert!(run("--help").unwrap_err().contains("IMAGE"));
    let spec = run("-it -eA=1 -m64m -v/srv:/data:cached -w/tmp busybox --name -x").unwrap();
    assert_eq!(spec.process.args, ["--name", "-x"]);
    assert!(spec.process.tty && spec.process.env.contains(&"A=1".to_owned()));
    assert_eq!((spec.limits.memory, spec.mounts.len()), (Some(64 << 20), 1));
    assert!(!run("-i=true --tty=false --privileged=0 i c").unwrap().process.tty);
    assert!(run("--privileged=perhaps i c").unwrap_err().contains("say true or false"));
}

#[test]
fn sizes_and_limits_are_dockers() {
    let spec =
        run("-m 512m --memory-swap -1 --cpus 1.5 --pids-limit -1 --ulimit nofile=64:128 i c");
    let spec = spec.unwrap();
    assert_eq!(spec.limits.memory, Some(512 << 20));
    assert_eq!(spec.limits.memory_swap, Some(-1));
    assert_eq!(spec.limits.milli_cpus, Some(1_500));
    assert_eq!(spec.limits.pids, None);
    assert_eq!(spec.ulimits[0].hard, Some(128));
    assert_eq!(run("-m 12q i c").unwrap_err(), "\"12q\" is no size");
    assert_eq!(run("-m 0.5g i c").unwrap().limits.memory, Some(512 << 20));
    let kept = run("--memory-reservation 1g --cpuset-mems 0 i c").unwrap().limits;
    assert_eq!((kept.memory_reservation, kept.cpuset_mems.as_deref()), (Some(1 << 30), Some("0")));
    let unlimited = run("--memory 0 --memory-swap=0 --cpus 0 i c").unwrap().limits;
    assert_eq!(unlimited, argosy_container::Limits::default());
    for wrong in ["1e3", "-1", ".", "99999999999999999999g", "inf"] {
        assert!(run(&format!("--shm-size={wrong} i c")).is_err(), "{wrong}");
    }
}

#[test]
fn volumes_are_paths_names_or_nameless() {
    let (spec, wanted) = whole("-v /srv:/data:ro,rslave --tmpfs /tmp:size=1m i c").unwrap();
    assert!(spec.mounts[0].read_only);
    assert_eq!(spec.mounts[0].target, "/data");
    let MountKind::Tmpfs { options } = &spec.mounts[1].kind else { panic!("no tmpfs") };
    assert!(options.contains(&"size=1m".to_owned()));
    assert_eq!(wanted, []);
    let (_, wanted) =
        whole("-v data:/data:nocopy -v /more --mount type=volume,dst=/x i c").unwrap();
    let named =
        |name: Option<&str>, place, copy| Wanted { name: name.map(str::to_owned), place, copy };
    assert_eq!(wanted, [named(Some("data"), 0, false), named(None, 1, true), named(None, 2, true)]);
    assert!(run("-v da/ta:/data i c").unwrap_err().contains("is no name of a volume"));
    assert!(run("-v /srv:/data:rx i c").unwrap_err().contains("is no option"));
    assert!(run("-v a:/x -v b:/x i c").unwrap_err().contains("two mounts at /x"));
    assert!(run("-v a:/ i c").unwrap_err().contains("is no path"));
}

#[test]
fn what_docker_and_podman_write_is_read() {
    let spec = run("--health-cmd true --health-interval 1m30s --health-retries=2 i c").unwrap();
    let health = spec.health.unwrap();
    assert_eq!(health.args, ["/bin/sh", "-c", "true"]);
    assert_eq!((health.interval.as_secs(), health.retries), (90, 2));
    assert!(run("--health-cmd none i c").unwrap().health.is_none());
    assert!(run("--health-interval=soon --health-cmd true i c").is_err());
    let spec = run("--read-only i c").unwrap();
    assert!(spec.root_read_only);
    assert_eq!(spec.mounts.len(), 3);
    assert_eq!(run("--read-only --read-only-tmpfs=false i c").unwrap().mounts, []);
    assert!(!run("--read-only=false i c").unwrap().root_read_only);
    let spec = run("--uidmap 0:1000:10 i c").unwrap();
    let UserNamespace::Mapped { uids, gids } = spec.namespaces.user else { panic!("not mapped") };
    assert_eq!(uids, gids);
    let masked =
        run("--security-opt=unmask=/proc/kcore i c").unwrap().security.masked_paths.unwrap();
    assert!(
        !masked.contains(&"/proc/kcore".to_owned()) && masked.contains(&"/proc/acpi".to_owned())
    );
    assert_eq!(run("i c").unwrap().security, argosy_container::Security::default());
    let spec = run("--entrypoint=[\"a\",\"b\"] i c").unwrap();
    assert_eq!(spec.process.args, ["a", "b", "c"]);
}

#[test]
fn what_is_not_there_is_refused() {
    assert!(run("--security-opt secret=x i c").unwrap_err().contains("is not supported"));
    assert!(run("--sdnotify=healthy i c").unwrap_err().contains("check its health"));
    assert!(run("--sdnotify=healthy --health-cmd true i c").is_ok());
    assert!(run("--userns=auto i c").unwrap_err().contains("is not there yet"));
    assert_eq!(run("--pid host i c").unwrap().namespaces.pid, Namespace::Host);
}

#[test]
fn a_health_time_of_nothing_is_the_default() {
    let health = |words: &str| {
        run(&format!("--health-cmd true {words} i c")).map(|spec| spec.health.unwrap())
    };
    let usual = health("").unwrap();
    let none = "--health-interval 0 --health-timeout 0s --health-start-period 0 --health-retries 0";
    assert_eq!(health(none).unwrap(), usual);
    assert_eq!(
        health("--health-interval 10us").unwrap_err(),
        "the health interval is less than 1 ms"
    );
}
