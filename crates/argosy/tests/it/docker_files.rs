//! Files between containers and the machine: `cp`, whatever links and owners say.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;

use crate::containers::{OwnNetwork, with_busybox};
use crate::machine::Machine;

#[test]
fn files_are_copied_as_docker_does() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |arguments: &[&str]| machine.run(&[&["container"], arguments].concat());
    let script = "mkdir -p /srv/in && echo a > /srv/in/a && touch -h /x; ln -s /etc/outside /srv/in/link; \
                  while :; do sleep 0.1; done";
    run(&[
        "run",
        "-d",
        "--network=none",
        "--name=c",
        "-v=data:/data",
        "busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    machine.wait("its files", |_| {
        run(&["exec", "c", "ls", "/srv/in/link"]).code != 127
            && run(&["exec", "c", "sh", "-c", "test -L /srv/in/link"]).code == 0
    });
    let files = machine.path("files");
    let local = |name: &str| files.join(name);
    let read = |name: &str| fs::read_to_string(local(name)).unwrap();
    // Out: a file, a directory with its name and without, and into what is not there.
    run(&["cp", "c:/srv/in/a", "."]).ok();
    assert_eq!(read("a"), "a\n");
    run(&["cp", "c:srv/in", "new"]).ok();
    assert_eq!(read("new/a"), "a\n");
    assert_eq!(fs::read_link(local("new/link")).unwrap().to_str(), Some("/etc/outside"));
    run(&["cp", "c:/srv/in", "new"]).ok();
    assert_eq!(read("new/in/a"), "a\n");
    fs::create_dir(local("there")).unwrap();
    run(&["cp", "c:/srv/in/.", "there"]).ok();
    assert_eq!(read("there/a"), "a\n");
    assert!(run(&["cp", "c:/srv/in", "a"]).stderr.contains("a is no directory"));
    assert!(run(&["cp", "c:/srv/in/a", "none/"]).stderr.contains("there is no directory none/"));
    assert!(run(&["cp", "c:/no/such", "."]).stderr.contains("cannot copy /no/such"));
    // In: the owner is root, whoever has the file here; into volumes, too.
    fs::write(local("page"), "page\n").unwrap();
    std::os::unix::fs::chown(local("page"), Some(1234), Some(1234)).unwrap();
    fs::set_permissions(local("page"), PermissionsExt::from_mode(0o4750)).unwrap();
    run(&["cp", "page", "c:/data/"]).ok();
    let shown = run(&["exec", "c", "ls", "-ln", "/data/page"]).ok().stdout;
    assert!(shown.starts_with("-rwxr-x---    1 0        0"), "{shown}");
    run(&["cp", "-a", "page", "c:/data/kept"]).ok();
    let shown = run(&["exec", "c", "ls", "-ln", "/data/kept"]).ok().stdout;
    assert!(shown.starts_with("-rwsr-x---    1 1234     1234"), "{shown}");
    // Archives, both ways.
    let archive = machine.command(&["container", "cp", "c:/srv/in", "-"]).output().unwrap().stdout;
    fs::write(local("in.tar"), &archive).unwrap();
    run(&["exec", "c", "touch", "/data/before"]).ok();
    let mut into = machine.command(&["container", "cp", "-", "c:/data"]);
    into.stdin(fs::File::open(local("in.tar")).unwrap()).stdout(Stdio::null());
    assert!(into.status().unwrap().success());
    assert_eq!(run(&["exec", "c", "cat", "/data/in/a"]).ok().stdout, "a\n");
    // One that does not run: its own files.
    run(&["kill", "c"]).ok();
    run(&["wait", "c"]).ok();
    run(&["cp", "page", "c:/srv/in/page"]).ok();
    run(&["cp", "c:/srv/in/page", "back"]).ok();
    assert_eq!(read("back"), "page\n");
    assert_eq!(fs::metadata(local("back")).unwrap().mode() & 0o7777, 0o750);
    run(&["rm", "-f", "c"]).ok();
}

#[test]
fn no_link_of_a_container_leads_out_of_it() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |arguments: &[&str]| machine.run(&[&["container"], arguments].concat());
    let outside = machine.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret\n").unwrap();
    let outside = outside.to_str().unwrap();
    let script = format!(
        "ln -s {outside} /way; ln -s {outside}/secret /secret; ln -s ../../../../../../../../..{outside} /up; \
         ln -s /proc/1/root /proc-root; touch /ready; while :; do sleep 0.1; done"
    );
    run(&["run", "-d", "--network=none", "--name=c", "busybox", "sh", "-c", &script]).ok();
    machine.wait("its links", |_| run(&["exec", "c", "ls", "/ready"]).code == 0);
    for path in ["c:/way/secret", "c:/up/secret", "c:/proc-root/ready"] {
        let ran = run(&["cp", path, "stolen"]);
        assert_eq!(ran.code, 1, "{path}: {}", ran.stderr);
    }
    assert_eq!(run(&["cp", "-L", "c:/secret", "stolen"]).code, 1);
    assert!(!machine.path("files/stolen").exists());
    let page = machine.file("page", "page\n");
    let page = page.to_str().unwrap();
    for path in ["c:/way/secret", "c:/up/secret"] {
        assert_eq!(run(&["cp", page, path]).code, 1, "{path}");
    }
    assert_eq!(fs::read_to_string(machine.path("outside/secret")).unwrap(), "secret\n");
    // Nor does an archive lead through a link that it brings, or that is there.
    symlink(outside, machine.path("files/door")).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "door", outside).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    archive.append_data(&mut header, "door/secret", &b"evil"[..]).unwrap();
    let file = machine.file("evil.tar", "");
    fs::write(&file, archive.into_inner().unwrap()).unwrap();
    let mut into = machine.command(&["container", "cp", "-", "c:/tmp"]);
    into.stdin(fs::File::open(&file).unwrap()).stderr(Stdio::piped());
    let ended = into.output().unwrap();
    assert!(!ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("a link is on the way"));
    run(&["rm", "-f", "c"]).ok();
}
