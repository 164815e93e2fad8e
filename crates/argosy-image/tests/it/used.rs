//! When images were last used, and which of them go one after the other.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Cursor;
use std::time::{Duration, SystemTime};

use argosy_image::{
    Collect, Digest, DiskUse, Image, ImportOptions, Limits, Pressure, PullOptions, Store, When,
    import, silent,
};

use crate::archive::{Archive, Layer, MadeImage, gzip};
use crate::fake::Fake;
use crate::tools::{client, contents, folder, store, try_pull, try_pull_with};

const NOBODY: BTreeSet<Digest> = BTreeSet::new();

fn imported(store: &Store, name: &str) -> Image {
    let archive = Archive::default().file("name", name.as_bytes()).end();
    let options = ImportOptions { name: Some(name.parse().unwrap()), ..ImportOptions::default() };
    import(store, Cursor::new(gzip(&archive)), &options).unwrap()
}

/// Puts the last use of an image back, in seconds.
fn age(store: &Store, image: &Image, seconds: u64) {
    let record = store.root().join("images/sha256").join(image.manifest.hex());
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(record).unwrap().set_modified(then).unwrap();
}

fn only(image: &Image) -> Vec<Digest> {
    vec![image.manifest.clone()]
}

fn unused(store: &Store) -> Vec<Digest> {
    store.unused(&NOBODY).unwrap()
}

#[test]
fn the_image_that_was_used_last_the_longest_ago_goes_first_and_one_at_a_time() {
    let folder = folder();
    let store = store(folder.path());
    let images = ["one", "two", "three", "four"].map(|name| imported(&store, name));
    let [one, two, three, four] = &images;
    for (image, seconds) in [(one, 10), (two, 40), (three, 30), (four, 20)] {
        age(&store, image, seconds);
    }
    // Held, named by a unit, or neither.
    store.hold(&two.manifest, "container-1").unwrap();
    let in_use = BTreeSet::from([four.manifest.clone()]);
    let order = [three.manifest.clone(), one.manifest.clone()];
    assert_eq!(store.unused(&in_use).unwrap(), order);
    for image in [three, one] {
        let collected = store.collect(&in_use, Collect::Oldest).unwrap();
        assert_eq!(collected.images, std::slice::from_ref(&image.id));
        assert!(collected.bytes > 0 && image.layers.iter().all(|layer| !layer.exists()));
    }
    assert_eq!(store.collect(&in_use, Collect::Oldest).unwrap().images, []);
    assert!([two, four].iter().all(|image| image.layers[0].is_dir()));
    store.release("container-1").unwrap();
    for _ in 0..2 {
        assert_eq!(store.collect(&NOBODY, Collect::Oldest).unwrap().images.len(), 1);
    }
    assert_eq!(contents(&store), Vec::<String>::new());
}

#[test]
fn whoever_takes_or_leaves_an_image_has_used_it_and_a_restart_knows() {
    let folder = folder();
    let first = store(folder.path());
    let [one, two, three] = ["one", "two", "three"].map(|name| imported(&first, name));
    let aged = |ages: [u64; 3]| {
        for (image, seconds) in [&one, &two, &three].into_iter().zip(ages) {
            age(&first, image, seconds);
        }
    };
    aged([30, 20, 10]);
    first.hold(&one.manifest, "container-1").unwrap();
    aged([30, 20, 10]);
    // It was used until it was let go of.
    let other = store(folder.path());
    other.release("container-1").unwrap();
    let order = [&two, &three, &one].map(|image| image.manifest.clone());
    assert_eq!(unused(&first), order);
    aged([30, 20, 10]);
    first.hold(&one.manifest, "container-2").unwrap();
    first.hold(&three.manifest, "container-2").unwrap();
    assert_eq!(unused(&other), [two.manifest.clone(), one.manifest.clone()]);
}

#[test]
fn a_pull_uses_an_image_also_one_that_is_here() {
    let fake = Fake::start();
    for name in ["one", "two"] {
        let layer = Layer::gzip(Archive::default().file(name, b"x").end());
        fake.add(name, "latest", &MadeImage::new(vec![layer]));
    }
    let folder = folder();
    let store = store(folder.path());
    let [one, two] = ["one", "two"].map(|name| try_pull(&store, &fake.name(name)).unwrap());
    for when in [When::Missing, When::Always] {
        age(&store, &one, 20);
        age(&store, &two, 10);
        let options = PullOptions { when, ..PullOptions::default() };
        try_pull_with(&store, &client(), &fake.name("one"), &options, silent()).unwrap();
        assert_eq!(unused(&store)[0], two.manifest, "{when:?}");
    }
}

#[test]
fn words_name_images_as_commands_do() {
    let folder = folder();
    let store = store(folder.path());
    let hub = imported(&store, "busybox");
    let own = imported(&store, "registry.example:5000/team/app:1.4");
    let named = |words: &[&str]| -> Vec<Digest> {
        store.named_in(words.iter().copied()).unwrap().into_iter().collect()
    };
    for word in ["busybox", "docker.io/library/busybox:latest", hub.id.short(), hub.id.hex()] {
        assert_eq!(named(&["run", "--rm", word, "/bin/sh"]), only(&hub), "{word}");
    }
    assert_eq!(named(&[&hub.id.to_string()]), only(&hub));
    assert_eq!(named(&["registry.example:5000/team/app:1.4"]), only(&own));
    let by_digest = format!("registry.example:5000/team/app@{}", own.manifest);
    assert_eq!(named(&[&by_digest]), only(&own));
    for word in ["busybox:2", "team/app:1.4", &hub.id.hex()[..11], "", "-x", "--name=busybox"] {
        assert_eq!(named(&[word]), [], "{word}");
    }
}

#[test]
fn a_disk_asks_for_what_the_marks_say() {
    let limits = Limits { collect_percent: 70, ..Limits::default() };
    for (used_percent, pressure) in [
        (0, Pressure::None),
        (69, Pressure::None),
        (70, Pressure::Collect),
        (89, Pressure::Collect),
        (90, Pressure::Refuse),
        (100, Pressure::Refuse),
    ] {
        let disk = DiskUse { total_bytes: 1, available_bytes: 1, used_percent };
        assert_eq!(disk.pressure(&limits), pressure, "{used_percent}");
    }
}
