//! What options mean.

use clap::Parser;

use super::*;
use crate::args::{Arguments, Command, ContainerAction};

fn run(words: &str) -> Result<ContainerSpec, String> {
    let line = ["argosy", "container", "run"].into_iter().chain(words.split(' '));
    let arguments = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
    let Some(Command::Container(container)) = arguments.command else { panic!("no container") };
    let ContainerAction::Run(options) = &container.action else { panic!("no run") };
    let engine = Engine::of(&arguments.global, "/nowhere".as_ref());
    let id = argosy_container::ContainerId::new("c").unwrap();
    let process = overrides(options).map_err(|failure| failure.message)?;
    let process = argosy_container::process_of(None, &process, "c").map_err(|it| it.to_string())?;
    let root = argosy_container::Root::Directory("/".into());
    let mut spec = ContainerSpec::new(id, root, process);
    apply(options, &engine, &mut spec).map_err(|failure| failure.message)?;
    Ok(spec)
}

#[test]
fn options_after_the_image_are_the_commands() {
    let spec = run("--rm busybox ls -l --name x").unwrap();
    assert_eq!(spec.process.args, ["ls", "-l", "--name", "x"]);
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
}

#[test]
fn volumes_are_paths_for_now() {
    let spec = run("-v /srv:/data:ro,rslave --tmpfs /tmp:size=1m i c").unwrap();
    assert!(spec.mounts[0].read_only);
    assert_eq!(spec.mounts[0].target, "/data");
    let MountKind::Tmpfs { options } = &spec.mounts[1].kind else { panic!("no tmpfs") };
    assert!(options.contains(&"size=1m".to_owned()));
    assert!(run("-v data:/data i c").unwrap_err().contains("is no path"));
    assert!(run("-v /data i c").unwrap_err().contains("names no source"));
    assert!(run("-v /srv:/data:rx i c").unwrap_err().contains("is no option"));
}

#[test]
fn what_is_not_there_is_refused() {
    assert!(run("--network web i c").unwrap_err().contains("is not there yet"));
    assert!(run("--security-opt apparmor=x i c").unwrap_err().contains("is not supported"));
    assert!(run("-p 80:80 i c").is_err());
    assert_eq!(run("--network host i c").unwrap().namespaces.net, Namespace::Host);
}
