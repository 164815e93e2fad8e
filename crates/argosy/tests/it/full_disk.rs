//! A disk of images that fills up: what nobody uses goes, then no new units come, until there is
//! room again. The images are on a small file system of their own, which only the machine sees.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::machine::Machine;

/// The size of the disk.
const MEBIBYTES: u64 = 16;
/// Of one image: its layer, once as it came and once unpacked, takes 5 % of the disk.
const IMAGE_BYTES: usize = 400 << 10;
/// The machine's marks, whatever the variables of tests say.
const MARKS: [&str; 4] = ["--disk-collect", "80", "--disk-limit", "90"];

/// The disk, and the process in whose mount namespace it is.
struct Disk {
    holder: Child,
    images: PathBuf,
}

impl Disk {
    /// Puts it where the machine's images will be.
    fn of(machine: &mut Machine) -> Disk {
        let images = machine.path("data/images");
        fs::create_dir_all(&images).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={MEBIBYTES}m,mode=700 tmpfs {} && echo up && exec sleep 100000",
            images.display()
        );
        let mut holder = Command::new("unshare");
        holder.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        machine.share_mounts(holder.id());
        Disk { holder, images }
    }

    /// The directory of images, as seen from outside.
    fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.images.strip_prefix("/").unwrap())
    }

    /// Puts something else onto it until it is so full, or takes that away.
    fn fill(&self, percent: u64) {
        let path = self.path().join("something-else");
        let file = File::options().create(true).write(true).truncate(true).open(&path).unwrap();
        let state = rustix::fs::statvfs(self.path()).unwrap();
        let wanted =
            (state.f_blocks * percent / 100).saturating_sub(state.f_blocks - state.f_bfree);
        rustix::fs::fallocate(
            &file,
            rustix::fs::FallocateFlags::empty(),
            0,
            (wanted * state.f_frsize).max(1),
        )
        .unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

fn import(machine: &Machine, name: &str) {
    let root = machine.path(name);
    fs::create_dir(&root).unwrap();
    let mut random = vec![0; IMAGE_BYTES];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty()).unwrap();
    fs::write(root.join("data"), random).unwrap();
    let archive = machine.path(&format!("{name}.tar"));
    let tar = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
    assert!(tar.unwrap().success());
    machine.run(&["image", "import", archive.to_str().unwrap(), name]).ok();
}

fn images(machine: &Machine) -> Vec<String> {
    let listed = machine.json(&["images"]);
    let names = listed["images"].as_array().unwrap().iter();
    let mut names: Vec<String> =
        names.map(|image| image["names"][0].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_disk_that_fills_up_loses_unused_images_then_takes_no_new_units_until_it_has_room() {
    let mut machine = Machine::at_addresses(1).remove(0);
    let disk = Disk::of(&mut machine);
    machine.start(&MARKS);
    machine.run(&["cluster", "init", "--name", "m1", "--address", &machine.address()]).ok();
    // The first to be used is the first to go, but for one that a unit here names.
    ["named", "old", "young"].iter().for_each(|name| import(&machine, name));
    let names = "[Service]\nExecStart=/bin/sh -c \"exec sleep infinity\" named:latest\n";
    let names = machine.file("names.service", names);
    machine.run(&["apply", names.to_str().unwrap()]).ok();
    disk.fill(83);
    machine.wait("room", |m| images(m) == ["named:latest", "young:latest"]);
    machine.wait("the note", |m| {
        m.json(&["images"])["last_collection"]["names"]
            == serde_json::json!(["docker.io/library/old:latest"])
    });
    let said = machine.run(&[&["images"], &MARKS[..]].concat()).ok().stdout;
    assert!(said.contains("removed for room at ") && said.contains(": old:latest ("), "{said}");

    disk.fill(97);
    machine.wait("no room", |m| images(m) == ["named:latest"]);
    machine.wait("a full disk", |m| m.json(&["list-machines"])[0]["disk_full"] == true);
    let shown = machine.json(&[&["images"], &MARKS[..]].concat());
    assert_eq!(shown["disk"]["pressure"], "refuse", "{shown}");
    assert_eq!(
        (&shown["disk"]["collect_percent"], &shown["disk"]["refuse_percent"]),
        (&80.into(), &90.into())
    );
    let refused = machine.run(&["pull", "127.0.0.1:1/app", "--disk-limit", "90"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let late = machine.file("late.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["apply", "--no-block", late.to_str().unwrap()]).ok();
    machine.wait("the reason", |m| {
        let why = m.run(&["why", "late"]).ok().stdout;
        why.contains("every machine it fits has a full disk")
            && why.contains("m1: has a full disk")
            && why.contains("next: argosy list-machines   # whose disks are full")
    });
    let listed = machine.run(&["list-machines"]).ok().stdout;
    assert!(listed.contains("ready, disk full (9"), "{listed}");
    let status = machine.run(&["status"]).ok().stdout;
    assert!(status.contains("the disk of m1 is full"), "{status}");
    // What runs there is restarted there.
    machine.run(&["restart", "names"]).ok();
    machine.run(&["is-active", "names"]).ok();
    assert_ne!(machine.run(&["is-active", "late"]).code, 0);

    disk.fill(0);
    machine.wait("the unit", |m| m.run(&["is-active", "late"]).code == 0);
    assert_eq!(machine.json(&["list-machines"])[0]["disk_full"], false);
    assert_eq!(images(&machine), ["named:latest"]);
    let log = fs::read_to_string(machine.path("log")).unwrap();
    let count = |words: &str| log.matches(words).count();
    assert_eq!(count("what nobody used was removed"), 2, "{log}");
    assert_eq!(count("none is left that nobody uses"), 1, "{log}");
    assert_eq!(count("is full: no new units come here"), 1, "{log}");
}
