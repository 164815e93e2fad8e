//! What Quadlet files become, and what is refused of them.

mod pods;
mod refused;

use argosy_model::{DataPolicy, KillMode, NotifyAccess, RestartPolicy, ServiceType};

use super::*;
use crate::Severity;

fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

fn siblings(files: &[(&str, &str)]) -> Siblings {
    let mut siblings = Siblings::in_directory("/srv/units");
    for (file, text) in files {
        siblings.add(&name(file), text);
    }
    siblings
}

/// Translates the first of `files` as `unit`; there must be no errors and no warnings.
fn translated_as(unit: &str, files: &[(&str, &str)]) -> Translated {
    let (file_name, text) = files[0];
    let (file, mut found) = UnitFile::parse(file_name, text);
    let (made, more) = translate(&file, &name(unit), &Specifiers::default(), &siblings(files));
    found.extend(more);
    let bad: Vec<String> = found
        .iter()
        .filter(|found| found.severity != Severity::Note)
        .map(ToString::to_string)
        .collect();
    assert_eq!(bad, Vec::<String>::new());
    made.unwrap()
}

fn translated(files: &[(&str, &str)]) -> Translated {
    translated_as(files[0].0, files)
}

/// Translates a container with some lines of `[Container]`.
fn container(lines: &str) -> Translated {
    let text = format!("[Container]\nImage=docker.io/library/busybox:1\n{lines}");
    translated(&[("web.container", &text)])
}

fn argv(commands: &[argosy_model::ExecCommand]) -> Vec<&str> {
    let [command] = commands else { panic!("one command: {commands:?}") };
    command.argv.iter().map(String::as_str).collect()
}

#[test]
fn a_web_server_with_volume_and_port() {
    let files = [
        (
            "web.container",
            "[Unit]\nDescription=web\n[Container]\nImage=docker.io/library/nginx:1.27\n\
             Volume=data.volume:/data\nPublishPort=8080:80\nExec=nginx -g \"daemon off;\"\n\
             [Install]\nWantedBy=multi-user.target\n",
        ),
        ("data.volume", "[Volume]\n"),
    ];
    let made = translated(&files);
    let spec = &made.spec;
    assert_eq!(spec.name, name("web.service"));
    assert_eq!(spec.description.as_deref(), Some("web"));
    assert_eq!(spec.service.service_type, ServiceType::Notify);
    assert_eq!(spec.service.notify_access, NotifyAccess::All);
    assert_eq!(spec.service.kill_mode, KillMode::Mixed);
    assert_eq!(spec.service.syslog_identifier.as_deref(), Some("web"));
    assert_eq!(
        argv(&spec.service.exec_start),
        [
            ENGINE,
            "container",
            "run",
            "--name=systemd-web",
            "--replace",
            "--rm",
            "--sdnotify=started",
            "--publish=8080:80",
            "--volume=systemd-data:/data",
            "docker.io/library/nginx:1.27",
            "nginx",
            "-g",
            "daemon off;",
        ]
    );
    let remove = [ENGINE, "container", "rm", "--force", "--ignore", "--volumes", "systemd-web"];
    let stop = [ENGINE, "container", "stop", "--ignore", "systemd-web"];
    assert_eq!(argv(&spec.service.exec_stop), stop);
    assert_eq!(argv(&spec.service.exec_stop_post), remove);
    assert!(spec.service.exec_stop_post[0].prefix.ignore_failure);
    let dependencies = &spec.dependencies;
    assert_eq!(dependencies.requires, [name("data-volume.service")]);
    assert_eq!(dependencies.after, [name("network-online.target"), name("data-volume.service")]);
    assert_eq!(dependencies.wants, [name("network-online.target")]);
    assert_eq!(made.companions, [name("data.volume")].into());
    assert_eq!(made.resource, "systemd-web");
    assert!(spec.placement.keeps_data);
}

#[test]
fn services_are_named_as_by_podman() {
    let service = |file: &str, text: &str| translated(&[(file, text)]).spec.name.to_string();
    let image = "[Container]\nImage=quay.io/a/b\n";
    assert_eq!(service("web.container", image), "web.service");
    assert_eq!(service("web@.container", image), "web@.service");
    assert_eq!(service("data.volume", ""), "data-volume.service");
    assert_eq!(service("data@.volume", ""), "data-volume@.service");
    assert_eq!(service("net.network", ""), "net-network.service");
    assert_eq!(service("p.pod", ""), "p-pod.service");
    assert_eq!(service("i.image", "[Image]\nImage=quay.io/a/b\n"), "i-image.service");
    let named = "[Container]\nImage=quay.io/a/b\nServiceName=other\n";
    assert_eq!(service("web.container", named), "other.service");
}

#[test]
fn instances_of_a_template() {
    let text = "[Container]\nImage=quay.io/a/b\nExec=serve %i\nVolume=data@%i.volume:/d\n";
    let files = [("web@.container", text), ("data@.volume", "")];
    let made = translated_as("web@7.container", &files);
    assert_eq!(made.spec.name, name("web@7.service"));
    assert_eq!(made.resource, "systemd-web_7");
    assert_eq!(made.spec.dependencies.requires, [name("data-volume@7.service")]);
    let argv = argv(&made.spec.service.exec_start).join(" ");
    assert!(argv.contains("--volume=systemd-data-7:/d"), "{argv}");
    assert!(argv.ends_with("quay.io/a/b serve 7"), "{argv}");
}

#[test]
fn what_binds_a_unit_to_its_machine() {
    let keeps = |lines: &str| container(lines).spec.placement.keeps_data;
    assert!(!keeps(""));
    assert!(keeps("Volume=named:/x\n"));
    assert!(keeps("Volume=named:/x:ro\n"));
    assert!(keeps("Volume=/srv/x:/x\n"));
    assert!(keeps("Volume=./x:/x:Z\n"));
    assert!(keeps("Mount=type=bind,source=/srv/x,target=/x\n"));
    assert!(keeps("Mount=type=volume,source=named,target=/x\n"));
    assert!(!keeps("Volume=/x\n"));
    assert!(!keeps("Volume=/srv/x:/x:ro\n"));
    assert!(!keeps("Volume=/srv/x:/x:O\n"));
    assert!(!keeps("Volume=/run/x.sock:/x.sock\nVolume=%t/y:/y\n"));
    assert!(!keeps("Mount=type=bind,source=/srv/x,target=/x,ro\nMount=type=tmpfs,target=/y\n"));
    assert!(!keeps("Mount=type=image,source=quay.io/a/b:1,target=/x\n"));
    assert!(!keeps("Volume=named:/x\n[X-Argosy]\nData=disposable\n"));
    let shared = container("Volume=named:/x\n[X-Argosy]\nData=shared\n").spec.placement;
    assert_eq!((shared.data, shared.keeps_data), (DataPolicy::Shared, true));
    assert!(translated(&[("d.volume", "")]).spec.placement.keeps_data);
    let in_memory = "[Volume]\nDevice=tmpfs\nType=tmpfs\n";
    assert!(!translated(&[("d.volume", in_memory)]).spec.placement.keeps_data);
    let text = "[Container]\nImage=quay.io/a/b\nVolume=d.volume:/d\n";
    let made = translated(&[("web.container", text), ("d.volume", in_memory)]);
    assert!(!made.spec.placement.keeps_data);
}

#[test]
fn a_pod_and_its_containers() {
    let plain = "[Container]\nImage=quay.io/a/b\nPod=p.pod\n";
    let aside = "[Container]\nImage=quay.io/a/b\nPod=p.pod\nStartWithPod=no\n";
    let files = [
        ("p.pod", "[Pod]\nPublishPort=80:80\nVolume=/srv/x:/x\n"),
        ("a.container", plain),
        ("b.container", aside),
        ("c@.container", plain),
    ];
    let made = translated(&files);
    let spec = &made.spec;
    assert_eq!(spec.name, name("p-pod.service"));
    assert_eq!(spec.service.service_type, ServiceType::Notify);
    assert_eq!(spec.service.restart, RestartPolicy::OnFailure);
    assert_eq!(spec.dependencies.before, [name("a.service")]);
    assert!(spec.dependencies.wants.contains(&name("a.service")));
    assert!(spec.placement.keeps_data);
    assert_eq!(
        argv(&spec.service.exec_start_pre),
        [
            ENGINE,
            "pod",
            "create",
            "--replace",
            "--exit-policy=stop",
            "--publish=80:80",
            "--volume=/srv/x:/x",
            "--name=systemd-p",
        ]
    );
    assert_eq!(
        argv(&spec.service.exec_start),
        [ENGINE, "pod", "start", "--sdnotify=started", "systemd-p"]
    );
    let made = translated(&[("a.container", plain), ("p.pod", files[0].1)]);
    assert_eq!(made.spec.dependencies.binds_to, [name("p-pod.service")]);
    assert!(argv(&made.spec.service.exec_start).contains(&"--pod=systemd-p"));
}

#[test]
fn words_reach_the_program_as_they_are_written() {
    let made = container("Exec=sh -c \"a; b\" ; \"\" c\\x20d %% $X\n");
    let words = argv(&made.spec.service.exec_start);
    assert_eq!(
        words[words.len() - 8..],
        ["docker.io/library/busybox:1", "sh", "-c", "a; b", ";", "", "c d", "%", "$X"][1..]
    );
    assert!(made.text.contains("sh -c \"a; b\" \";\" \"\" \"c d\" %% $X"), "{}", made.text);
}

#[test]
fn the_text_is_a_service_that_means_the_same() {
    let files = [
        (
            "web.container",
            "# kept\n[Unit]\nAfter=data.volume x.service\n[Container]\nImage=i.image\n\
             Volume=data.volume:/d\nEnvironment=\"A=b c\" B=%i\nHealthCmd=curl -f \"x\" || exit 1\n\
             Network=host\nExec=a \";\" %%\n[Service]\nRestart=always\nType=notify\nDelegate=yes\n\
             ExecStartPre=/bin/true\n[X-Argosy]\nOnPartition=stop\nData=shared\n\
             [Install]\nWantedBy=multi-user.target\n",
        ),
        ("data.volume", "[Volume]\nVolumeName=d\n"),
        ("i.image", "[Image]\nImage=quay.io/a/b\n"),
    ];
    for unit in ["web.container", "web@.container", "web@x.container"] {
        let mut files = files;
        files[0].0 = if unit.contains('@') { "web@.container" } else { unit };
        let made = translated_as(unit, &files);
        // The engine's control groups are not the supervisor's business yet.
        let text = made.text.replace("Delegate=yes\n", "");
        let (file, found) = UnitFile::parse("web.service", &text);
        assert_eq!(found, []);
        let (spec, found) = crate::lower(&file, &made.spec.name, &Specifiers::default());
        assert_eq!(spec.as_ref(), Some(&made.spec), "{text}\n{found:#?}");
        assert!(text.starts_with("# Made from web") && text.contains("# kept\n"));
    }
}

#[test]
fn a_template_that_names_templates_means_the_same_instance() {
    let text = "[Unit]\nAfter=net@%i.network\n[Container]\nImage=quay.io/a/b\n\
                Volume=data@.volume:/d\nMount=type=volume,source=data@%i.volume,target=/e\n";
    let named = "[Volume]\nVolumeName=vol-%N\n";
    let files = [("web@.container", text), ("data@.volume", named), ("net@.network", "")];
    for (unit, instance) in [("web@.container", "1"), ("web@x.container", "x")] {
        let made = translated_as(unit, &files);
        let volume = format!("vol-data-volume@{instance}");
        let argv = argv(&made.spec.service.exec_start).join(" ");
        assert!(argv.contains(&format!("--volume={volume}:/d")), "{argv}");
        assert!(argv.contains(&format!("source={volume},")), "{argv}");
        assert_eq!(
            made.spec.dependencies.requires,
            [name(&format!("data-volume@{instance}.service"))]
        );
        assert_eq!(made.companions, [name(&format!("data@{instance}.volume"))].into());
        let written = if unit == "web@.container" { "%i" } else { instance };
        let requires = format!("Requires=data-volume@{written}.service\n");
        assert!(made.text.contains(&requires), "{}", made.text);
        assert!(made.text.contains(&format!("--volume=vol-data-volume@{written}:/d")));
        assert!(made.text.contains("After=net-network@"), "{}", made.text);
        let (file, _) = UnitFile::parse("web.service", &made.text.replace("Delegate=yes\n", ""));
        let (spec, found) = crate::lower(&file, &made.spec.name, &Specifiers::default());
        let mut spec = spec.unwrap_or_else(|| panic!("{found:#?}"));
        spec.placement.keeps_data = true;
        assert_eq!(spec, made.spec);
    }
}

#[test]
fn the_file_stays_what_its_systemd_sections_say() {
    let made = container(
        "[Service]\nRestart=on-failure\nTimeoutStopSec=7\nKillMode=control-group\n\
         [X-Fleet]\nMachineMetadata=disk=ssd\n[X-Argosy]\nEndpoint=web:8080/http\n",
    );
    let spec = &made.spec;
    assert_eq!(spec.service.restart, RestartPolicy::OnFailure);
    assert_eq!(spec.service.kill_mode, KillMode::ControlGroup);
    assert_eq!(spec.placement.metadata[0].key, "disk");
    assert_eq!(spec.traffic.endpoints.len(), 1);
}

#[test]
fn a_plain_service_does_not_run_containers_by_their_files_name() {
    let (file, _) = UnitFile::parse("web.container", "[Container]\nImage=quay.io/a/b\n");
    let (spec, found) = crate::lower(&file, &name("web.container"), &Specifiers::default());
    assert_eq!(spec, None);
    assert_eq!(
        found[0].to_string(),
        "web.container:1:1: error: `web.container` is a file, and no unit: its unit is the service that it becomes"
    );
    assert_eq!(no_unit(&name("web.service")), None);
}
