//! What is refused, where, and with what help.

use expect_test::{Expect, expect};

use super::*;

/// Translates a file among others and writes its errors and warnings.
#[track_caller]
fn check(files: &[(&str, &str)], expected: Expect) {
    let (file_name, text) = files[0];
    let (file, mut found) = UnitFile::parse(file_name, text);
    let (made, more) = translate(&file, &name(file_name), &Specifiers::default(), &siblings(files));
    found.extend(more);
    let errors = found.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(made.is_none(), errors);
    let lines: Vec<String> = found
        .iter()
        .filter(|found| found.severity != Severity::Note)
        .map(|found| format!("{found}\n"))
        .collect();
    expected.assert_eq(&lines.concat());
}

#[track_caller]
fn container(lines: &str, expected: Expect) {
    check(&[("c.container", &format!("[Container]\nImage=quay.io/a/b\n{lines}"))], expected);
}

#[test]
fn files_that_are_not_translated() {
    check(
        &[("x.build", "[Build]\nImageTag=a\n")],
        expect![[r#"
        x.build:1:1: error: `.build` files are not available: images are not built here (build the image elsewhere, push it to a registry, and name it by Image=)
    "#]],
    );
    check(
        &[("x.kube", "[Kube]\nYaml=a.yml\n")],
        expect![[r#"
        x.kube:1:1: error: `.kube` files are not available: Kubernetes objects are not run here (write a `.container` file for each container, and a `.pod` file for what they share)
    "#]],
    );
    check(
        &[("x.artifact", "[Artifact]\nArtifact=a\n")],
        expect![[r#"
        x.artifact:1:1: error: `.artifact` files are not available: only images are pulled (put the files into an image or a volume)
    "#]],
    );
}

#[test]
fn keys() {
    container(
        "PublishPorts=80\nRestart=always\nSubnet=10.0.0.0/8\nQuux=1\n",
        expect![[r#"
        c.container:3:1: error: [Container] has no key `PublishPorts=` (did you mean `PublishPort=`?)
        c.container:4:1: error: `Restart=` is a [Service] key, not one of [Container] (move it below [Service])
        c.container:5:1: error: `Subnet=` is a [Network] key, not one of [Container] (it belongs into a `.network` file)
        c.container:6:1: error: [Container] has no key `Quux=`
    "#]],
    );
    container(
        "[Service]\nPublishPort=80\n[Unit]\nImage=x\n",
        expect![[r#"
        c.container:4:1: error: `PublishPort=` is a [Container] key, not one of [Service] (move it below [Container])
        c.container:6:1: error: `Image=` is a [Container] key, not one of [Unit] (move it below [Container])
    "#]],
    );
    container(
        "[Volume]\n[Contaner]\n[Quux]\n",
        expect![[r#"
        c.container:3:2: error: [Volume] has no place in a `.container` file (it belongs into a `.volume` file of its own)
        c.container:4:2: error: there is no section [Contaner] (did you mean [Container]?)
        c.container:5:2: error: there is no section [Quux] (a `.container` file has [Container], [Quadlet], [Unit], [Service], [Install], [X-Fleet] and [X-Argosy])
    "#]],
    );
    container(
        "PodmanArgs=--cpus=2\nPodmanArgs=--cpus=2 -p 80:80\nPodmanArgs=--tmpfs /x\nSecret=x\nLogDriver=none\nCgroupsMode=enabled\n",
        expect![[r#"
            c.container:3:1: error: `PodmanArgs=` is refused: the flags of podman are not those of the engine; use the key that stands for the flag
            c.container:4:1: error: `PodmanArgs=` is refused: the flags of podman are not those of the engine; use the key that stands for the flag (for `-p` write `PublishPort=`)
            c.container:5:1: error: `PodmanArgs=` is refused: the flags of podman are not those of the engine; use the key that stands for the flag (for `--tmpfs` write `Tmpfs=`)
            c.container:6:1: error: `Secret=` is refused: secrets are not available yet; use EnvironmentFile= or Volume=
            c.container:7:1: error: `LogDriver=` is refused: the output of a container goes to the journal (leave it out, or set `LogDriver=journald`)
            c.container:8:1: error: `CgroupsMode=` is refused: a container always runs in the control group of its unit (leave it out, or set `CgroupsMode=split`)
        "#]],
    );
    container(
        "LogDriver=journald\nCgroupsMode=split\nPodmanArgs=\nAppArmor=unconfined\n",
        expect![[""]],
    );
    container(
        "Rootfs=/x\nGlobalArgs=-x\nContainersConfModule=a\nRemapUsers=auto\n",
        expect![[r#"
        c.container:3:1: error: `Rootfs=` is refused: containers run from images; import the directory as one
        c.container:4:1: error: `GlobalArgs=` is refused: podman's global flags have no meaning here
        c.container:5:1: error: `ContainersConfModule=` is refused: there is no containers.conf here
        c.container:6:1: error: `RemapUsers=` is refused: Podman itself calls it deprecated; use UserNS=, UIDMap= and GIDMap=
    "#]],
    );
}

#[test]
fn values() {
    container(
        "PublishPort=80:http\nPull=allways\nMemory=much\nReadOnly=maybe\n",
        expect![[r#"
        c.container:3:13: error: `PublishPort=80:http` is not valid
        c.container:4:6: error: `Pull=allways` is not valid (did you mean `always`?)
        c.container:5:8: error: `Memory=much` is not valid
        c.container:6:10: error: `ReadOnly=maybe` is not valid
    "#]],
    );
    container(
        "AddCapability=kill CAP_KILLS\nUserNS=own\nAddHost=x\nIP=fd00::1\n",
        expect![[r#"
        c.container:3:20: error: `AddCapability=CAP_KILLS` is not valid
        c.container:4:8: error: `UserNS=own` is not valid
        c.container:5:9: error: `AddHost=x` is not valid
        c.container:6:4: error: `IP=fd00::1` is not valid
    "#]],
    );
    container(
        "Environment=\"A=b\nLabel==x\nExec=a \\q\nNotify=perhaps\n",
        expect![[r#"
        c.container:3:13: error: a quote is never closed (write \" for the character itself)
        c.container:4:7: error: `Label=` needs a name before the `=` (a value with spaces is quoted as a whole: "NAME=some value")
        c.container:5:8: error: this is no escape sequence (write \\ for a backslash)
        c.container:6:8: error: `Notify=perhaps` is not valid
    "#]],
    );
    container(
        "HostName=%z\nWorkingDir=srv\nStopSignal=SIGFOO\nContainerName=a/b\n",
        expect![[r#"
        c.container:3:10: error: `%z` is no specifier (write %% for a percent sign)
        c.container:4:12: error: `WorkingDir=srv` is not valid
        c.container:5:12: error: `StopSignal=SIGFOO` is not valid
        c.container:6:15: error: `ContainerName=a/b` is not valid
    "#]],
    );
    container(
        "PublishPort=$PORT:80\nHostName=%H\nNotify=healthy\n",
        expect![[r#"
        c.container:5:8: warning: `Notify=healthy` needs a health check (HealthCmd= is such, if the image has none of its own)
    "#]],
    );
}

#[test]
fn images() {
    check(
        &[("c.container", "[Container]\nExec=true\n")],
        expect![[r#"
        c.container:1:2: error: [Container] needs `Image=` (for example Image=docker.io/library/busybox:latest)
    "#]],
    );
    check(
        &[("c.container", "[Container]\nImage=nginx\n")],
        expect![[r#"
        c.container:2:7: warning: `nginx` names no registry (for example docker.io/library/nginx)
    "#]],
    );
    check(
        &[("c.container", "[Container]\nImage=x.build\n")],
        expect![[r#"
        c.container:2:7: error: images are not built here (build it elsewhere, push it to a registry, and name it in Image=)
    "#]],
    );
    check(
        &[("c.container", "[Container]\nImage=x.image\n")],
        expect![[r#"
        c.container:2:7: error: there is no Quadlet file `x.image` (give both files at once, or name what `x.image` would make)
    "#]],
    );
    check(
        &[("i.image", "[Image]\nImage=docker-archive:/x.tar\n")],
        expect![[r#"
        i.image:2:7: error: `docker-archive:` is not available: images come from registries (load the archive first (`argosy image load`), and name the image it holds)
    "#]],
    );
    check(
        &[("i.image", "[Image]\nImage=quay.io/a/b\nCreds=me:secret\nDecryptionKey=x\n")],
        expect![[r#"
            i.image:3:1: warning: whoever may read the unit can read these credentials (AuthFile= names a file that only root may read)
            i.image:4:1: error: `DecryptionKey=` is refused: encrypted images are not available
        "#]],
    );
}

#[test]
fn storage() {
    container(
        "Volume=x.volume:/x\nVolume=a b:/x\nVolume=/a:x\nVolume=/a/../b:/x\n",
        expect![[r#"
        c.container:3:8: error: there is no Quadlet file `x.volume` (give both files at once, or name what `x.volume` would make)
        c.container:4:8: error: `a b` names no volume
        c.container:5:11: error: `Volume=x` is not valid
        c.container:6:8: error: `/a/../b` is not a whole path (write it without `..`)
    "#]],
    );
    container(
        "Mount=type=bind,target=/x\nMount=type=glob,src=/x*,dst=/x\n",
        expect![[r#"
        c.container:3:7: error: a mount of the type `bind` needs a source
        c.container:4:7: error: mounts of the type `glob` are not available
    "#]],
    );
    container(
        "Mount=type=volume,source=x.artifact,target=/x\nAddDevice=fuse\n",
        expect![[r#"
        c.container:3:7: error: artifacts are not available (put the files into an image or a volume)
        c.container:4:11: error: `fuse` is no device
    "#]],
    );
    let text = "[Container]\nImage=quay.io/a/b\nVolume=./x:/x\nEnvironmentFile=x.env\n";
    let (file, _) = UnitFile::parse("c.container", text);
    let (made, found) =
        translate(&file, &name("c.container"), &Specifiers::default(), &Siblings::new());
    assert_eq!(made, None);
    let lines: Vec<String> = found.iter().map(|found| format!("{found}\n")).collect();
    expect![[r#"
        c.container:3:8: error: `./x` begins in the directory of this file (write the whole path; it must be there on every machine that may run the unit)
        c.container:4:17: error: `x.env` begins in the directory of this file (write the whole path; it must be there on every machine that may run the unit)
    "#]].assert_eq(&lines.concat());
    check(
        &[("d.volume", "[Volume]\nType=ext4\nUser=me\nDriver=nfs\nImage=quay.io/a/b\n")],
        expect![[r#"
            d.volume:2:1: error: `Type=` needs `Device=`
            d.volume:3:6: error: `User=me` is not valid
            d.volume:4:8: error: `Driver=nfs` is not valid
            d.volume:5:1: error: `Image=` needs `Driver=image`
        "#]],
    );
}

#[test]
fn networks() {
    container(
        "Network=x.network\nNetwork=pasta\nNetwork=host:x\nNetwork=container:\n",
        expect![[r#"
            c.container:3:9: error: there is no Quadlet file `x.network` (give both files at once, or name what `x.network` would make)
            c.container:4:9: error: `pasta` is not available: containers are on bridges (leave Network= out, or write Network=host)
            c.container:5:9: error: `host` takes no options
            c.container:6:9: error: `container:` needs a name behind it
        "#]],
    );
    container(
        "Network=host\nPublishPort=80\n",
        expect![[r#"
        c.container:4:1: warning: `PublishPort=` does nothing with `Network=host` (the container's ports are the machine's already)
    "#]],
    );
    let pod = [
        (
            "c.container",
            "[Container]\nImage=quay.io/a/b\nPod=p.pod\nPublishPort=80\nNetwork=host\n",
        ),
        ("p.pod", ""),
    ];
    check(
        &pod,
        expect![[r#"
            c.container:4:1: error: `PublishPort=` does not go with `Pod=` (the containers of a pod share its network: `PublishPort=` of [Pod])
            c.container:5:1: error: `Network=` does not go with `Pod=` (the containers of a pod share its network: `Network=` of [Pod])
        "#]],
    );
    container(
        "Pod=p\n",
        expect![[r#"
        c.container:3:5: error: `Pod=p` is not valid
    "#]],
    );
    check(
        &[("n.network", "[Network]\nDriver=macvlan\nGateway=10.0.0.1\nSubnet=10.0.0.1\n")],
        expect![[r#"
            n.network:2:8: error: `Driver=macvlan` is not valid
            n.network:4:8: error: `Subnet=10.0.0.1` is not valid
        "#]],
    );
    check(
        &[("n.network", "[Network]\nGateway=10.0.0.1\n")],
        expect![[r#"
        n.network:2:1: error: `Gateway=` needs `Subnet=`
    "#]],
    );
}

#[test]
fn services() {
    container(
        "[Service]\nExecStart=/bin/x\nUser=me\nType=simple\nKillMode=none\nDelegate=no\nMemoryMax=1G\n",
        expect![[r#"
            c.container:4:1: error: `ExecStart=` is refused: [Container] says what is started (Exec= in [Container] is what the container runs)
            c.container:5:1: error: `User=` is refused: the engine needs root (User= in [Container] is the user inside the container)
            c.container:6:1: error: `Type=` is refused: a container is `notify` or `oneshot`
            c.container:7:1: error: `KillMode=` is refused: a container is ended by `mixed` or `control-group` (leave it out for `mixed`)
            c.container:8:1: error: `Delegate=` is refused: a container has control groups below its unit's (leave it out)
            c.container:9:1: error: `MemoryMax=` is refused: limits on what a unit may use are not available yet (leave it out, or set `MemoryMax=infinity`)
        "#]],
    );
    container(
        "Group=1\nReloadCmd=x\nReloadSignal=HUP\n[Service]\nNotifyAccess=main\n",
        expect![[r#"
            c.container:3:7: error: `Group=` needs `User=`
            c.container:4:1: error: `ReloadCmd=` does not go with `ReloadSignal=`
        "#]],
    );
    check(
        &[("p.pod", "[Service]\nRestart=always\nType=oneshot\n")],
        expect![[r#"
        p.pod:2:1: error: `Restart=` is refused: a pod is restarted on failure (leave it out)
        p.pod:3:1: error: `Type=` is refused: a pod is `notify` (leave it out)
    "#]],
    );
    container(
        "[Service]\nType=oneshot\nRestart=always\n",
        expect![[r#"
        c.container:5:9: error: a Type=oneshot service cannot be restarted after success (use Restart=on-failure)
    "#]],
    );
}

#[test]
fn names() {
    let two = [
        ("a.container", "[Container]\nImage=quay.io/a/b\nServiceName=b\n"),
        ("b.container", "[Container]\nImage=quay.io/a/b\n"),
    ];
    check(
        &two,
        expect![[r#"
        a.container:1:2: error: `b.container` becomes `b.service` as well (ServiceName= gives one of them another name)
    "#]],
    );
    container(
        "ServiceName=a b\n",
        expect![[r#"
        c.container:3:13: error: the unit name "a b.service" contains ' '; allowed are letters, digits and :-_.\@ (ServiceName= is the unit's name without `.service`)
    "#]],
    );
    container(
        "ServiceName=a@\n",
        expect![[r#"
        c.container:3:13: error: only a template becomes a template (leave out the `@` at the end of ServiceName=)
    "#]],
    );
    check(
        &[("c@.container", "[Container]\nImage=quay.io/a/b\nServiceName=a\n")],
        expect![[r#"
        c@.container:3:13: error: the service of a template is a template (write an `@` at the end of ServiceName=)
    "#]],
    );
    container(
        "[Unit]\nAfter=x.container\nRequires=t@.volume\n",
        expect![[r#"
        c.container:4:7: error: there is no Quadlet file `x.container` (give both files at once, or name what `x.container` would make)
        c.container:5:10: error: `t@.volume` is a template, which never runs itself (name an instance, such as `t@1.volume`)
    "#]],
    );
}

#[test]
fn what_says_nothing() {
    container(
        "StartWithPod=no\nNotify=yes\n[Service]\nType=oneshot\n",
        expect![[r#"
        c.container:3:1: warning: `StartWithPod=` does nothing without Pod=
        c.container:4:1: warning: `Notify=` does nothing with Type=oneshot
    "#]],
    );
    container(
        "StopTimeout=90\nNetwork=c.container\n",
        expect![[r#"
        c.container:3:13: warning: the unit is killed before the container may take so long (write a longer TimeoutStopSec= in [Service])
        c.container:4:9: error: `c.container` is this file itself
    "#]],
    );
    container("StopTimeout=90\n[Service]\nTimeoutStopSec=100\n", expect![[""]]);
}

#[test]
fn a_service_names_the_service_and_not_its_file() {
    let text = "[Unit]\nRequires=web.container\nAfter=d.volume\n[Service]\nExecStart=/bin/true\n";
    let known = |_: &UnitName| true;
    let checked = crate::check("a.service", text, &name("a.service"), &known);
    let lines: Vec<String> = checked.diagnostics.iter().map(|found| format!("{found}\n")).collect();
    expect![[r#"
        a.service:2:10: error: `web.container` is a Quadlet file, which becomes a service (name the service: `web.container` becomes `web.service`)
        a.service:3:7: error: `d.volume` is a Quadlet file, which becomes a service (name the service: `web.container` becomes `web.service`)
    "#]].assert_eq(&lines.concat());
}

#[test]
fn a_file_that_becomes_a_unit_that_is_there() {
    let text = "[Container]\nImage=quay.io/a/b\n";
    let known = |unit: &UnitName| unit.as_str() == "web.service";
    let checked = crate::check("web.container", text, &name("web.container"), &known);
    assert_eq!(checked.spec, None);
    let lines: Vec<String> = checked.diagnostics.iter().map(|found| format!("{found}\n")).collect();
    expect![[r#"
        web.container:1:1: error: there is a `web.service` already (ServiceName= gives this one another name)
    "#]].assert_eq(&lines.concat());
}

#[test]
fn what_a_file_depends_on_is_known_if_it_is_handed_in_too() {
    let text =
        "[Unit]\nRequires=data-volume.service side.service\n[Container]\nImage=quay.io/a/b\n";
    let files = [("web.container", text), ("data.volume", ""), ("side.container", text)];
    let unknown = |_: &UnitName| false;
    let checked = crate::check_with_siblings(
        "web.container",
        text,
        &name("web.container"),
        &unknown,
        &siblings(&files),
    );
    assert_eq!(checked.spec.map(|spec| spec.name), Some(name("web.service")));
    let alone = crate::check("web.container", text, &name("web.container"), &unknown);
    let errors = alone.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
    assert_eq!(errors, 2);
}
