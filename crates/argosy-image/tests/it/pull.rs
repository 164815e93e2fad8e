//! Pulls of good images: from a real registry in both families, and through broken connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argosy_image::{
    Event, Mirror, PullOptions, Registries, RegistryClient, RegistrySettings, Transport, When,
    silent,
};

use crate::archive::{Archive, INDEX, Layer, MANIFEST, MadeImage, architecture, descriptor};
use crate::fake::{Answer, Fake};
use crate::registry::{Built, Registry};
use crate::tools::{
    client, contents, events, folder, run, store, text, try_pull, try_pull_with, whole,
};
use crate::tree::{Mounted, assert_same};

/// Everything that a layer can say, in three layers that change each other.
const STEPS: [&str; 3] = [
    "mkdir -p bin etc/deep/er var/old tmp
     printf hello > bin/app; chmod 4755 bin/app
     printf conf > etc/conf; chown 12:34 etc/conf; chmod 640 etc/conf
     ln -s /etc/conf etc/link; ln -s ../../../../../etc/passwd etc/up
     ln bin/app bin/again; mkfifo var/pipe; mknod var/null c 1 3; mknod var/disk b 7 1
     head -c 300000 /dev/urandom > var/random
     printf x > \"$(printf 'bin/na\\303\\257ve name')\"
     chmod 1777 tmp; touch -d 2001-02-03T04:05:06 etc/deep/er/old
     for n in 1 2 3 4 5; do echo $n > var/old/$n; done
     cp bin/app bin/capable; setcap cap_net_raw+ep bin/capable",
    "rm etc/conf; rm -r var/old; mkdir var/old; echo new > var/old/6
     rm -r etc/deep; printf file > etc/deep; rm bin/again; chmod 700 tmp",
    "rm etc/deep; mkdir etc/deep; echo back > etc/deep/again; rm var/old/6; echo more > bin/app",
];

#[test]
fn both_families_unpack_to_what_umoci_and_podman_make() {
    let registry = Registry::start();
    let built = Built::new(&STEPS);
    registry.push(&format!("oci:{}", built.image()), "app:oci", "oci");
    registry.push(&format!("oci:{}", built.image()), "app:docker", "v2s2");
    let folder = folder();
    let store = store(folder.path());
    let oci = try_pull(&store, &registry.name("app:oci")).unwrap();
    let docker = try_pull(&store, &registry.name("app:docker")).unwrap();
    assert_ne!(oci.manifest, docker.manifest);
    assert_eq!(oci.layers, docker.layers, "the same layers are unpacked once");
    assert_eq!(oci.layers.len(), 3);
    assert_eq!(oci.config.config().as_ref().unwrap().cmd(), &Some(vec!["/bin/sh".to_owned()]));
    let mounted = Mounted::new(&oci);
    let capability = rustix::fs::getxattr(
        mounted.path().join("bin/capable"),
        "security.capability",
        &mut [0; 64][..],
    );
    assert_eq!(capability, Ok(20));
    assert_same(&mounted.path(), &built.unpacked());
    let podman = Podman::pull(&registry.name("app:docker"));
    assert_same(&mounted.path(), &podman.mounted);
}

/// What podman makes of an image.
struct Podman {
    folder: tempfile::TempDir,
    mounted: std::path::PathBuf,
}

impl Podman {
    fn pull(name: &str) -> Self {
        let folder = folder();
        let mut podman = Self { folder, mounted: std::path::PathBuf::new() };
        podman.run(&["pull", "-q", "--tls-verify=false", name]);
        podman.mounted = podman.run(&["image", "mount", name]).trim().into();
        podman
    }

    fn run(&self, arguments: &[&str]) -> String {
        let (root, run_root) = (self.folder.path().join("root"), self.folder.path().join("run"));
        let mut all =
            vec!["--root", text(&root), "--runroot", text(&run_root), "--events-backend=file"];
        all.extend(["--storage-driver=overlay", "--cgroup-manager=cgroupfs"]);
        all.extend(arguments);
        String::from_utf8(run("podman", &all).stdout).unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["image", "umount", "--all"]);
        // Its own mount point; it is left mounted by some versions.
        let overlay = self.folder.path().join("root/overlay");
        drop(std::process::Command::new("umount").arg(&overlay).output());
    }
}

fn small() -> MadeImage {
    let base = Archive::default().folder("etc").file("etc/a", b"a").end();
    let above = Archive::default().folder("etc").file("etc/b", &[7; 100_000]).end();
    MadeImage::new(vec![Layer::gzip(base), Layer::zstd(above)])
}

#[test]
fn a_second_pull_moves_no_layer_and_a_missing_only_pull_asks_nobody() {
    let fake = Fake::with(&small());
    let folder = folder();
    let store = store(folder.path());
    let first = try_pull(&store, &fake.name("app")).unwrap();
    let before = fake.asked().len();
    let (progress, told) = events();
    let second =
        try_pull_with(&store, &client(), &fake.name("app"), &PullOptions::default(), progress)
            .unwrap();
    assert_eq!((first.id, &first.layers), (second.id, &second.layers));
    assert_eq!(fake.asked().len(), before + 1, "only the manifest is asked for");
    let present = |event: &&Event| matches!(event, Event::Present { .. });
    assert_eq!(told.lock().unwrap().iter().filter(present).count(), 2);
    let options = PullOptions { when: When::Missing, ..PullOptions::default() };
    try_pull_with(&store, &client(), &fake.name("app"), &options, silent()).unwrap();
    assert_eq!(fake.asked().len(), before + 1);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let image = small();
    let fake = Fake::with(&image);
    let blob = image.layers[0].blob.clone();
    let wanted = descriptor("", &blob)["digest"].as_str().unwrap().to_owned();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    fake.handle(move |asked| {
        if !asked.path.ends_with(&wanted) {
            return None;
        }
        let answer = Answer::ranged(asked, &blob);
        let cut = (counted.fetch_add(1, Ordering::SeqCst) < 3).then_some(answer.body.len() / 3);
        Some(Answer { cut, ..answer })
    });
    let folder = folder();
    let store = store(folder.path());
    let (progress, told) = events();
    try_pull_with(&store, &client(), &fake.name("app"), &PullOptions::default(), progress).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let ranges = fake.asked().iter().filter(|asked| asked.headers.contains_key("range")).count();
    assert_eq!(ranges, 3, "each further request asks for the rest alone");
    let retried = |event: &&Event| matches!(event, Event::Retried { .. });
    assert_eq!(told.lock().unwrap().iter().filter(retried).count(), 3);
}

#[test]
fn a_killed_pull_leaves_nothing_visible_and_the_next_one_resumes() {
    let image = small();
    let fake = Fake::with(&image);
    let blob = image.layers[1].blob.clone();
    let wanted = descriptor("", &blob)["digest"].as_str().unwrap().to_owned();
    let half = blob.len() / 2;
    fake.handle(move |asked| {
        // The rest never comes: the registry says no to whoever asks for it.
        let first = !asked.headers.contains_key("range");
        let rest = if first {
            Answer { cut: Some(half), ..Answer::ranged(asked, &blob) }
        } else {
            Answer::status(410)
        };
        asked.path.ends_with(&wanted).then_some(rest)
    });
    let folder = folder();
    let store = store(folder.path());
    let error = whole(&try_pull(&store, &fake.name("app")).unwrap_err());
    assert!(error.contains("answers 410"), "{error}");
    let left = contents(&store);
    assert!(left.iter().any(|path| path.starts_with("partial/")), "{left:?}");
    assert!(
        left.iter().all(|path| path.starts_with("partial/") || path.starts_with("blobs/")),
        "{left:?}"
    );
    fake.handle(|_| None);
    let before = fake.asked().len();
    try_pull(&store, &fake.name("app")).unwrap();
    let rest = fake.asked().split_off(before);
    let range = rest.iter().find_map(|asked| asked.headers.get("range")).unwrap();
    assert_eq!(*range, format!("bytes={half}-"));
}

#[test]
fn an_index_gives_this_machines_image_and_another_if_it_is_asked_for() {
    let fake = Fake::start();
    let layer = |name: &str| Layer::plain(Archive::default().file(name, b"x").end());
    let own = MadeImage::new(vec![layer("own")]);
    let other = MadeImage::for_platform(vec![layer("other")], "linux", "s390x");
    let entry = |image: &MadeImage, architecture: &str| {
        let mut entry = descriptor(MANIFEST, &image.manifest);
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        entry
    };
    fake.add("app", "own", &own);
    fake.add("app", "other", &other);
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(&other, "s390x"), entry(&own, architecture()),
    ]});
    fake.put_manifest("app", "latest", INDEX, index.to_string().as_bytes());
    let folder = folder();
    let store = store(folder.path());
    let image = try_pull(&store, &fake.name("app")).unwrap();
    assert!(image.layers[0].join("own").exists());
    let options =
        PullOptions { platform: Some("linux/s390x".parse().unwrap()), ..PullOptions::default() };
    let image = try_pull_with(&store, &client(), &fake.name("app"), &options, silent()).unwrap();
    assert!(image.layers[0].join("other").exists());
    let options =
        PullOptions { platform: Some("linux/riscv64".parse().unwrap()), ..PullOptions::default() };
    let error =
        try_pull_with(&store, &client(), &fake.name("app"), &options, silent()).unwrap_err();
    assert!(
        whole(&error).contains("no image for linux/riscv64; there are: linux/s390x"),
        "{error}"
    );
}

#[test]
fn a_token_is_fetched_once_and_sent_to_nobody_else() {
    let image = small();
    let storage = Fake::start();
    for layer in &image.layers {
        storage.put_blob("app", &layer.blob);
    }
    let fake = Fake::with(&image);
    let (own, elsewhere) = (fake.address, storage.address);
    fake.handle(move |asked| {
        if asked.path.starts_with("/token") {
            return Some(Answer::ok(
                "application/json",
                br#"{"token": "secret", "expires_in": 300}"#,
            ));
        }
        if asked.headers.get("authorization").map(String::as_str) != Some("Bearer secret") {
            let challenge = format!(
                "Bearer realm=\"http://{own}/token\",service=\"reg\",scope=\"repository:app:pull\""
            );
            let headers = vec![("WWW-Authenticate", challenge)];
            return Some(Answer { headers, ..Answer::status(401) });
        }
        asked.path.contains("/blobs/").then(|| Answer {
            headers: vec![("Location", format!("http://{elsewhere}{}", asked.path))],
            ..Answer::status(307)
        })
    });
    storage.put_blob("app", &image.config);
    let folder = folder();
    let store = store(folder.path());
    try_pull(&store, &fake.name("app")).unwrap();
    let tokens: Vec<_> =
        fake.asked().into_iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?service=reg&scope=repository%3Aapp%3Apull");
    assert!(storage.asked().len() >= 3);
    assert!(storage.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[test]
fn a_mirror_is_asked_first_and_the_origin_when_it_has_not_all() {
    let image = small();
    let (mirror, origin) = (Fake::with(&image), Fake::with(&image));
    let missing = descriptor("", &image.layers[1].blob)["digest"].as_str().unwrap().to_owned();
    mirror.handle(move |asked| asked.path.ends_with(&missing).then(|| Answer::status(404)));
    let settings = RegistrySettings {
        name: origin.address.to_string(),
        mirrors: vec![Mirror {
            location: mirror.address.to_string(),
            transport: Some(Transport::Plain),
            ca: None,
        }],
        ..RegistrySettings::default()
    };
    let client = RegistryClient::new(
        Registries { registries: vec![settings] },
        argosy_image::AuthFiles::default(),
    );
    let folder = folder();
    let store = store(folder.path());
    try_pull_with(&store, &client, &origin.name("app"), &PullOptions::default(), silent()).unwrap();
    assert_eq!(origin.asked().len(), 1, "one layer alone comes from the origin");
    assert_eq!(mirror.asked().len(), 4);
}

#[test]
fn two_pulls_at_once_bring_each_blob_once() {
    let image = small();
    let fake = Fake::with(&image);
    let folder = folder();
    let (one, other) = (store(folder.path()), store(folder.path()));
    let name = fake.name("app");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| try_pull(&one, &name).unwrap());
        let second = scope.spawn(|| try_pull(&other, &name).unwrap());
        assert_eq!(first.join().unwrap().layers, second.join().unwrap().layers);
    });
    for layer in &image.layers {
        let digest = descriptor("", &layer.blob)["digest"].as_str().unwrap().to_owned();
        let asked = fake.asked().iter().filter(|asked| asked.path.ends_with(&digest)).count();
        assert_eq!(asked, 1, "{digest}");
    }
    let left = contents(&one);
    assert!(
        !left.iter().any(|path| path.starts_with("partial") || path.starts_with("sessions")),
        "{left:?}"
    );
}
