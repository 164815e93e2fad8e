//! New volumes: filled with what the image has, whoever is killed meanwhile, and whoever comes first.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use argosy_container::{
    ContainerSpec, IdRange, Mount, MountKind, Root, State, Streams, UserNamespace,
    private_directory,
};

use crate::stand::{Stand, wait};

/// So many that a copy can be cut short before its end.
const FILES: usize = 800;

/// A volume as an engine has it: where only root may walk, with its record beside it.
struct Volume {
    data: PathBuf,
    record: PathBuf,
}

impl Volume {
    fn new(stand: &Stand) -> Volume {
        let above = stand.path("volumes");
        private_directory(&above).unwrap();
        let volume = Volume { data: above.join("_data"), record: above.join("copy") };
        fs::create_dir(&volume.data).unwrap();
        volume
    }

    /// A container that has it at /data.
    fn used_by(&self, stand: &Stand, layer: &Path, script: &str) -> ContainerSpec {
        let mut spec = stand.script(script);
        spec.root = Root::Layers(vec![stand.image().to_owned(), layer.to_owned()]);
        let mut mount = Mount::bind(&self.data, "/data");
        if let MountKind::Bind { copy_up, copy_record, .. } = &mut mount.kind {
            (*copy_up, *copy_record) = (true, Some(self.record.clone()));
        }
        spec.mounts = vec![mount];
        spec
    }
}

/// A layer with files at /data.
fn layer(stand: &Stand, files: usize) -> PathBuf {
    let layer = stand.path("layer");
    fs::create_dir_all(layer.join("data/sub")).unwrap();
    for number in 0..files {
        fs::write(layer.join(format!("data/sub/{number}")), format!("text {number}\n")).unwrap();
    }
    std::os::unix::fs::symlink("sub/0", layer.join("data/link")).unwrap();
    layer
}

/// Prints how many files are there, and how many of them are whole.
const COUNT: &str = "ls /data/sub | wc -l; cat /data/sub/* | grep -c text; cat /data/link";

#[test]
fn a_copy_that_was_cut_short_goes_on_at_the_next_start() {
    let stand = Stand::new();
    let layer = layer(&stand, FILES);
    let volume = Volume::new(&stand);
    let spec = volume.used_by(&stand, &layer, COUNT);
    stand.containers.create(&spec).unwrap();
    let mut child = stand.command(&spec.id, Streams::default()).spawn().unwrap();
    wait(|| {
        let ended = child.try_wait().unwrap().is_some();
        let begun = fs::read_dir(volume.data.join("sub")).is_ok_and(|mut it| it.next().is_some());
        (ended || begun).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    stand.containers.delete(&spec.id, true).unwrap();
    // What such a copy leaves at the worst moment, and what somebody else has put there.
    fs::write(&volume.record, "begun\n").unwrap();
    fs::write(volume.data.join("sub/.argosy-unfinished-copy"), "te").unwrap();
    fs::write(volume.data.join("mine"), "mine\n").unwrap();
    fs::set_permissions(volume.data.join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    let script = format!("{COUNT}; cat /data/mine; ls -A /data/sub | grep -c unfinished");
    let spec = volume.used_by(&stand, &layer, &format!("{script}; true"));
    let whole = format!("{FILES}\n{FILES}\ntext 0\nmine\n0");
    assert_eq!(stand.output(&spec), whole);
    assert_eq!(fs::metadata(volume.data.join("sub")).unwrap().mode() & 0o777, 0o755);
    // It is done: what is taken away stays away.
    assert_eq!(fs::metadata(&volume.record).unwrap().len(), 0);
    fs::remove_file(volume.data.join("sub/1")).unwrap();
    let spec = volume.used_by(&stand, &layer, "ls /data/sub | wc -l");
    assert_eq!(stand.output(&spec), (FILES - 1).to_string());
}

#[test]
fn those_who_use_a_new_volume_first_all_find_it_whole() {
    let stand = Stand::new();
    let layer = layer(&stand, FILES);
    let volume = Volume::new(&stand);
    let specs: Vec<_> = (0..4).map(|_| volume.used_by(&stand, &layer, COUNT)).collect();
    std::thread::scope(|scope| {
        let ran: Vec<_> = specs.iter().map(|spec| scope.spawn(|| stand.output(spec))).collect();
        for one in ran {
            assert_eq!(one.join().unwrap(), format!("{FILES}\n{FILES}\ntext 0"));
        }
    });
}

#[test]
fn a_mapped_root_fills_and_owns_a_new_volume_where_it_may_not_walk() {
    let stand = Stand::new();
    let layer = layer(&stand, 1);
    let volume = Volume::new(&stand);
    let script = "cat /data/link; touch /data/new; stat -c %u:%g /data /data/sub/0 /data/new";
    let mut spec = volume.used_by(&stand, &layer, script);
    let ids = IdRange { inside: 0, outside: 100_000, count: 65536 };
    spec.namespaces.user = UserNamespace::Mapped { uids: vec![ids], gids: vec![ids] };
    assert_eq!(stand.output(&spec), "text 0\n0:0\n0:0\n0:0");
    for path in ["", "sub/0", "new"] {
        assert_eq!(fs::metadata(volume.data.join(path)).unwrap().uid(), 100_000, "{path}");
    }
}

#[test]
fn nobody_else_gets_at_what_containers_have() {
    let stand = Stand::new();
    let spec = stand.script("cp /bin/busybox /bin/own; chmod 4755 /bin/own; touch /up; sleep 1000");
    let mut child = stand.start(&spec);
    let data = stand.containers.data_dir.join(spec.id.as_str());
    wait(|| data.join("upper/up").exists().then_some(()));
    let can = |test: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", test]);
        command.arg(path).status().unwrap().success()
    };
    assert!(can("-x", &stand.path("")), "what is above is everybody's");
    for path in ["upper/bin/own", "lock", "spec.json", "upper"] {
        assert!(data.join(path).exists() && !can("-e", &data.join(path)), "{path}");
    }
    let run = stand.containers.run_dir.join(spec.id.as_str());
    assert!(run.join("run.json").exists() && !can("-e", &run.join("run.json")));
    for path in ["lock", "spec.json"] {
        assert_eq!(fs::metadata(data.join(path)).unwrap().mode() & 0o777, 0o600, "{path}");
    }
    stand.containers.kill(&spec.id, libc::SIGKILL).unwrap();
    child.wait().unwrap();
    stand.containers.delete(&spec.id, false).unwrap();
    // Those of an earlier version are closed at the next use.
    for path in [&stand.containers.data_dir, &stand.containers.run_dir] {
        crate::stand::chmod(path, 0o755);
    }
    assert_eq!(stand.output(&stand.spec(&["true"])), "");
    for path in [&stand.containers.data_dir, &stand.containers.run_dir] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
    }
}

#[test]
fn one_that_is_being_set_up_is_stopped_waited_for_and_removed() {
    let stand = Stand::new();
    let layer = layer(&stand, 1);
    let volume = Volume::new(&stand);
    let spec = volume.used_by(&stand, &layer, "exec sleep 1000");
    let id = &spec.id;
    stand.containers.create(&spec).unwrap();
    // Whoever fills the volume first is waited for, and that is this test.
    let record = fs::File::create(&volume.record).unwrap();
    rustix::fs::flock(&record, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let begin = || {
        let child = stand.command(id, Streams::default()).spawn().unwrap();
        stand.until(id, |it| it.state == State::Starting);
        child
    };
    // A stop does not return before it is certain that it will not run.
    let mut child = begin();
    stand.containers.stop(id, Duration::from_millis(200)).unwrap();
    child.wait().unwrap();
    assert!(!stand.containers.inspect(id).unwrap().state.is_live());
    // By force it is removed at once.
    let mut child = begin();
    stand.containers.delete(id, true).unwrap();
    child.wait().unwrap();
    assert_eq!(stand.containers.list().unwrap(), []);
    // Whoever waits does so until it has run and ended.
    stand.containers.create(&spec).unwrap();
    let mut child = begin();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stand.containers.wait(id).unwrap().unwrap().code);
        rustix::fs::flock(&record, rustix::fs::FlockOperation::Unlock).unwrap();
        stand.until(id, |it| it.state == State::Running);
        stand.containers.kill(id, libc::SIGKILL).unwrap();
        assert_eq!(waiting.join().unwrap(), 137);
    });
    child.wait().unwrap();
    stand.containers.delete(id, false).unwrap();
}
