//! The keeper of images by its two channels.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argosy_image::{Digest, Event};

use super::*;

/// Images that are here, and those that can be had.
#[derive(Default)]
struct Fake {
    here: Mutex<BTreeSet<String>>,
    offered: Mutex<BTreeSet<String>>,
    stamp: AtomicU64,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// How often each was asked for while it was not here.
    asked: Mutex<BTreeMap<String, usize>>,
    /// Pulls wait for this one.
    gate: watch::Sender<bool>,
}

/// Counts a pull as long as it is under way.
struct UnderWay<'f>(&'f Fake);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source for Fake {
    async fn is_here(&self, name: &str) -> bool {
        lock(&self.here).contains(name)
    }

    async fn bring(&self, name: &str, progress: Progress) -> Result<(), BringError> {
        let at_once = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(at_once, Ordering::Relaxed);
        let _under_way = UnderWay(self);
        *lock(&self.asked).entry(name.to_owned()).or_default() += 1;
        let (manifest, platform) = (Digest::sha256(b""), "linux/amd64".parse().unwrap());
        progress(Event::Resolved { manifest: manifest.clone(), platform, layers: 1, bytes: 7 });
        progress(Event::From { layer: manifest, peer: "m2".to_owned() });
        let mut gate = self.gate.subscribe();
        gate.wait_for(|open| *open).await.unwrap();
        if !lock(&self.offered).contains(name) {
            return Err(BringError::Settings("nobody has it".to_owned()));
        }
        lock(&self.here).insert(name.to_owned());
        self.stamp.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn stamp(&self) -> Option<u64> {
        Some(self.stamp.load(Ordering::Relaxed))
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A keeper, what it is told, and what it says.
struct Kept {
    fake: Arc<Fake>,
    want: watch::Sender<BTreeSet<String>>,
    states: watch::Receiver<BTreeMap<String, ImageState>>,
    task: tokio::task::JoinHandle<()>,
}

impl Kept {
    fn new(offered: &[&str]) -> Kept {
        let fake = Arc::new(Fake { offered: Mutex::new(names(offered)), ..Fake::default() });
        let (want, wanted) = watch::channel(BTreeSet::new());
        let (states, seen) = watch::channel(BTreeMap::new());
        let keeping = Keeping::new(Arc::clone(&fake), states);
        let task = tokio::spawn(keeping.run(wanted));
        Kept { fake, want, states: seen, task }
    }

    async fn until(&mut self, is_so: impl Fn(&BTreeMap<String, ImageState>) -> bool) {
        let waiting = self.states.wait_for(|states| is_so(states));
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_is_wanted_comes_a_few_at_a_time_and_what_goes_comes_again() {
    let all = ["a", "b", "c", "d", "e"];
    let mut kept = Kept::new(&all);
    kept.want.send_replace(names(&all));
    let from = ImageState::Coming("0 of 1 MB from m2".to_owned());
    kept.until(|states| states.values().filter(|it| **it == from).count() == 3).await;
    kept.fake.gate.send_replace(true);
    let here = |states: &BTreeMap<String, ImageState>| {
        states.len() == 5 && states.values().all(|it| *it == ImageState::Here)
    };
    kept.until(here).await;
    assert_eq!(kept.fake.most.load(Ordering::Relaxed), 3);
    // A command removes one.
    kept.fake.gate.send_replace(false);
    lock(&kept.fake.here).remove("c");
    kept.fake.stamp.fetch_add(1, Ordering::Relaxed);
    kept.until(|states| matches!(states["c"], ImageState::Coming(_))).await;
    kept.fake.gate.send_replace(true);
    kept.until(here).await;
    assert_eq!(lock(&kept.fake.asked)["c"], 2);
    assert_eq!(lock(&kept.fake.asked)["a"], 1, "what stayed was not brought again");
    drop(kept.want);
    kept.task.await.unwrap();
}

#[tokio::test]
async fn what_is_here_waits_for_nothing_that_has_to_come() {
    let mut kept = Kept::new(&[]);
    kept.want.send_replace(names(&["a", "b", "c"]));
    let come = |states: &BTreeMap<String, ImageState>| {
        states.values().filter(|it| matches!(it, ImageState::Coming(_))).count() == 3
    };
    kept.until(come).await;
    lock(&kept.fake.here).insert("z".to_owned());
    kept.want.send_replace(names(&["a", "b", "c", "z"]));
    kept.until(|states| states.get("z") == Some(&ImageState::Here) && come(states)).await;
}

#[tokio::test]
async fn what_fails_says_why_and_comes_once_it_can() {
    let mut kept = Kept::new(&[]);
    kept.fake.gate.send_replace(true);
    kept.want.send_replace(names(&["a"]));
    let failed = ImageState::Failed("nobody has it".to_owned());
    kept.until(|states| states.get("a") == Some(&failed)).await;
    lock(&kept.fake.offered).insert("a".to_owned());
    kept.until(|states| states.get("a") == Some(&ImageState::Here)).await;
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_given_up() {
    let mut kept = Kept::new(&["a", "b"]);
    kept.want.send_replace(names(&["a"]));
    kept.until(|states| matches!(states.get("a"), Some(ImageState::Coming(_)))).await;
    kept.want.send_replace(names(&["b"]));
    kept.until(|states| states.len() == 1 && states.contains_key("b")).await;
    kept.fake.gate.send_replace(true);
    kept.until(|states| states.get("b") == Some(&ImageState::Here)).await;
    assert_eq!(*lock(&kept.fake.here), names(&["b"]), "its pull has ended before it had it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_keeper_of_real_images_says_what_is_wrong_with_a_name_and_ends_when_told() {
    #[derive(Debug)]
    struct Alone;

    impl Peers for Alone {
        fn seek<'a>(
            &'a self,
            _: &'a argosy_image::Sought,
            _: &'a BTreeSet<argosy_image::Peer>,
        ) -> argosy_image::Answering<'a, argosy_image::Found> {
            Box::pin(std::future::ready(argosy_image::Found::Nobody))
        }

        fn open<'a>(
            &'a self,
            _: &'a Digest,
            _: u64,
            peer: &'a argosy_image::Peer,
        ) -> argosy_image::Answering<
            'a,
            Result<Box<dyn argosy_image::PeerBlob>, argosy_image::PeerError>,
        > {
            let peer = peer.name.clone();
            Box::pin(std::future::ready(Err(argosy_image::PeerError::Busy { peer })))
        }

        fn named<'a>(
            &'a self,
            _: &'a Reference,
            _: &'a argosy_image::Named,
        ) -> argosy_image::Answering<'a, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { refuse_percent: 101, stop_percent: 101, ..Limits::default() };
    let store = Store::open(folder.path().join(IMAGES), limits).unwrap();
    let import = argosy_image::ImportOptions {
        name: Some("here:1".parse().unwrap()),
        ..argosy_image::ImportOptions::default()
    };
    let archive = argosy_image::archive_of(&[]).unwrap();
    argosy_image::import(&store, archive, &import).unwrap();
    let (want, wanted) = watch::channel(names(&["here:1", "No Name", "127.0.0.1:9/gone:1"]));
    let parts = BringParts { data_dir: folder.path().to_owned(), limits, peers: Arc::new(Alone) };
    let (bringer, mut states) = Bringer::new(parts, wanted);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(bringer.run(stopped));
    let is_so = |states: &BTreeMap<String, ImageState>| {
        let failed = |name: &str, word: &str| {
            let state = states.get(name);
            matches!(state, Some(ImageState::Failed(why)) if why.contains(word))
        };
        states.get("here:1") == Some(&ImageState::Here)
            && failed("No Name", "is not the name of an image")
            && failed("127.0.0.1:9/gone:1", "cannot connect")
    };
    let waiting = states.wait_for(is_so);
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    stop.send_replace(true);
    running.await.unwrap();
    drop(want);
}
