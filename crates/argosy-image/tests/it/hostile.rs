//! Hostile input: one clear error, nothing outside of the store touched, nothing visible left.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use argosy_image::{Limits, PullOptions, Store, silent};

use crate::archive::{
    Archive, FOLDER, INDEX, Layer, MANIFEST, MadeImage, Meta, PLAIN, architecture, descriptor, gzip,
};
use crate::fake::{Answer, Fake};
use crate::tools::{
    client, contents, folder, limits, run, store, text, try_pull, try_pull_with, whole,
};

/// Pulls an image that must be refused, and looks at what is left.
fn refused(image: &MadeImage) -> String {
    refused_with(image, limits())
}

fn refused_with(image: &MadeImage, limits: Limits) -> String {
    let fake = Fake::with(image);
    let folder = folder();
    let store = Store::open(folder.path().join("images"), limits).unwrap();
    let error = whole(&try_pull(&store, &fake.name("app")).unwrap_err());
    assert_nothing_visible(&store);
    error
}

/// No image, no name, no layer, no work in progress. Blobs that are what their digests say may
/// wait for the next collection.
fn assert_nothing_visible(store: &Store) {
    assert!(store.usage().unwrap().images.is_empty());
    let left = contents(store);
    let hidden = |path: &String| path.starts_with("blobs/") || path.starts_with("partial/");
    assert!(left.iter().all(hidden), "{left:?}");
    store.collect(&Default::default(), argosy_image::Collect::Unused).unwrap();
    assert_eq!(contents(store), Vec::<String>::new());
}

fn one(archive: Archive) -> MadeImage {
    MadeImage::new(vec![Layer::gzip(archive.end())])
}

/// A place beside the store with a file that must stay as it is.
fn outside(folder: &Path) -> std::path::PathBuf {
    let outside = folder.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "untouched").unwrap();
    outside
}

/// Pulls an image that tries to get out; whether it succeeds or not, it must stay inside.
fn contained(archive: impl Fn(&str) -> Archive) -> Result<Kept, String> {
    let folder = folder();
    let outside = outside(folder.path());
    let fake = Fake::with(&one(archive(text(&outside))));
    let store = store(folder.path());
    let before = std::fs::metadata(outside.join("file")).unwrap();
    let result = try_pull(&store, &fake.name("app")).map_err(|error| whole(&error));
    let after = std::fs::metadata(outside.join("file")).unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        (before.mode(), before.uid(), before.nlink(), before.ctime_nsec()),
        (after.mode(), after.uid(), after.nlink(), after.ctime_nsec())
    );
    result.map(|image| Kept { image, _folder: folder })
}

/// An image, and the folder that it is in.
#[derive(Debug)]
struct Kept {
    image: argosy_image::Image,
    _folder: tempfile::TempDir,
}

#[test]
fn a_link_out_of_the_layer_leads_nowhere() {
    let through = |archive: Archive, name: &str| {
        archive.file(&format!("{name}/file"), b"changed").file(&format!("{name}/new"), b"new")
    };
    for (number, result) in [
        contained(|outside| through(Archive::default().symlink("out", outside), "out")),
        contained(|_| through(Archive::default().symlink("out", "../../../outside"), "out")),
        contained(|_| {
            let deep =
                Archive::default().folder("a/b/c").symlink("a/b/c/up", "../../../../../../outside");
            through(deep, "a/b/c/up")
        }),
        contained(|outside| {
            let chain = Archive::default().symlink("one", "two").symlink("two", outside);
            through(chain, "one")
        }),
        contained(|outside| {
            // A directory that becomes a link between two entries.
            let archive = Archive::default().folder("out").file("out/file", b"x");
            through(archive.symlink("out", outside), "out")
        }),
        contained(|outside| {
            Archive::default().symlink("file", &format!("{outside}/file")).file("file", b"changed")
        }),
        contained(|outside| {
            Archive::default().symlink("out", outside).entry(
                b'5',
                "out",
                "",
                &[],
                Meta { mode: 0o777, ..FOLDER },
            )
        }),
        contained(|outside| Archive::default().symlink("out", outside).file("out/.wh.file", b"")),
        contained(|outside| {
            Archive::default().symlink("out", outside).file("out/.wh..wh..opq", b"")
        }),
    ]
    .into_iter()
    .enumerate()
    {
        // Some are harmless once they stay inside; what is refused says so.
        if let Err(error) = result {
            assert!(
                error.contains("not a directory") || error.contains("cannot"),
                "{number}: {error}"
            );
        }
    }
}

#[test]
fn magic_links_of_proc_do_not_lead_out() {
    let result = contained(|outside| {
        let _unused = outside;
        Archive::default().symlink("out", "/proc/self/root/tmp").file("out/argosy-escaped", b"x")
    });
    assert!(!Path::new("/tmp/argosy-escaped").exists());
    drop(result);
}

#[test]
fn a_hard_link_finds_only_what_is_in_the_layer() {
    let error =
        contained(|outside| Archive::default().hard_link("mine", &format!("{outside}/file")))
            .unwrap_err();
    assert!(error.contains("which the layer does not have"), "{error}");
    let error =
        contained(|_| Archive::default().hard_link("mine", "../../../outside/file")).unwrap_err();
    assert!(error.contains("climbs out"), "{error}");
    let error = contained(|outside| {
        Archive::default().symlink("out", outside).hard_link("mine", "out/file")
    })
    .unwrap_err();
    assert!(error.contains("which the layer does not have"), "{error}");
    // A second name for a link is the link's own name, not its target's.
    let kept = contained(|outside| {
        Archive::default()
            .symlink("link", &format!("{outside}/file"))
            .hard_link("mine", "link")
            .file("mine", b"x")
    })
    .unwrap();
    assert!(kept.image.layers[0].join("link").is_symlink());
    let error = contained(|_| Archive::default().folder("a").hard_link("b", "a")).unwrap_err();
    assert!(error.contains("cannot have a second name"), "{error}");
}

#[test]
fn paths_that_climb_are_refused_and_absolute_ones_stay_inside() {
    for path in ["../escaped", "a/../../escaped", "..", "/../escaped"] {
        let error = contained(|_| Archive::default().file(path, b"x")).unwrap_err();
        assert!(error.contains("climbs out of the archive"), "{path}: {error}");
    }
    let kept = contained(|outside| Archive::default().file(&format!("{outside}/file"), b"changed"))
        .unwrap();
    assert!(std::fs::read_dir(&kept.image.layers[0]).unwrap().count() == 1);
    let error = contained(|_| Archive::default().entry(b'2', ".", "/etc", &[], PLAIN)).unwrap_err();
    assert!(error.contains("root is something else"), "{error}");
}

#[test]
fn an_archive_cannot_speak_to_overlayfs() {
    let archive = Archive::default()
        .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
        .pax("SCHILY.xattr.trusted.overlay.opaque", b"y")
        .pax("SCHILY.xattr.user.overlay.opaque", b"y")
        .pax("SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0")
        .pax("SCHILY.xattr.user.note", b"kept")
        .folder("dir")
        .end();
    let fake = Fake::with(&MadeImage::new(vec![Layer::gzip(archive)]));
    let folder = folder();
    let image = try_pull(&store(folder.path()), &fake.name("app")).unwrap();
    let mut names = [0; 1000];
    let length = rustix::fs::llistxattr(image.layers[0].join("dir"), &mut names[..]).unwrap();
    assert_eq!(std::str::from_utf8(&names[..length]).unwrap(), "user.note\0");
}

#[test]
fn bombs_are_stopped_before_they_fill_the_disk() {
    let zeros = vec![0; 4 << 20];
    let small = Limits { unpacked_bytes_max: 1 << 20, ..limits() };
    for layer in [Layer::gzip, Layer::zstd] {
        let image = MadeImage::new(vec![layer(Archive::default().file("zeros", &zeros).end())]);
        let error = refused_with(&image, small);
        assert!(error.contains("unpacks to more than 1048576 bytes"), "{error}");
    }
    // A header that promises terabytes costs nothing but what really comes.
    let mut archive = Archive::default();
    archive.header(b'0', "huge", "", 7 << 30, PLAIN);
    archive.data(&[1; 1024]);
    let error = refused(&one(archive));
    assert!(error.contains("ends in the middle of an entry"), "{error}");
    let many = (0..100)
        .fold(Archive::default(), |archive, number| archive.file(&format!("f{number}"), b""));
    let error = refused_with(&one(many), Limits { entries_max: 50, ..limits() });
    assert!(error.contains("more than 50 entries"), "{error}");
}

#[test]
fn what_is_compressed_beyond_belief_is_a_bomb() {
    let archive = Archive::default().file("zeros", &vec![0; 8 << 20]).end();
    let image = || MadeImage::new(vec![Layer::zstd(archive.clone())]);
    let error = refused_with(&image(), Limits { ratio_free_bytes: 1 << 20, ..limits() });
    assert!(error.contains("more than 200 times its compressed size"), "{error}");
    // The same is fine as long as it is small.
    let fake = Fake::with(&image());
    let folder = folder();
    try_pull(&store(folder.path()), &fake.name("app")).unwrap();
}

#[test]
fn long_paths_headers_and_attributes_have_limits() {
    let error = refused(&one(Archive::default().file(&"a".repeat(300), b"")));
    assert!(error.contains("name of more than 255 bytes"), "{error}");
    let error = refused(&one(Archive::default().file(&"a/".repeat(3000), b"")));
    assert!(error.contains("at most 4096 are allowed"), "{error}");
    let mut archive = Archive::default();
    archive.header(b'x', "pax", "", 2 << 20, PLAIN);
    let error = refused(&one(archive));
    assert!(error.contains("extended header of the archive has 2097152 bytes"), "{error}");
    let big = Archive::default().pax("SCHILY.xattr.user.big", &[b'x'; 70_000]).file("f", b"");
    let error = refused(&one(big));
    assert!(error.contains("extended attributes over the limits"), "{error}");
}

#[test]
fn directories_without_number_are_refused() {
    let few = Limits { directory_bytes_max: 1 << 20, ..limits() };
    // Two entries are thousands of directories, and millions of bytes of their paths.
    let deep = |number: u32| format!("{number}/{}f", "d/".repeat(2000));
    let archive = Archive::default().file(&deep(1), b"").file(&deep(2), b"");
    let error = refused_with(&one(archive), few);
    assert!(error.contains("so many directories"), "{error}");
    // What several layers have counts together.
    let layer = |number| Layer::gzip(Archive::default().file(&deep(number), b"").end());
    let error = refused_with(&MadeImage::new(vec![layer(1), layer(2)]), few);
    assert!(error.contains("so many directories"), "{error}");
    let fake = Fake::with(&MadeImage::new(vec![layer(1)]));
    let folder = folder();
    let store = Store::open(folder.path().join("images"), few).unwrap();
    for _ in 0..2 {
        try_pull(&store, &fake.name("app")).unwrap();
        store.remove(&fake.name("app"), &Default::default()).unwrap();
    }
}

#[test]
fn a_directory_that_becomes_a_link_and_one_again_looks_as_its_last_entry_says() {
    let meta = Meta { mode: 0o700, ..FOLDER };
    let archive = Archive::default()
        .folder("real")
        .symlink("a", "real")
        .file("a/below/file", b"x")
        .entry(b'5', "a", "", &[], meta)
        .file("a/other/file", b"x")
        .end();
    let base = Archive::default().folder("a").folder("a/below").folder("a/other").end();
    let fake = Fake::with(&MadeImage::new(vec![Layer::gzip(base), Layer::gzip(archive)]));
    let folder = folder();
    let image = try_pull(&store(folder.path()), &fake.name("app")).unwrap();
    let mode = |path: &str| std::fs::metadata(image.layers[1].join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/other")), (0o700, 0o755));
}

#[test]
fn a_tree_deeper_than_open_files_is_unpacked_and_removed() {
    // Each piece is within the limit of one path; links make it deeper.
    let piece = "d/".repeat(500);
    let archive = (0..6).fold(Archive::default(), |archive, number| {
        let above = if number == 0 { String::new() } else { format!("l{}/", number - 1) };
        archive
            .file(&format!("{above}{piece}end"), b"x")
            .symlink(&format!("l{number}"), &format!("{above}{piece}"))
    });
    let fake = Fake::with(&one(archive));
    let folder = folder();
    let store = store(folder.path());
    let name = fake.name("app");
    try_pull(&store, &name).unwrap();
    store.remove(&name, &Default::default()).unwrap();
    assert_eq!(contents(&store), Vec::<String>::new());
}

#[test]
fn damaged_archives_are_refused() {
    let good = Archive::default().file("a", &[1; 2000]).end();
    let mut checksum = good.clone();
    checksum[0] = b'b';
    let error = refused(&MadeImage::new(vec![Layer::plain(checksum)]));
    assert!(error.contains("checksum is wrong"), "{error}");
    let error = refused(&MadeImage::new(vec![Layer::plain(good[..1500].to_vec())]));
    assert!(error.contains("ends in the middle"), "{error}");
    let mut layer = Layer::gzip(good.clone());
    layer.blob.truncate(layer.blob.len() / 2);
    let error = refused(&MadeImage::new(vec![layer]));
    assert!(error.contains("layer cannot be unpacked"), "{error}");
    let error = refused(&one(Archive::default().entry(b'Z', "odd", "", &[], PLAIN)));
    assert!(error.contains("unknown kind 'Z'"), "{error}");
    let sparse = Archive::default().pax("GNU.sparse.major", b"1").file("s", b"x");
    assert!(refused(&one(sparse)).contains("sparse file"));
}

#[test]
fn wrong_contents_are_told_by_their_digests() {
    let image = one(Archive::default().file("a", b"a"));
    let other = gzip(&Archive::default().file("b", b"b").end());
    // The layer's blob is another one.
    let fake = Fake::with(&image);
    let wanted = descriptor("", &image.layers[0].blob)["digest"].as_str().unwrap().to_owned();
    let path = wanted.clone();
    let mut sent = other.clone();
    sent.resize(image.layers[0].blob.len(), 0);
    let body = sent.clone();
    fake.handle(move |asked| asked.path.ends_with(&path).then(|| Answer::ranged(asked, &body)));
    let folder = folder();
    let own = store(folder.path());
    let error = whole(&try_pull(&own, &fake.name("app")).unwrap_err());
    assert!(error.contains(&wanted) && error.contains("not what was asked for"), "{error}");
    assert_nothing_visible(&own);
    // It unpacks to something else than the configuration says.
    let mut lying = image.layers.clone();
    lying[0].diff_id = argosy_image::Digest::sha256(b"other");
    let error = refused(&MadeImage::new(lying));
    assert!(error.contains("but the image's configuration says"), "{error}");
    // One blob is said to be two layers. The second would be known by the other's digest.
    let mut lying = vec![image.layers[0].clone(), image.layers[0].clone()];
    lying[1].diff_id = argosy_image::Digest::sha256(b"other");
    let error = refused(&MadeImage::new(lying));
    assert!(error.contains(&wanted) && error.contains("unpacks to"), "{error}");
    // More comes than the manifest says.
    let mut long = image.layers[0].blob.clone();
    long.extend([0; 100]);
    let path = wanted.clone();
    fake.handle(move |asked| asked.path.ends_with(&path).then(|| Answer::ranged(asked, &long)));
    let error = whole(&try_pull(&own, &fake.name("app")).unwrap_err());
    assert!(error.contains("longer than the"), "{error}");
    assert_nothing_visible(&own);
    // The manifest is not the one whose digest was asked for.
    let digest = argosy_image::Digest::sha256(&other);
    fake.put(&format!("/v2/app/manifests/{digest}"), MANIFEST, &image.manifest);
    let error = whole(&try_pull(&own, &fake.name(&format!("app@{digest}"))).unwrap_err());
    assert!(error.contains("sends something else than"), "{error}");
    assert_nothing_visible(&own);
}

#[test]
fn a_blob_that_is_shorter_than_promised_is_refused() {
    let image = one(Archive::default().file("a", &[9; 5000]));
    let fake = Fake::with(&image);
    let blob = image.layers[0].blob.clone();
    let wanted = descriptor("", &blob)["digest"].as_str().unwrap().to_owned();
    let short = blob[..blob.len() - 5].to_vec();
    fake.handle(move |asked| asked.path.ends_with(&wanted).then(|| Answer::ranged(asked, &short)));
    let folder = folder();
    let store = store(folder.path());
    let error = whole(&try_pull(&store, &fake.name("app")).unwrap_err());
    assert!(error.contains("ended before the blob did"), "{error}");
    assert_nothing_visible(&store);
}

#[test]
fn giant_manifests_configurations_and_layer_counts_are_refused() {
    let image = one(Archive::default().file("a", b"a"));
    let fake = Fake::with(&image);
    let mut giant = image.manifest.clone();
    giant.resize(5 << 20, b' ');
    fake.put_manifest("app", "giant", MANIFEST, &giant);
    let folder = folder();
    let own = store(folder.path());
    let error = whole(&try_pull(&own, &fake.name("app:giant")).unwrap_err());
    assert!(error.contains("sends a manifest of more than 4194304 bytes"), "{error}");
    assert_nothing_visible(&own);
    let mut config = image.config.clone();
    config.resize(9 << 20, b' ');
    let error = refused(&MadeImage::with_config(image.layers.clone(), config));
    assert!(error.contains("configuration has 9437184 bytes"), "{error}");
    let error = refused(&MadeImage::new(vec![image.layers[0].clone(); 501]));
    assert!(error.contains("501 layers, at most 500"), "{error}");
    let nested = "[".repeat(100_000);
    fake.put_manifest("app", "nested", MANIFEST, nested.as_bytes());
    let error = whole(&try_pull(&own, &fake.name("app:nested")).unwrap_err());
    assert!(error.contains("not valid JSON"), "{error}");
}

#[test]
fn another_machines_image_is_refused_unless_it_is_asked_for() {
    let layer = Layer::gzip(Archive::default().file("a", b"a").end());
    let image = MadeImage::for_platform(vec![layer], "linux", "s390x");
    let error = refused(&image);
    assert!(error.contains("the image is for linux/s390x, not for linux/"), "{error}");
    let fake = Fake::with(&image);
    let folder = folder();
    let options =
        PullOptions { platform: Some("linux/s390x".parse().unwrap()), ..PullOptions::default() };
    let store = store(folder.path());
    try_pull_with(&store, &client(), &fake.name("app"), &options, silent()).unwrap();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": []});
    fake.put_manifest("app", "none", INDEX, index.to_string().as_bytes());
    let error = whole(&try_pull(&store, &fake.name("app:none")).unwrap_err());
    assert!(error.contains(&format!("no image for linux/{}", architecture())), "{error}");
}

#[test]
fn device_nodes_are_left_out_where_they_are_not_allowed() {
    let archive = Archive::default()
        .entry(b'3', "null", "", &[], PLAIN)
        .entry(b'4', "disk", "", &[], PLAIN)
        .file("a", b"");
    let fake = Fake::with(&one(archive));
    let folder = folder();
    let mut privileges = argosy_image::Privileges::ROOT;
    privileges.devices = false;
    let data = folder.path().join("data");
    let store = Store::open_with(data.join("images"), limits(), privileges).unwrap();
    let mode = std::fs::metadata(data).unwrap().mode();
    assert_ne!(mode & 0o001, 0, "what is above it is everybody's to pass: {mode:o}");
    let image = try_pull(&store, &fake.name("app")).unwrap();
    let names: Vec<_> = std::fs::read_dir(&image.layers[0])
        .unwrap()
        .map(|item| item.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a"]);
    assert_eq!(
        std::fs::metadata(store.root()).unwrap().mode() & 0o777,
        0o700,
        "nobody else gets at devices"
    );
}

/// A small filesystem of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(kilobytes: usize) -> Self {
        let folder = folder();
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs", text(folder.path())],
        );
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[text(self.0.path())]);
    }
}

#[test]
fn a_full_disk_stops_a_pull_at_every_step_and_the_next_one_succeeds() {
    let mut random = vec![0; 300_000];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty()).unwrap();
    let archive = |name: &str| Archive::default().file(name, &random).end();
    let image = MadeImage::new(vec![Layer::gzip(archive("a")), Layer::plain(archive("b"))]);
    let fake = Fake::with(&image);
    let mut outcomes = [0, 0];
    for kilobytes in (40..1600).step_by(60) {
        let disk = SmallDisk::new(kilobytes);
        let store = match Store::open(disk.0.path().join("images"), limits()) {
            Ok(store) => store,
            Err(error) => {
                assert!(whole(&error).contains("No space left"), "{}", whole(&error));
                continue;
            }
        };
        match try_pull(&store, &fake.name("app")) {
            Err(error) => {
                let error = whole(&error);
                assert!(error.contains("No space left"), "{kilobytes}: {error}");
                outcomes[0] += 1;
                assert_nothing_visible(&store);
                run("mount", &["-o", "remount,size=8m", text(disk.0.path())]);
            }
            Ok(_) => outcomes[1] += 1,
        }
        let image = try_pull(&store, &fake.name("app")).unwrap();
        assert!(image.layers.iter().all(|layer| layer.is_dir()));
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 1, "{outcomes:?}");
}

#[test]
fn a_nearly_full_disk_refuses_pulls_and_stops_unpacking() {
    let image = MadeImage::new(vec![Layer::gzip(
        Archive::default().file("zeros", &vec![0; 80 << 20]).end(),
    )]);
    let fake = Fake::with(&image);
    let disk = SmallDisk::new(100 << 10);
    let strict = Limits { stop_percent: 50, ..Limits::default() };
    let store = Store::open(disk.0.path().join("images"), strict).unwrap();
    let error = whole(&try_pull(&store, &fake.name("app")).unwrap_err());
    assert!(error.contains("unpacking stops at 50 %"), "{error}");
    assert_nothing_visible(&store);
    std::fs::write(disk.0.path().join("other"), vec![1; 93 << 20]).unwrap();
    let error = whole(&try_pull(&store, &fake.name("app")).unwrap_err());
    assert!(error.contains("pulls are refused from 90 % on"), "{error}");
    let pressure = store.disk().unwrap().pressure(&Limits::default());
    assert_eq!(pressure, argosy_image::Pressure::Refuse);
}
