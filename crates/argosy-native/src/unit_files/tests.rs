//! Precedence of directories, drop-ins and templates.

use std::fs;
use std::path::Path;

use argosy_model::UnitName;
use argosy_unit::Specifiers;

use super::{UnitFiles, parse};
use crate::machine_facts::MachineFacts;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

#[test]
fn earlier_directories_win_and_drop_ins_add() {
    let dir = tempfile::tempdir().unwrap();
    let (etc, usr) = (dir.path().join("etc"), dir.path().join("usr"));
    write(&usr.join("a.service"), "[Unit]\nDescription=usr\n[Service]\nExecStart=/bin/true");
    write(&usr.join("b.service"), "[Unit]\nDescription=b\n[Service]\nExecStart=/bin/true\n");
    write(&etc.join("a.service"), "[Unit]\nDescription=etc\n[Service]\nExecStart=/bin/true");
    write(&etc.join("b.service.d/10.conf"), "[Unit]\nDescription=changed\n");
    write(&usr.join("b.service.d/10.conf"), "[Unit]\nDescription=hidden\n");
    let files = UnitFiles::new(vec![etc, usr]);
    assert_eq!(files.look().names(), [name("a.service"), name("b.service")]);
    let description = |unit: &str| {
        let loaded = files.look().load(&name(unit), &Specifiers::default()).unwrap().unwrap();
        loaded.spec.description.unwrap()
    };
    assert_eq!(description("a.service"), "etc");
    assert_eq!(description("b.service"), "changed");
    assert!(files.look().load(&name("c.service"), &Specifiers::default()).is_none());
}

#[test]
fn an_instance_comes_from_its_template() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[Unit]\nDescription=%i\n[Service]\nExecStart=/bin/echo %i\n";
    write(&dir.path().join("t@.service"), text);
    let files = UnitFiles::new(vec![dir.path().to_owned()]);
    let loaded = files.look().load(&name("t@x.service"), &Specifiers::default()).unwrap().unwrap();
    assert_eq!(loaded.spec.description.as_deref(), Some("x"));
    assert_eq!(loaded.spec.name, name("t@x.service"));
}

#[test]
fn a_refused_file_says_where() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("bad.service"), "[Service]\nExecStart=/bin/true\nRestrat=always\n");
    let files = UnitFiles::new(vec![dir.path().to_owned()]);
    let error =
        files.look().load(&name("bad.service"), &Specifiers::default()).unwrap().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("bad.service:3"), "{message}");
}

#[test]
fn no_machine_id_is_made_up() {
    let name = name("a.service");
    let text = |word: &str| format!("[Service]\nExecStart=/bin/echo {word}\n");
    let dir = tempfile::tempdir().unwrap();
    let facts = MachineFacts::read(dir.path());
    let error = parse(&name, &text("%m"), "a", &facts.now()).unwrap_err().to_string();
    assert!(error.contains("%m"), "{error}");
    assert!(parse(&name, &text("%%m"), "a", &facts.now()).is_ok());
    // The machine gets its id while the supervisor runs.
    let id = "0123456789abcdef".repeat(2);
    fs::write(dir.path().join("id"), format!("{id}\n")).unwrap();
    let spec = parse(&name, &text("%m"), "a", &facts.now()).unwrap();
    assert_eq!(spec.service.exec_start[0].argv[1], id);
}

#[test]
fn a_file_whose_name_cannot_be_a_units_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["odd name.service", "@.service", "good.service", "README", "notes.txt"] {
        write(&dir.path().join(name), "[Service]\nExecStart=/bin/true\n");
    }
    write(&dir.path().join("dir name.service/file"), "");
    let files = UnitFiles::new(vec![dir.path().to_owned(), dir.path().join("missing")]);
    assert_eq!(files.look().names(), [name("good.service")]);
    let misnamed = files.look().misnamed();
    let [empty, odd] = misnamed.as_slice() else { panic!("{misnamed:?}") };
    assert!(empty.contains("@.service: the unit name"), "{empty}");
    assert!(odd.contains("odd name.service: the unit name"), "{odd}");
}

#[test]
fn quadlet_files_are_the_services_they_become() {
    let dir = tempfile::tempdir().unwrap();
    let (etc, usr) = (dir.path().join("etc"), dir.path().join("usr"));
    write(&usr.join("web.container"), "[Container]\nImage=a.test/hidden\n");
    write(
        &etc.join("web.container"),
        "[Container]\nImage=a.test/web\nVolume=data.volume:/data\n[Service]\nRestart=always\n",
    );
    write(&usr.join("data.volume"), "[Volume]\n");
    write(&etc.join("web.service.d/10.conf"), "[Unit]\nDescription=changed\n");
    write(&etc.join("job@.container"), "[Container]\nImage=a.test/job\nExec=%i\n");
    write(&etc.join("bad.container"), "[Container]\nVolume=none.volume:/x\nImage=a.test/x\n");
    let files = UnitFiles::new(vec![etc.clone(), usr]);
    assert_eq!(
        files.look().names(),
        [name("bad.service"), name("job@.service"), name("web.service")]
    );
    let load = |unit: &str| files.look().load(&name(unit), &Specifiers::default()).unwrap();
    let web = load("web.service").unwrap();
    assert_eq!(web.spec.description.as_deref(), Some("changed"));
    assert_eq!(web.source.origin, etc.join("web.container").display().to_string());
    let words = |at: usize| web.spec.service.exec_start_pre[at].argv[1..].join(" ");
    assert_eq!(words(0), "volume create --ignore systemd-data");
    assert!(web.spec.service.exec_start[0].argv.contains(&"a.test/web".to_owned()));
    let job = load("job@x.service").unwrap();
    assert_eq!(job.spec.service.exec_start[0].argv.last().unwrap(), "x");
    let error = load("bad.service").unwrap_err().to_string();
    assert!(error.contains("there is no Quadlet file `none.volume`"), "{error}");
    assert!(
        files.look().load(&name("data-volume.service"), &Specifiers::default()).unwrap().is_err()
    );
}

#[test]
fn a_pod_of_the_machine_is_a_service_with_its_containers() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("web.pod"), "[Pod]\nPublishPort=80:80\n");
    let member = "[Container]\nImage=a.test/x\nPod=web.pod\n";
    write(&dir.path().join("a.container"), member);
    write(&dir.path().join("b.container"), member);
    let files = UnitFiles::new(vec![dir.path().to_owned()]);
    assert_eq!(
        files.look().names(),
        [name("a.service"), name("b.service"), name("web-pod.service")]
    );
    let load =
        |unit: &str| files.look().load(&name(unit), &Specifiers::default()).unwrap().unwrap();
    let wants = load("web-pod.service").spec.dependencies.wants;
    assert!(wants.contains(&name("a.service")) && wants.contains(&name("b.service")));
    assert_eq!(load("b.service").spec.dependencies.binds_to, [name("web-pod.service")]);
}

#[test]
fn one_look_reads_quadlet_files_once_and_says_how_many_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let write_one = |number: usize| {
        let text = "[Container]\nImage=busybox\n";
        write(&dir.path().join(format!("c{number:04}.container")), text);
    };
    (0..1024).for_each(write_one);
    let files = UnitFiles::new(vec![dir.path().to_owned()]);
    let look = files.look();
    assert_eq!((look.names().len(), look.misnamed().len()), (1024, 0));
    // What was read is what counts until the next look.
    fs::remove_file(dir.path().join("c0000.container")).unwrap();
    assert!(look.load(&name("c0000.service"), &Specifiers::default()).unwrap().is_ok());
    assert!(files.look().load(&name("c0000.service"), &Specifiers::default()).is_none());
    [0, 1024].into_iter().for_each(write_one);
    let look = files.look();
    assert_eq!(look.names().len(), 1024);
    assert!(
        look.misnamed()[0].starts_with("1 Quadlet files are left out"),
        "{:?}",
        look.misnamed()
    );
    assert!(look.load(&name("c1024.service"), &Specifiers::default()).is_none());
}
