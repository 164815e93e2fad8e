//! Which images are seen, and which are left to the command itself.

use argosy_model::UnitName;

use super::*;
use crate::{Specifiers, UnitFile, lower};

/// Returns the images of a `[Service]` section.
#[track_caller]
fn of(lines: &str) -> Vec<String> {
    let text = format!("[Service]\n{lines}\n");
    let (file, found) = UnitFile::parse("a@7.service", &text);
    assert_eq!(found, []);
    let name = UnitName::new("a@7.service").unwrap();
    let (spec, found) = lower(&file, &name, &Specifiers::default());
    let spec = spec.unwrap_or_else(|| panic!("{found:#?}"));
    let shown = |image: &UnitImage| match image.engine {
        ImageEngine::Argosy => image.name.clone(),
        ImageEngine::Docker => format!("docker {}", image.name),
    };
    spec.images.iter().map(shown).collect()
}

/// Those of one command.
#[track_caller]
fn line(line: &str) -> Vec<String> {
    of(&format!("ExecStart={line}"))
}

#[test]
fn the_first_word_that_is_no_option_is_the_image() {
    for (command, images) in [
        ("/usr/bin/docker run busybox /bin/sh -c \"sleep 1; true\"", &["docker busybox"][..]),
        ("docker run --rm --name web -p 80:80 -dit web:1 -x y", &["docker web:1"]),
        ("docker container run -e A=b -eC=d -p80:80 web", &["docker web"]),
        ("/usr/bin/docker run -- web run", &["docker web"]),
        ("/usr/bin/docker run -i=false -t web", &["docker web"]),
        (
            "/usr/bin/argosy container run --rm=true --env=A=$B --name=${X} quay.io/a/b@sha256:ab c",
            &["quay.io/a/b@sha256:ab"],
        ),
        ("/usr/local/bin/argosy pull one two --quiet", &["one", "two"]),
        ("/usr/bin/docker pull -q one", &["docker one"]),
        ("/usr/bin/docker run web-%i:%p", &["docker web-7:a"]),
        (
            "argosy container run --mount type=image,source=tools:2,target=/t --mount=type=bind,src=/a,target=/b web",
            &["tools:2", "web"],
        ),
        ("argosy volume create --ignore --driver=image --opt=image=data:1 it", &["data:1"]),
    ] {
        assert_eq!(line(command), images, "{command}");
    }
}

#[test]
fn what_is_not_certain_on_every_machine_is_left_to_the_command() {
    for command in [
        "/usr/bin/docker run $IMAGE",
        "/usr/bin/docker run registry/${IMAGE}:1",
        "/usr/bin/docker run $OPTIONS web",
        "/usr/bin/docker run -p $PORTS web",
        "/usr/bin/docker run --name $NAME web",
        "/usr/bin/docker run web:%H",
        "/usr/bin/docker run %m",
        "/usr/bin/docker $VERB web",
        "/bin/sh -c \"docker run web\"",
        "/usr/bin/podman run web",
        "/opt/bin/docker run web",
        "/usr/bin/docker ps web",
        "/usr/bin/docker",
        "/usr/bin/docker run",
        "/usr/bin/docker run --rm",
        // Not brought, or not what its name says.
        "/usr/bin/docker run --pull=never web",
        "/usr/bin/docker run --pull never web",
        "/usr/bin/docker run --platform=linux/arm64 web",
        "/usr/bin/argosy pull --auth-file=/etc/a web",
    ] {
        assert_eq!(line(command), [""; 0], "{command}");
    }
    // A value that a machine fills in stays one word.
    assert_eq!(line("/usr/bin/docker run --name web-%H -p 80:${PORT} web"), ["docker web"]);
    // Without variables a `$` is one.
    assert_eq!(line(":/usr/bin/docker run -e $A web"), ["docker web"]);
}

#[test]
fn only_what_comes_before_and_at_the_start_counts_and_what_is_left_of_it() {
    let lines = "ExecStartPre=-/usr/bin/docker kill a\nExecStartPre=/usr/bin/docker pull one\n\
        ExecStart=/usr/bin/docker run two\nExecStop=/usr/bin/docker run three\n\
        ExecStartPost=/usr/bin/docker run four";
    assert_eq!(of(lines), ["docker one", "docker two"]);
    let lines = format!("{lines}\nExecStart=\nExecStartPre=\nExecStart=/usr/bin/docker run five");
    assert_eq!(of(&lines), ["docker five"]);
}

#[test]
fn another_user_has_images_of_his_own() {
    let lines =
        "User=www\nExecStartPre=+/usr/bin/docker pull one\nExecStart=/usr/bin/docker run two";
    assert_eq!(of(lines), ["docker one"]);
    assert_eq!(of(&lines.replace("www", "root")), ["docker one", "docker two"]);
}

#[test]
fn what_a_unit_pulls_with_credentials_is_its_own_matter() {
    let lines = "ExecStartPre=/usr/bin/argosy image pull --auth-file=/a one\n\
        ExecStart=/usr/bin/argosy container run one";
    assert_eq!(of(lines), [""; 0]);
}

#[test]
fn names_are_short_and_few() {
    let name = "a".repeat(IMAGE_NAME_BYTES_MAX);
    assert_eq!(line(&format!("argosy pull {name} {name}b")), [name]);
    let many: Vec<String> = (0..IMAGES_MAX + 1).map(|number| format!("i{number}")).collect();
    assert_eq!(line(&format!("argosy pull {}", many.join(" "))).len(), IMAGES_MAX);
}

/// Joins Quadlet files, and reads the images of the only service they become.
#[track_caller]
fn joined(files: &[(&str, &str)]) -> Vec<String> {
    let names: Vec<UnitName> =
        files.iter().map(|(file, _)| UnitName::new(*file).unwrap()).collect();
    let handed: Vec<crate::HandedIn<'_>> = names
        .iter()
        .zip(files)
        .map(|(name, (file, text))| crate::HandedIn { name, file, text })
        .collect();
    let services = crate::join(&handed).unwrap();
    let [service] = &services[..] else { panic!("{services:#?}") };
    let (file, _) = UnitFile::parse(service.name.as_str(), &service.text);
    let spec = lower(&file, &service.name, &Specifiers::default()).0.unwrap();
    spec.images.into_iter().map(|image| image.name).collect()
}

#[test]
fn quadlet_files_name_theirs_and_those_of_what_they_bring_along() {
    let files = [
        (
            "web.container",
            "[Container]\nImage=web.image\nMount=type=image,source=quay.io/a/tools:1,destination=/t\nVolume=data.volume:/d\n",
        ),
        ("web.image", "[Image]\nImage=quay.io/a/web:1\n"),
        ("data.volume", "[Volume]\nDriver=image\nImage=quay.io/a/data:1\n"),
    ];
    assert_eq!(joined(&files), ["quay.io/a/data:1", "quay.io/a/tools:1", "quay.io/a/web:1"]);
    let never = "[Container]\nImage=quay.io/a/web:1\nPull=never\n";
    assert_eq!(joined(&[("web.container", never)]), [""; 0]);
    let newer = never.replace("never", "newer");
    assert_eq!(joined(&[("web.container", &newer)]), ["quay.io/a/web:1"]);
    let alone = [("web.container", files[0].1.replace("Image=web.image", "Image=quay.io/a/w:%m"))];
    let alone = [(alone[0].0, alone[0].1.as_str()), files[2]];
    assert_eq!(joined(&alone), ["quay.io/a/data:1", "quay.io/a/tools:1"]);
}
