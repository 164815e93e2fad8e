//! The store: names, leases, removal, collection, accounting, several users at once.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use argosy_image::{Collect, Privileges, PullOptions, Reference, Removal, Store, silent};

use crate::archive::{Archive, FOLDER, Layer, MadeImage, Meta, PLAIN};
use crate::fake::Fake;
use crate::tools::{client, contents, folder, limits, store, text, try_pull, try_pull_with, whole};
use crate::tree::{Mounted, snapshot};

fn layer(name: &str) -> Layer {
    Layer::gzip(Archive::default().file(name, &[1; 1000]).end())
}

/// A registry with two images, `HOST/one` and `HOST/two`, that share their first layer.
fn two() -> Fake {
    let fake = Fake::start();
    fake.add("one", "latest", &MadeImage::new(vec![layer("base"), layer("one")]));
    fake.add("two", "latest", &MadeImage::new(vec![layer("base"), layer("two")]));
    fake
}

#[test]
fn images_share_layers_and_the_accounting_says_so() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let one = try_pull(&store, &fake.name("one")).unwrap();
    let two = try_pull(&store, &fake.name("two")).unwrap();
    assert_eq!(one.layers[0], two.layers[0]);
    let usage = store.usage().unwrap();
    assert_eq!(usage.images.len(), 2);
    for image in &usage.images {
        assert_eq!((image.bytes, image.shared_bytes, image.unique_bytes()), (2 * 2560, 2560, 2560));
    }
    assert_eq!(usage.layer_bytes, 3 * 2560);
    assert!(usage.blob_bytes > 0 && usage.partial_bytes == 0);
}

#[test]
fn names_come_and_go_and_the_last_takes_the_image_with_it() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let image = try_pull(&store, &fake.name("one")).unwrap();
    let other: Reference = "localhost/mine:v1".parse().unwrap();
    store.tag(&fake.name("one"), &other).unwrap();
    assert_eq!(store.find("localhost/mine:v1").unwrap().id, image.id);
    assert_eq!(store.find(&image.id.hex()[..8]).unwrap().manifest, image.manifest);
    assert_eq!(store.find(&image.id.to_string()).unwrap().manifest, image.manifest);
    let by_id = store.remove(image.id.short(), &Removal::default()).unwrap_err();
    assert!(whole(&by_id).contains("has the names"), "{by_id}");
    let removed = store.remove(&fake.name("one"), &Removal::default()).unwrap();
    assert_eq!((removed.names.len(), removed.image), (1, None));
    let removed = store.remove("localhost/mine:v1", &Removal::default()).unwrap();
    assert_eq!(removed.image, Some(image.id));
    assert_eq!(contents(&store), Vec::<String>::new());
    for wrong in ["localhost/mine:v1", "nothing", "abcdef"] {
        let error = store.find(wrong).unwrap_err();
        assert!(whole(&error).contains("there is no image"), "{error}");
    }
    assert!(whole(&store.find("Wrong Name").unwrap_err()).contains("neither a name nor an id"));
    let digest = format!("app@{}", image.manifest);
    assert!(store.tag("x", &digest.parse().unwrap()).is_err());
}

#[test]
fn a_leased_image_stays_whatever_is_asked() {
    let fake = two();
    let folder = folder();
    let first = store(folder.path());
    let options = PullOptions { holder: Some("container-1".into()), ..PullOptions::default() };
    let image = try_pull_with(&first, &client(), &fake.name("one"), &options, silent()).unwrap();
    // A lease is on the disk: another process sees it.
    let other = store(folder.path());
    let error = other
        .remove(&fake.name("one"), &Removal { force: true, ..Removal::default() })
        .unwrap_err();
    assert!(whole(&error).contains("in use by container-1"), "{error}");
    assert!(other.collect(&BTreeSet::new(), Collect::Unused).unwrap().images.is_empty());
    assert!(image.layers.iter().all(|layer| layer.is_dir()));
    other.release("container-1").unwrap();
    other.release("container-1").unwrap();
    let collected = other.collect(&BTreeSet::new(), Collect::Unused).unwrap();
    assert_eq!(collected.images, [image.id]);
    assert!(collected.bytes >= 2 * 2560);
    assert_eq!(contents(&other), Vec::<String>::new());
    assert!(other.hold(&image.manifest, "late").is_err(), "what is gone cannot be held");
    assert!(other.hold(&image.manifest, "../x").is_err());
}

#[test]
fn collection_takes_what_nobody_names_or_uses() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let old = try_pull(&store, &fake.name("one")).unwrap();
    // The tag moves: the old image has no name any more.
    fake.add("one", "latest", &MadeImage::new(vec![layer("base"), layer("newer")]));
    let new = try_pull(&store, &fake.name("one")).unwrap();
    let in_use = BTreeSet::from([old.manifest.clone()]);
    assert!(store.collect(&in_use, Collect::Nameless).unwrap().images.is_empty());
    let collected = store.collect(&BTreeSet::new(), Collect::Nameless).unwrap();
    assert_eq!(collected.images, [old.id]);
    assert!(new.layers.iter().all(|layer| layer.is_dir()), "the shared layer stays");
    assert!(!old.layers[1].exists());
}

#[test]
fn collection_beside_pulls_takes_nothing_that_they_need() {
    let fake = two();
    let folder = folder();
    let (pulling, collecting) = (store(folder.path()), store(folder.path()));
    std::thread::scope(|scope| {
        let pulls = scope.spawn(|| {
            for round in 0..6 {
                for name in ["one", "two"] {
                    let holder = format!("{name}-{round}");
                    let options =
                        PullOptions { holder: Some(holder.clone()), ..PullOptions::default() };
                    let image =
                        try_pull_with(&pulling, &client(), &fake.name(name), &options, silent())
                            .unwrap_or_else(|error| panic!("{}", whole(&error)));
                    assert!(image.layers[0].join("base").exists());
                    assert!(image.layers[1].join(name).exists());
                    pulling.release(&holder).unwrap();
                }
            }
        });
        while !pulls.is_finished() {
            collecting.collect(&BTreeSet::new(), Collect::Unused).unwrap();
        }
        pulls.join().unwrap();
    });
    collecting.collect(&BTreeSet::new(), Collect::Unused).unwrap();
    assert_eq!(contents(&collecting), Vec::<String>::new());
}

#[test]
fn owners_times_links_and_attributes_are_kept() {
    let meta = Meta { mode: 0o2711, uid: 1234, gid: 2_000_000, mtime: 12_345 };
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let archive = Archive::default()
        .pax("SCHILY.xattr.security.capability", &capability)
        .pax("SCHILY.xattr.user.note", b"value")
        .pax("mtime", b"12345.678")
        .entry(b'0', "dir/file", "", b"data", meta)
        .hard_link("dir/again", "dir/file")
        .entry(b'2', "dir/link", "/etc/passwd", &[], meta)
        .entry(b'6', "dir/pipe", "", &[], meta)
        .entry(b'3', "dir/null", "", &[], meta)
        .entry(b'5', "dir", "", &[], Meta { mode: 0o1777, ..meta })
        .end();
    let fake = Fake::with(&MadeImage::new(vec![Layer::plain(archive)]));
    let folder = folder();
    let image = try_pull(&store(folder.path()), &fake.name("app")).unwrap();
    let dir = image.layers[0].join("dir");
    let file = std::fs::metadata(dir.join("file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 2_000_000, 0o2711));
    assert_eq!((file.mtime(), file.mtime_nsec(), file.nlink()), (12_345, 678_000_000, 2));
    assert_eq!(std::fs::metadata(dir.join("again")).unwrap().ino(), file.ino());
    let mut value = [0; 64];
    let length =
        rustix::fs::getxattr(dir.join("file"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], capability);
    let length = rustix::fs::getxattr(dir.join("file"), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"value");
    let link = std::fs::symlink_metadata(dir.join("link")).unwrap();
    assert_eq!((link.uid(), link.mtime()), (1234, 12_345));
    assert!(std::fs::metadata(dir.join("pipe")).unwrap().file_type().is_fifo());
    let null = std::fs::metadata(dir.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (0x103, 0o2711));
    let found = std::fs::metadata(&dir).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.mtime()), (0o1777, 1234, 12_345));
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
    let below = ["gone", "kept", "dir/old", "swap/old", "late/old", "early/old"]
        .iter()
        .fold(Archive::default(), |archive, path| archive.file(path, b"below"))
        .end();
    let above = Archive::default()
        .file(".wh.gone", b"")
        .file(".wh.never", b"")
        .folder("dir")
        .file("dir/.wh..wh..opq", b"")
        .file("dir/new", b"above")
        .file(".wh.swap", b"")
        .folder("swap")
        .file("swap/new", b"above")
        .folder("late")
        .file("late/new", b"above")
        .file(".wh.late", b"")
        .file(".wh.early", b"")
        .file("early/new", b"above")
        .file(".wh..wh.aufs", b"")
        .end();
    let fake = Fake::with(&MadeImage::new(vec![Layer::gzip(below), Layer::gzip(above)]));
    let folder = folder();
    let image = try_pull(&store(folder.path()), &fake.name("app")).unwrap();
    let found: Vec<String> = snapshot(&Mounted::new(&image).path())
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        found,
        ["dir", "dir/new", "early", "early/new", "kept", "late", "late/new", "swap", "swap/new"]
    );
}

#[test]
fn a_directory_that_a_layer_only_implies_keeps_its_look() {
    let owned = Meta { mode: 0o750, uid: 77, gid: 88, mtime: 1000 };
    let below = Archive::default()
        .entry(b'5', "srv", "", &[], owned)
        .entry(b'5', "srv/data", "", &[], owned)
        .entry(b'5', "gone", "", &[], owned)
        .end();
    let middle = Archive::default().file(".wh.gone", b"").folder("srv/other").end();
    let above = Archive::default().file("srv/data/deep/file", b"x").file("gone/file", b"x").end();
    let layers = [below, middle, above].map(Layer::gzip).to_vec();
    let fake = Fake::with(&MadeImage::new(layers));
    let folder = folder();
    let store = store(folder.path());
    let image = try_pull(&store, &fake.name("app")).unwrap();
    let mounted = Mounted::new(&image);
    let look = |path: &str| {
        let found = std::fs::metadata(mounted.path().join(path)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!(look("srv"), (0o750, 77, 88));
    assert_eq!(look("srv/data"), (0o750, 77, 88));
    assert_eq!(look("srv/data/deep"), (0o755, 0, 0));
    assert_eq!(look("gone"), (0o755, 0, 0), "what was removed below gives no look");
    let kinds: Vec<bool> =
        image.layers.iter().map(|layer| layer.starts_with(store.root().join("chains"))).collect();
    assert_eq!(kinds, [false, true, true]);
}

#[test]
fn an_ordinary_user_keeps_what_can_be_kept() {
    let archive = Archive::default()
        .entry(b'0', "owned", "", b"x", Meta { mode: 0o4755, uid: 1, gid: 2, ..PLAIN })
        .entry(b'5', "closed", "", &[], Meta { mode: 0o500, ..FOLDER })
        .file("closed/file", b"x")
        .entry(b'3', "null", "", &[], PLAIN)
        .end();
    let above = Archive::default().file(".wh.owned", b"").file("closed/.wh..wh..opq", b"").end();
    let fake = Fake::with(&MadeImage::new(vec![Layer::gzip(archive), Layer::gzip(above)]));
    let folder = folder();
    let store = Store::open_with(folder.path().join("images"), limits(), Privileges::USER).unwrap();
    let image = try_pull(&store, &fake.name("app")).unwrap();
    let owned = std::fs::metadata(image.layers[0].join("owned")).unwrap();
    assert_eq!((owned.uid(), owned.mode() & 0o7777), (0, 0o4755));
    assert!(!image.layers[0].join("null").exists());
    let mut value = [0; 8];
    let mark =
        rustix::fs::getxattr(image.layers[1].join("closed"), "user.overlay.opaque", &mut value[..]);
    assert_eq!(mark, Ok(1));
    assert_eq!(std::fs::metadata(image.layers[0].join("closed")).unwrap().mode() & 0o7777, 0o500);
}

#[test]
fn a_store_of_another_format_is_left_alone() {
    let folder = folder();
    drop(store(folder.path()));
    std::fs::write(folder.path().join("images/format"), "argosy images 2\n").unwrap();
    let error = Store::open(folder.path().join("images"), limits()).unwrap_err();
    assert!(whole(&error).contains("another version"), "{error}");
}

#[test]
fn what_a_killed_pull_left_goes_with_the_next_one() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let dead = store.root().join("sessions/0123");
    std::fs::create_dir_all(dead.join("layer-0/etc")).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("pins"), "layers sha256:00\n").unwrap();
    std::fs::write(store.root().join("partial/writing-1"), "half").unwrap();
    try_pull(&store, &fake.name("one")).unwrap();
    assert!(!contents(&store).iter().any(|path| path.starts_with("sessions")));
    store.collect(&BTreeSet::new(), Collect::Nothing).unwrap();
    assert!(!contents(&store).iter().any(|path| path.starts_with("partial")));
}

/// What an operation has that is under way: its lock, and what it counts on.
struct UnderWay {
    folder: std::path::PathBuf,
    _lock: std::fs::File,
}

impl UnderWay {
    fn with(store: &Store, pins: &str) -> Self {
        let folder = store.root().join("sessions/0123");
        std::fs::create_dir(&folder).unwrap();
        let lock = std::fs::File::create(folder.join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        std::fs::write(folder.join("pins"), pins).unwrap();
        Self { folder, _lock: lock }
    }
}

#[test]
fn an_operation_that_may_be_alive_keeps_what_it_counts_on() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let image = try_pull(&store, &fake.name("one")).unwrap();
    let under_way = UnderWay::with(&store, &format!("images {}\n", image.manifest));
    let collect = || store.collect(&BTreeSet::new(), Collect::Unused);
    assert!(collect().unwrap().images.is_empty());
    // Neither its lock nor its pins can be read: nobody knows whether it lives and needs what.
    for file in ["lock", "pins"] {
        let (path, aside) = (under_way.folder.join(file), folder.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(file, &path).unwrap();
        let error = whole(&collect().unwrap_err());
        assert!(error.contains(text(&path)), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        assert!(image.layers.iter().all(|layer| layer.is_dir()));
    }
    drop(under_way);
    assert_eq!(collect().unwrap().images, [image.id]);
}

#[test]
fn an_image_that_a_pull_under_way_has_just_made_is_not_removed() {
    let fake = two();
    let folder = folder();
    let store = store(folder.path());
    let image = try_pull(&store, &fake.name("one")).unwrap();
    let under_way = UnderWay::with(&store, &format!("images {}\n", image.manifest));
    let force = Removal { force: true, ..Removal::default() };
    let error = whole(&store.remove(&fake.name("one"), &force).unwrap_err());
    assert!(error.contains("in use by a pull"), "{error}");
    assert_eq!(store.find(&fake.name("one")).unwrap().id, image.id);
    drop(under_way);
    assert_eq!(store.remove(&fake.name("one"), &force).unwrap().image, Some(image.id));
}

#[test]
fn a_layer_that_an_image_has_twice_is_there_once() {
    let meta = Meta { mode: 0o750, uid: 77, ..FOLDER };
    let base = Layer::gzip(Archive::default().entry(b'5', "srv", "", &[], meta).end());
    let twice = Layer::gzip(Archive::default().file("srv/deep/file", b"x").end());
    let above = Layer::gzip(Archive::default().file("srv/other", b"x").end());
    let layers = vec![base.clone(), twice.clone(), base, twice, above];
    let fake = Fake::with(&MadeImage::new(layers));
    let folder = folder();
    let image = try_pull(&store(folder.path()), &fake.name("app")).unwrap();
    assert_eq!(image.layers[0], image.layers[2]);
    assert_eq!(image.layers[1], image.layers[3]);
    assert!(image.layers.iter().all(|layer| layer.is_dir()));
    let srv = std::fs::metadata(image.layers[4].join("srv")).unwrap();
    assert_eq!((srv.mode() & 0o7777, srv.uid()), (0o750, 77));
}
