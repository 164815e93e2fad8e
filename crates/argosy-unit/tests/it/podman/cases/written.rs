//! Sets of files written for one question each.

use super::Case;

const IMAGE: &str = "Image=docker.io/library/busybox:1\n";

fn case(title: &str, files: &[(&str, String)]) -> Case {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    Case { title: title.to_owned(), files }
}

fn alone(title: &str, name: &str, text: &str) -> Case {
    case(title, &[(name, text.to_owned())])
}

/// A container with some lines of `[Container]`.
fn container(title: &str, lines: &str) -> Case {
    alone(title, "web.container", &format!("[Container]\n{IMAGE}{lines}"))
}

/// A container with some lines of `[Service]`.
fn service(title: &str, lines: &str) -> Case {
    container(title, &format!("[Service]\n{lines}"))
}

/// Returns all written cases.
pub(in crate::podman) fn written() -> Vec<Case> {
    let mut cases = accepted();
    cases.extend(refused());
    cases
}

fn accepted() -> Vec<Case> {
    let plain = || format!("[Container]\n{IMAGE}");
    vec![
        container("the smallest container", ""),
        alone("an empty volume", "data.volume", ""),
        alone("an empty network", "net.network", "[Network]\n"),
        alone("an empty pod", "p.pod", "[Pod]\n"),
        alone("an image", "i.image", "[Image]\nImage=quay.io/a/b:1\n"),
        case("a template", &[("web@.container", plain() + "Exec=serve %i\n")]),
        alone("a volume template", "data@.volume", "[Volume]\nUser=5\n"),
        alone("a network template", "net@.network", "[Network]\nInternal=yes\n"),
        case(
            "templates that go together",
            &[
                (
                    "web@.container",
                    "[Unit]\nAfter=data@.volume\n[Container]\nImage=quay.io/a/b\n\
                Volume=data@.volume:/d\nNetwork=net@.network\n\
                Mount=type=volume,source=data@.volume,target=/e\n"
                        .into(),
                ),
                ("data@.volume", String::new()),
                ("net@.network", String::new()),
            ],
        ),
        container("a mount with a comma", "Mount=type=bind,src=/tmp,\\\"dst=/path,1\\\"\n"),
        alone("root's volume", "d.volume", "[Volume]\nUser=root\nGroup=root\n"),
        container("user and group", "User=1\nGroup=2\n"),
        container("the last of several", "HostName=a\nHostName=b\nStopTimeout=1\nStopTimeout=2\n"),
        container("a list is reset", "PublishPort=1:1\nPublishPort=\nPublishPort=2:2\n"),
        container(
            "words are reset",
            "AddCapability=kill\nAddCapability=\nEnvironment=A=1\nEnvironment=\n",
        ),
        container("a value is reset", "HostName=a\nHostName=\nExec=a b\nExec=\n"),
        container("an empty entry point", "Entrypoint=\nExec=/bin/true\n"),
        container("continuation", "Exec=echo a \\\n# between\n  b \\\n  c\nLabel=a=1 \\\n b=2\n"),
        container("reload by signal", "ReloadSignal=SIGHUP\n"),
        container("reload by command", "ReloadCmd=/bin/reload \"a b\" %n\n"),
        container("the service's name", "ServiceName=other\n"),
        container("cgroups as they are", "CgroupsMode=split\n"),
        container("no default dependencies", "[Quadlet]\nDefaultDependencies=false\n"),
        service("a oneshot", "Type=oneshot\nRemainAfterExit=yes\n"),
        service(
            "notify written out",
            "Type=notify\nNotifyAccess=main\nDelegate=yes\nKillMode=mixed\n",
        ),
        alone(
            "own type of a volume",
            "d.volume",
            "[Volume]\n[Service]\nType=simple\nRemainAfterExit=no\n",
        ),
        alone(
            "subnets",
            "n.network",
            "[Network]\nSubnet=10.1.0.0/16\nGateway=10.1.0.1\n\
            IPRange=10.1.1.0/24\nSubnet=fd00::/64\nGateway=fd00::1\nIPRange=10.2.0.1-10.2.0.9\n\
            IPv6=yes\n",
        ),
        alone(
            "device and options",
            "d.volume",
            "[Volume]\nDevice=tmpfs\nType=tmpfs\n\
            Options=size=1G\nUser=1\nGroup=2\nCopy=no\n",
        ),
        alone("a bind volume", "d.volume", "[Volume]\nDevice=/srv/my data\nType=bind\n"),
        case(
            "a pod with two containers",
            &[
                (
                    "p.pod",
                    "[Pod]\nPodName=mine\nHostName=pod.example\nServiceName=the-pod\n".into(),
                ),
                ("a.container", plain() + "Pod=p.pod\n"),
                (
                    "b.container",
                    plain() + "Pod=p.pod\nStartWithPod=false\n[Service]\nRestart=always\n",
                ),
            ],
        ),
        case(
            "names of resources",
            &[
                (
                    "web.container",
                    "[Container]\nImage=i.image\nVolume=d.volume:/d\nNetwork=n.network\n\
                Mount=type=volume,source=d.volume,target=/e\n"
                        .into(),
                ),
                (
                    "i.image",
                    "[Image]\nServiceName=pull\nImage=quay.io/a/b:1\n\
                ImageTag=quay.io/a/b:tag\n"
                        .into(),
                ),
                ("d.volume", "[Volume]\nVolumeName=vol\nServiceName=make-vol\n".into()),
                ("n.network", "[Network]\nNetworkName=net\nServiceName=make-net\n".into()),
            ],
        ),
        case(
            "dependencies by file name",
            &[
                (
                    "web.container",
                    format!(
                        "[Unit]\nRequires=d.volume other.container\n\
                After=d.volume other.container x.service\nBindsTo=p.pod\n[Container]\n{IMAGE}"
                    ),
                ),
                ("other.container", plain() + "ServiceName=second\n"),
                ("d.volume", String::new()),
                ("p.pod", "[Pod]\n".into()),
            ],
        ),
        case(
            "another container's network",
            &[
                ("web.container", plain() + "Network=side.container\n"),
                ("side.container", plain() + "ContainerName=beside\n"),
            ],
        ),
    ]
}

fn refused() -> Vec<Case> {
    let plain = || format!("[Container]\n{IMAGE}");
    vec![
        alone("no image", "web.container", "[Container]\nExec=true\n"),
        alone("no image to pull", "i.image", "[Image]\nArch=arm64\n"),
        container("an unknown key", "Hostname=x\n"),
        container("an unknown key of [Quadlet]", "[Quadlet]\nX=1\n"),
        container("a group alone", "Group=1\n"),
        container("both ways to reload", "ReloadCmd=x\nReloadSignal=SIGHUP\n"),
        container("a pod that is no file", "Pod=p\n"),
        container("a pod that is not there", "Pod=p.pod\n"),
        container("an image file that is not there", "Image=x.image\n"),
        container("a volume file that is not there", "Volume=x.volume:/x\n"),
        container("a network file that is not there", "Network=x.network\n"),
        container(
            "a mount's file that is not there",
            "Mount=type=volume,source=x.volume,target=/x\n",
        ),
        container("a mount without source", "Mount=type=bind,target=/x\n"),
        container("a port that is none", "ExposeHostPort=http\n"),
        case(
            "a dependency that is not there",
            &[("web.container", format!("[Unit]\nAfter=x.volume\n[Container]\n{IMAGE}"))],
        ),
        case(
            "options for another's network",
            &[
                ("web.container", plain() + "Network=side.container:ip=10.0.0.1\n"),
                ("side.container", plain()),
            ],
        ),
        service("simple", "Type=simple\n"),
        service("forking", "Type=forking\n"),
        service("killing one process", "KillMode=process\n"),
        alone("a gateway without subnet", "n.network", "[Network]\nGateway=10.0.0.1\n"),
        alone(
            "more gateways than subnets",
            "n.network",
            "[Network]\nSubnet=10.0.0.0/8\n\
            Gateway=10.0.0.1\nGateway=10.0.0.2\n",
        ),
        alone("more ranges than subnets", "n.network", "[Network]\nIPRange=10.0.0.0/24\n"),
        alone("a type without device", "d.volume", "[Volume]\nType=ext4\n"),
        alone("options without device", "d.volume", "[Volume]\nOptions=ro\n"),
        alone("an image driver without image", "d.volume", "[Volume]\nDriver=image\n"),
        alone("an unknown key of a pod", "p.pod", "[Pod]\nImage=x\n"),
    ]
}
