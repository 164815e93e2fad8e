//! Archives, layouts, imports and pushes, with the tools that others use on the other side.

use std::io::{Cursor, Write};
use std::path::Path;

use argosy_image::{
    Collect, Error, Image, ImportOptions, LoadFrom, LoadOptions, Loaded, SaveTo, Store, import,
    load, push, save, silent,
};

use crate::archive::{Archive, Layer, MadeImage, gzip};
use crate::fake::Fake;
use crate::registry::{Built, Registry};
use crate::tools::{client, contents, folder, run, runtime, store, text, try_pull, whole};
use crate::tree::{Mounted, assert_same};

fn loaded(store: &Store, path: &Path) -> Result<Vec<Loaded>, Error> {
    load(store, LoadFrom::Path(path.to_owned()), &LoadOptions::default(), &silent())
}

fn imported(store: &Store, name: &str) -> Image {
    let archive = Archive::default().folder("etc").file("etc/name", name.as_bytes()).end();
    let options = ImportOptions {
        name: Some(name.parse().unwrap()),
        cmd: vec!["/bin/app".into()],
        env: vec!["A=b".into()],
        ..ImportOptions::default()
    };
    import(store, Cursor::new(gzip(&archive)), &options).unwrap()
}

#[test]
fn what_skopeo_writes_in_each_form_is_loaded_and_is_the_same() {
    let built = Built::new(&["mkdir etc; echo a > etc/a", "echo b > etc/b; rm etc/a"]);
    let oci = format!("oci:{}", built.image());
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    for (to, format) in [
        (format!("docker-archive:{}:local/app:1", file("docker.tar").display()), "v2s2"),
        (format!("oci-archive:{}:local/app:2", file("oci.tar").display()), "oci"),
        (format!("oci:{}:local/app:3", file("layout").display()), "oci"),
    ] {
        run("skopeo", &["copy", "-q", "--insecure-policy", "--format", format, &oci, &to]);
    }
    std::fs::write(file("oci.tar.gz"), gzip(&std::fs::read(file("oci.tar")).unwrap())).unwrap();
    let store = store(folder.path());
    let theirs = built.unpacked();
    for (name, tag) in [("docker.tar", "1"), ("oci.tar", "2"), ("layout", "3"), ("oci.tar.gz", "2")]
    {
        let images =
            loaded(&store, &file(name)).unwrap_or_else(|error| panic!("{}", whole(&error)));
        assert_eq!(images.len(), 1, "{name}");
        assert_eq!(images[0].names[0].familiar(), format!("local/app:{tag}"), "{name}");
        assert_same(&Mounted::new(&images[0].image).path(), &theirs);
    }
    let usage = store.usage().unwrap();
    assert_eq!(usage.layer_bytes * 2, usage.images.iter().map(|image| image.bytes).sum::<u64>());
}

#[test]
fn what_is_saved_is_read_by_us_and_by_skopeo_in_both_forms() {
    let folder = folder();
    let first = store(folder.path());
    let image = imported(&first, "local/app:1");
    imported(&first, "local/other:1");
    let archive = folder.path().join("saved.tar");
    let mut out = std::fs::File::create(&archive).unwrap();
    let names = ["local/app:1".to_owned(), "local/other:1".to_owned()];
    save(&first, &names, SaveTo::Stream(&mut out)).unwrap();
    let layout = folder.path().join("saved");
    save(&first, &names[..1], SaveTo::Folder(&layout)).unwrap();
    let archive = text(&archive);
    for from in [
        format!("docker-archive:{archive}:local/app:1"),
        format!("oci-archive:{archive}:docker.io/local/app:1"),
        format!("oci:{}", layout.display()),
    ] {
        let to = format!("dir:{}", folder.path().join("copied").display());
        run("skopeo", &["copy", "-q", "--insecure-policy", &from, &to]);
    }
    let other = Store::open(folder.path().join("second"), crate::tools::limits()).unwrap();
    let images = loaded(&other, Path::new(archive)).unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0].image.manifest, image.manifest);
    assert_eq!(
        std::fs::read_to_string(images[0].image.layers[0].join("etc/name")).unwrap(),
        "local/app:1"
    );
    // The same as a stream, of which there is only one pass.
    let stream = std::fs::File::open(archive).unwrap();
    let third = Store::open(folder.path().join("third"), crate::tools::limits()).unwrap();
    let from = LoadFrom::Stream(Box::new(stream));
    assert_eq!(load(&third, from, &LoadOptions::default(), &silent()).unwrap().len(), 2);
    let left = contents(&third);
    assert!(
        !left.iter().any(|path| path.starts_with("partial") || path.starts_with("sessions")),
        "{left:?}"
    );
}

/// Takes what it is given, and has a store collect and remove all it can in between.
struct Collecting<'a> {
    written: Vec<u8>,
    store: &'a Store,
}

impl Write for Collecting<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let collected = self.store.collect(&Default::default(), Collect::Unused);
        collected.map_err(std::io::Error::other)?;
        match self.store.remove("local/app:1", &Default::default()) {
            Err(error) if whole(&error).contains("in use") => self.written.write(bytes),
            // The archive writes when it is dropped, too: a panic would end all tests.
            other => Err(std::io::Error::other(format!("not refused: {other:?}"))),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_saved_stays_until_it_is_written() {
    let folder = folder();
    let store = store(folder.path());
    let image = imported(&store, "local/app:1");
    let mut out = Collecting { written: Vec::new(), store: &store };
    save(&store, &["local/app:1".to_owned()], SaveTo::Stream(&mut out)).unwrap();
    let path = folder.path().join("saved.tar");
    std::fs::write(&path, out.written).unwrap();
    store.remove("local/app:1", &Default::default()).unwrap();
    assert_eq!(loaded(&store, &path).unwrap()[0].image.manifest, image.manifest);
}

#[test]
fn an_imported_archive_says_what_it_was_told_to() {
    let folder = folder();
    let image = imported(&store(folder.path()), "app");
    let config = image.config.config().clone().unwrap();
    assert_eq!(config.cmd(), &Some(vec!["/bin/app".to_owned()]));
    assert_eq!(config.env(), &Some(vec!["A=b".to_owned()]));
    assert_eq!(std::fs::read_to_string(image.layers[0].join("etc/name")).unwrap(), "app");
}

#[test]
fn a_pushed_image_comes_back_as_it_was() {
    let registry = Registry::start();
    let folder = folder();
    let first = store(folder.path());
    let image = imported(&first, "local/app:1");
    let to = registry.name("team/app:1").parse().unwrap();
    let pushed = || runtime().block_on(push(&first, &client(), "local/app:1", &to, &silent()));
    assert_eq!(pushed().unwrap(), image.manifest);
    assert_eq!(pushed().unwrap(), image.manifest, "what is there already is fine");
    let other = Store::open(folder.path().join("second"), crate::tools::limits()).unwrap();
    let pulled = try_pull(&other, &registry.name("team/app:1")).unwrap();
    assert_eq!((pulled.manifest, pulled.id), (image.manifest, image.id));
    let inspect = format!("docker://{}", registry.name("team/app:1"));
    run("skopeo", &["inspect", "--tls-verify=false", &inspect]);
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let folder = folder();
    let store = store(folder.path());
    let image = MadeImage::new(vec![Layer::plain(Archive::default().file("a", b"a").end())]);
    let entries = |layers: &str, config: &str| {
        format!(r#"[{{"Config": "{config}", "RepoTags": ["app:1"], "Layers": ["{layers}"]}}]"#)
    };
    let archive = |manifest: &str| {
        Archive::default()
            .file("config.json", &image.config)
            .file("layer.tar", &image.layers[0].blob)
            .symlink("link.tar", "../../../../etc/passwd")
            .symlink("circle", "circle")
            .file("manifest.json", manifest.as_bytes())
            .end()
    };
    let cases = [
        (archive(&entries("/etc/passwd", "config.json")), "\"/etc/passwd\" is missing"),
        (archive(&entries("link.tar", "config.json")), "\"link.tar\" is missing"),
        (archive(&entries("circle", "config.json")), "\"circle\" is missing"),
        (archive(&entries("config.json", "config.json")), "but the image's configuration says"),
        (archive(&entries("layer.tar", "layer.tar")), "configuration of the image cannot be read"),
        (archive("{"), "not valid JSON"),
        (Archive::default().file("x", b"x").end(), "neither an OCI layout nor an archive"),
        (b"nonsense".to_vec(), "ends in the middle"),
        (Vec::new(), "neither an OCI layout nor an archive"),
    ];
    let path = folder.path().join("archive.tar");
    for (bytes, part) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = whole(&loaded(&store, &path).unwrap_err());
        assert!(
            error.contains(part)
                || part.contains("but the image") && error.contains("cannot be unpacked"),
            "{part}: {error}"
        );
        store.collect(&Default::default(), Collect::Unused).unwrap();
        assert_eq!(contents(&store), Vec::<String>::new());
    }
    let good = archive(&entries("layer.tar", "config.json"));
    std::fs::write(&path, good).unwrap();
    assert_eq!(loaded(&store, &path).unwrap()[0].names[0].familiar(), "app:1");
}

#[test]
fn a_layout_cannot_point_out_of_its_folder() {
    let folder = folder();
    let fake =
        Fake::with(&MadeImage::new(vec![Layer::gzip(Archive::default().file("a", b"a").end())]));
    let first = store(folder.path());
    let image = try_pull(&first, &fake.name("app")).unwrap();
    let layout = folder.path().join("layout");
    save(&first, &[fake.name("app")], SaveTo::Folder(&layout)).unwrap();
    let config = layout.join("blobs/sha256").join(image.id.hex());
    let outside = folder.path().join("outside");
    std::fs::rename(&config, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &config).unwrap();
    let other = Store::open(folder.path().join("second"), crate::tools::limits()).unwrap();
    let error = whole(&loaded(&other, &layout).unwrap_err());
    assert!(error.contains("cannot open"), "{error}");
}

#[test]
fn a_folder_of_docker_cannot_name_what_is_outside_of_it() {
    let folder = folder();
    let store = store(folder.path());
    let image = MadeImage::new(vec![Layer::plain(Archive::default().file("a", b"a").end())]);
    let saved = folder.path().join("saved");
    std::fs::create_dir(&saved).unwrap();
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).unwrap();
    write(&folder.path().join("config.json"), &image.config);
    write(&folder.path().join("layer.tar"), &image.layers[0].blob);
    write(&saved.join("layer.tar"), &image.layers[0].blob);
    run("mkfifo", &[text(&saved.join("pipe"))]);
    let load_with = |config: &str, layer: &str| {
        let manifest = format!(r#"[{{"Config": "{config}", "Layers": ["{layer}"]}}]"#);
        write(&saved.join("manifest.json"), manifest.as_bytes());
        loaded(&store, &saved).map_err(|error| whole(&error))
    };
    // Both are there and are what they should be, but outside.
    let absolute = folder.path().join("config.json");
    for outside in ["../config.json", text(&absolute)] {
        let error = load_with(outside, "layer.tar").unwrap_err();
        assert!(error.contains(&format!("{outside:?} is missing")), "{error}");
    }
    std::fs::rename(&absolute, saved.join("config.json")).unwrap();
    std::fs::rename(saved.join("layer.tar"), saved.join("other.tar")).unwrap();
    for (layer, part) in [
        ("../layer.tar", "is missing"),
        ("/dev/zero", "is missing"),
        ("pipe", "is not a file"),
        ("", "is not a file"),
    ] {
        let error = load_with("config.json", layer).unwrap_err();
        assert!(error.contains(part), "{layer}: {error}");
    }
    load_with("config.json", "./other.tar").unwrap();
}
