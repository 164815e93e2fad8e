//! The container's file system: layers, mounts, and images that try to get out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use argosy_container::{Mount, MountKind, Propagation, Root};

use crate::stand::{Stand, wait};

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn layer(path: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn upper_layers_hide_lower_ones_and_writing_changes_none() {
    let stand = Stand::new();
    let (low, high) = (stand.path("low"), stand.path("high"));
    layer(&low, &[("data/a", "low"), ("data/b", "low"), ("data/gone", "low")]);
    layer(&high, &[("data/b", "high")]);
    sh(&format!("mknod {}/data/gone c 0 0", high.display()));
    let mut spec = stand.script("cd /data; echo * $(cat a b); echo new > a; rm b; echo *; cat a");
    spec.root = Root::Layers(vec![stand.image().to_owned(), low.clone(), high.clone()]);
    assert_eq!(stand.output(&spec), "a b lowhigh\na\nnew");
    assert_eq!(fs::read_to_string(low.join("data/a")).unwrap(), "low");
    assert_eq!(fs::read_to_string(high.join("data/b")).unwrap(), "high");
}

#[test]
fn layers_may_be_many_and_have_long_and_strange_names() {
    let stand = Stand::new();
    let mut layers = vec![stand.image().to_owned()];
    for number in 0..60 {
        let path = stand.path(&format!("layer:{number},{}", "x".repeat(150)));
        layer(&path, &[(&format!("n/{number}"), ""), ("n/last", &number.to_string())]);
        layers.push(path);
    }
    let mut spec = stand.script("ls /n | wc -l; cat /n/last");
    spec.root = Root::Layers(layers);
    assert_eq!(stand.output(&spec), "61\n59");
}

#[test]
fn what_was_written_is_there_at_the_next_start() {
    let stand = Stand::new();
    let spec = stand.script("cat /kept; echo again >> /kept");
    stand.containers.create(&spec).unwrap();
    let run = || {
        let output = stand.command(&spec.id, Default::default()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!([run(), run(), run()], ["", "again\n", "again\nagain\n"]);
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_read_only_root_takes_nothing_but_where_something_is_mounted() {
    let stand = Stand::new();
    let mut spec = stand.script(
        "touch /x || touch /etc/x || touch /etc/passwd || echo none; touch /tmp/y /dev/shm/z && ls /tmp",
    );
    spec.root_read_only = true;
    spec.mounts.push(Mount::tmpfs("/tmp"));
    assert_eq!(stand.output(&spec), "none\ny");
}

#[test]
fn binds_are_directories_or_files_and_read_only_down_to_the_last_mount() {
    let stand = Stand::new();
    let (plain, below) = (stand.path("plain"), stand.path("plain/below"));
    layer(&plain, &[("a", "host\n")]);
    fs::create_dir_all(&below).unwrap();
    sh(&format!("mount -t tmpfs none {}", below.display()));
    let mut spec = stand.script(
        "touch /ro/x || touch /ro/below/x || echo kept; cat /file; echo more >> /file; \
         touch /made/by-container; cat /ro/a",
    );
    spec.mounts = vec![
        Mount::bind(&plain, "/ro").read_only(),
        Mount::bind(plain.join("a"), "/file"),
        Mount::bind(stand.path("missing/source"), "/made"),
    ];
    let text = stand.output(&spec);
    sh(&format!("umount {}", below.display()));
    assert_eq!(text, "kept\nhost\nhost\nmore");
    assert!(stand.path("missing/source/by-container").exists());
}

#[test]
fn a_missing_source_is_an_error_where_nobody_said_to_make_it() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["true"]);
    let kind = MountKind::Bind {
        source: stand.path("missing"),
        recursive: true,
        propagation: Propagation::Private,
        make_source: false,
        copy_up: false,
        copy_record: None,
    };
    spec.mounts = vec![Mount { kind, target: "/x".to_owned(), read_only: false }];
    let output = stand.run(&spec);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("at /x: No such file or directory"), "{text}");
}

#[test]
fn later_mounts_pass_as_far_as_was_said() {
    let stand = Stand::new();
    let shared = stand.path("shared");
    fs::create_dir_all(shared.join("in")).unwrap();
    fs::create_dir_all(shared.join("out")).unwrap();
    let name = shared.display();
    sh(&format!("mount --bind {name} {name}; mount --make-shared {name}"));
    let run = |propagation, target: &str| {
        let mut spec = stand.script(&format!(
            "touch {target}/ready{propagation:?}; until test -e {target}/go; do sleep 0.01; done; \
             test -e {target}/in/seen && echo seen; mount -t tmpfs none {target}/out"
        ));
        spec.security.cap_add = vec!["SYS_ADMIN".to_owned()];
        let kind = MountKind::Bind {
            source: shared.clone(),
            recursive: true,
            propagation,
            make_source: false,
            copy_up: false,
            copy_record: None,
        };
        spec.mounts = vec![Mount { kind, target: target.to_owned(), read_only: false }];
        stand.containers.create(&spec).unwrap();
        let mut command = stand.command(&spec.id, Default::default());
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        wait(|| shared.join(format!("ready{propagation:?}")).exists().then_some(()));
        sh(&format!("mount -t tmpfs none {name}/in; touch {name}/in/seen {name}/go"));
        let output = child.wait_with_output().unwrap();
        let out = Command::new("mountpoint").arg("-q").arg(shared.join("out")).status().unwrap();
        sh(&format!("umount {name}/in; rm {name}/go"));
        if out.success() {
            sh(&format!("umount {name}/out"));
        }
        stand.containers.delete(&spec.id, false).unwrap();
        (!output.stdout.is_empty(), out.success())
    };
    let found = [
        run(Propagation::Private, "/p"),
        run(Propagation::Slave, "/s"),
        run(Propagation::Shared, "/b"),
    ];
    sh(&format!("umount {name}"));
    assert_eq!(found, [(false, false), (true, false), (true, true)]);
}

#[test]
fn temporary_file_systems_have_their_options() {
    let stand = Stand::new();
    let mut spec = stand.script("grep -E ' (/scratch|/dev/shm) ' /proc/self/mounts");
    let options = ["size=1m,mode=700", "noexec"].map(str::to_owned).to_vec();
    let kind = MountKind::Tmpfs { options };
    spec.mounts = vec![Mount { kind, target: "/scratch".to_owned(), read_only: false }];
    spec.shm_bytes = Some(2 << 20);
    let text = stand.output(&spec);
    let scratch = text.lines().find(|line| line.contains("/scratch")).unwrap();
    assert!(scratch.contains("noexec") && scratch.contains("size=1024k,mode=700"), "{text}");
    assert!(text.contains("size=2048k"), "{text}");
}

#[test]
fn links_of_an_image_lead_nowhere_but_into_it() {
    let stand = Stand::new();
    let outside = stand.path("outside");
    fs::create_dir_all(&outside).unwrap();
    for (number, link) in ["etc", "proc", "dev", "sys", "srv"].into_iter().enumerate() {
        let evil = stand.path(&format!("evil{number}"));
        fs::create_dir_all(&evil).unwrap();
        for part in ["bin", "tmp", "root"] {
            sh(&format!("cp -a {}/{part} {}", stand.image().display(), evil.display()));
        }
        symlink(&outside, evil.join(link)).unwrap();
        symlink("../../../../../../../../../..", evil.join("up")).unwrap();
        let mut spec = stand.script("echo alive");
        spec.root = Root::Layers(vec![evil]);
        spec.mounts = vec![
            Mount::bind(stand.image(), "/srv/image"),
            Mount::bind(stand.image(), format!("/up{}/image", outside.display())),
            Mount::tmpfs("/srv/deep/er"),
        ];
        spec.process.cwd = Some("/srv/work".to_owned());
        let output = stand.run(&spec);
        // Links to nothing are followed within the container. But not where the kernel's own file
        // systems go: what is masked there would be elsewhere.
        let wanted = if ["etc", "srv", "dev"].contains(&link) { 0 } else { 125 };
        assert_eq!(output.status.code(), Some(wanted), "{link}: {output:?}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{link}");
    }
}

#[test]
fn a_file_of_etc_may_be_a_link_to_nothing() {
    let stand = Stand::new();
    let layer = stand.path("layer");
    fs::create_dir_all(layer.join("etc")).unwrap();
    symlink("../run/resolve/stub.conf", layer.join("etc/resolv.conf")).unwrap();
    symlink("/etc/loop", layer.join("etc/loop")).unwrap();
    let mut spec = stand.script("cat /etc/resolv.conf /run/resolve/stub.conf");
    spec.root = Root::Layers(vec![stand.image().to_owned(), layer]);
    spec.resolv_conf = Some("nameserver 10.1.2.3\n".to_owned());
    assert_eq!(stand.output(&spec), "nameserver 10.1.2.3\nnameserver 10.1.2.3");
    let mut looping = stand.spec(&["true"]);
    looping.root = spec.root;
    looping.mounts = vec![Mount::tmpfs("/etc/loop/x")];
    let output = stand.run(&looping);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("Too many levels of symbolic links"), "{text}");
}

#[test]
fn the_three_files_of_etc_are_the_engine_s() {
    let stand = Stand::new();
    let mut spec =
        stand.script("cat /etc/hostname /etc/hosts /etc/resolv.conf; echo x >> /etc/hosts");
    spec.hostname = Some("box".to_owned());
    spec.resolv_conf = Some("nameserver 10.1.2.3\n".to_owned());
    let text = stand.output(&spec);
    assert!(text.starts_with("box\n127.0.0.1\tlocalhost\n"), "{text}");
    assert!(text.contains("\tbox\n") && text.ends_with("nameserver 10.1.2.3"), "{text}");
}
