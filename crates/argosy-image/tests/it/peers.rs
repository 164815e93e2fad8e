//! Pulls with other machines to ask: honest ones, and such as lie, break off, hang or have nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use argosy_image::{
    Answering, Digest, Errand, Error, Event, Found, Image, Named, Peer, PeerBlob, PeerError, Peers,
    PullOptions, Reference, Sought, Store, When,
};
use bytes::Bytes;

use crate::archive::{Archive, INDEX, Layer, MadeImage, architecture};
use crate::fake::{Answer, Fake};
use crate::tools::{client, events, folder, store, try_pull, try_pull_with, whole};

/// How a machine gives what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Well,
    /// Something else, of the right length.
    Lying,
    /// It ends after so many bytes.
    Breaking(usize),
    /// It says nothing any more after so many bytes.
    Hanging(usize),
    Busy,
    /// It says that it has nothing.
    Without,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they are to be asked.
    machines: Vec<(Peer, How)>,
    contents: BTreeMap<Digest, Vec<u8>>,
    names: BTreeMap<Reference, Named>,
    /// What was opened, where, and from which byte on.
    opened: Vec<(Digest, String, u64)>,
    told: Vec<(Reference, Named)>,
    /// Errands to the registry under way, and those that have ended.
    errands: (Vec<Sought>, Vec<Sought>),
    /// How often it is answered that somebody else is bringing it.
    coming: usize,
}

/// The machines of a cluster.
#[derive(Debug, Clone, Default)]
struct Cluster {
    state: Arc<Mutex<State>>,
}

impl Cluster {
    fn of(machines: &[(&str, How)], image: &MadeImage) -> Self {
        let cluster = Self::default();
        let mut state = cluster.state.lock().unwrap();
        for (name, how) in machines {
            let peer = Peer { id: (*name).to_owned(), name: (*name).to_owned() };
            state.machines.push((peer, *how));
        }
        let contents = [&image.manifest, &image.config].into_iter();
        for bytes in contents.chain(image.layers.iter().map(|layer| &layer.blob)) {
            state.contents.insert(Digest::sha256(bytes), bytes.clone());
        }
        drop(state);
        cluster
    }

    fn options(&self, when: When) -> PullOptions {
        let peers: Arc<dyn Peers> = Arc::new(self.clone());
        PullOptions { when, peers: Some(peers), ..PullOptions::default() }
    }

    fn pull(&self, store: &Store, name: &str, when: When) -> Result<Image, Error> {
        let (progress, _) = events();
        try_pull_with(store, &client(), name, &self.options(when), progress)
    }

    fn opened(&self, digest: &Digest) -> Vec<(String, u64)> {
        let state = self.state.lock().unwrap();
        let opened = state.opened.iter().filter(|(opened, ..)| opened == digest);
        opened.map(|(_, machine, from)| (machine.clone(), *from)).collect()
    }
}

struct Ended(Arc<Mutex<State>>, Sought);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().unwrap().errands.1.push(self.1.clone());
    }
}

impl Peers for Cluster {
    fn seek<'a>(&'a self, sought: &'a Sought, without: &'a BTreeSet<Peer>) -> Answering<'a, Found> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if state.coming > 0 {
                state.coming -= 1;
                return Found::Coming(Peer { id: "m9".into(), name: "m9".into() });
            }
            // Its end takes the lock, so it must not end here.
            let errand = || Errand::new(Ended(Arc::clone(&self.state), sought.clone()));
            match sought {
                Sought::Name(name) => {
                    if let Some(named) = state.names.get(name) {
                        return Found::Named(named.clone());
                    }
                }
                Sought::Blob(digest) if state.contents.contains_key(digest) => {
                    let peers = state.machines.iter().map(|(peer, _)| peer.clone());
                    let peers: Vec<Peer> = peers.filter(|peer| !without.contains(peer)).collect();
                    if !peers.is_empty() {
                        return Found::At { peers, errand: errand() };
                    }
                }
                Sought::Blob(_) => {}
            }
            state.errands.0.push(sought.clone());
            Found::Yours(errand())
        })
    }

    fn open<'a>(
        &'a self,
        digest: &'a Digest,
        from: u64,
        peer: &'a Peer,
    ) -> Answering<'a, Result<Box<dyn PeerBlob>, PeerError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.opened.push((digest.clone(), peer.id.clone(), from));
            let how = state.machines.iter().find(|(known, _)| known == peer).unwrap().1;
            let name = peer.name.clone();
            match how {
                How::Busy => return Err(PeerError::Busy { peer: name }),
                How::Without => {
                    return Err(PeerError::Failed { peer: name, source: "not here".into() });
                }
                How::Well | How::Lying | How::Breaking(_) | How::Hanging(_) => {}
            }
            let mut rest = state.contents[digest][usize::try_from(from).unwrap()..].to_vec();
            if how == How::Lying {
                rest.iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            if let How::Breaking(after) | How::Hanging(after) = how {
                rest.truncate(after);
            }
            let pieces = rest.chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            let hangs = matches!(how, How::Hanging(_));
            Ok(Box::new(Given { pieces: pieces.into_iter(), hangs }) as Box<dyn PeerBlob>)
        })
    }

    fn named<'a>(&'a self, name: &'a Reference, named: &'a Named) -> Answering<'a, ()> {
        Box::pin(async move {
            self.state.lock().unwrap().told.push((name.clone(), named.clone()));
        })
    }
}

struct Given {
    pieces: std::vec::IntoIter<Bytes>,
    hangs: bool,
}

impl PeerBlob for Given {
    fn next(&mut self) -> Answering<'_, Result<Option<Bytes>, PeerError>> {
        Box::pin(async move {
            let piece = self.pieces.next();
            if piece.is_none() && self.hangs {
                std::future::pending::<()>().await;
            }
            Ok(piece)
        })
    }
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).unwrap();
    bytes
}

/// One layer that does not compress, so that it takes many pieces.
fn image() -> MadeImage {
    let archive = Archive::default().folder("etc").file("etc/random", &random(200_000)).end();
    MadeImage::new(vec![Layer::gzip(archive)])
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::sha256(bytes)
}

/// What the registry was asked for, without the check of its version.
fn asked(fake: &Fake) -> Vec<String> {
    fake.asked().into_iter().map(|asked| asked.path).collect()
}

fn blobs_asked(fake: &Fake) -> usize {
    asked(fake).iter().filter(|path| path.contains("/blobs/")).count()
}

#[track_caller]
fn assert_right(image: &Image, made: &MadeImage) {
    assert_eq!(image.id, digest_of(&made.config));
    let bytes = std::fs::metadata(image.layers[0].join("etc/random")).unwrap().len();
    assert_eq!(bytes, 200_000);
}

/// Pulls with one kind of machine in front of an honest registry.
fn pull_beside(how: How) -> (Cluster, Fake, MadeImage, Store, tempfile::TempDir) {
    let made = image();
    let fake = Fake::with(&made);
    let cluster = Cluster::of(&[("m2", how)], &made);
    let folder = folder();
    let store = store(folder.path());
    let pulled = cluster.pull(&store, &fake.name("app"), When::Always).unwrap();
    assert_right(&pulled, &made);
    (cluster, fake, made, store, folder)
}

#[test]
fn what_a_machine_has_is_not_asked_of_the_registry() {
    let (cluster, fake, made, ..) = pull_beside(How::Well);
    let layer = digest_of(&made.layers[0].blob);
    assert_eq!(cluster.opened(&layer), [("m2".to_owned(), 0)]);
    assert_eq!(asked(&fake), ["/v2/app/manifests/latest"], "only what the tag means");
}

#[test]
fn a_machine_that_lies_costs_a_second_attempt_and_nothing_else() {
    let (cluster, fake, made, store, _folder) = pull_beside(How::Lying);
    let layer = digest_of(&made.layers[0].blob);
    assert_eq!(cluster.opened(&layer).len(), 1, "it is not asked again");
    assert_eq!(blobs_asked(&fake), 2, "configuration and layer");
    assert_eq!(store.blob(&layer).unwrap().unwrap().1, made.layers[0].blob.len() as u64);
}

#[test]
fn a_machine_that_breaks_off_is_followed_by_the_next_where_it_stood() {
    let made = image();
    let fake = Fake::with(&made);
    let machines = [("m2", How::Breaking(50_000)), ("m3", How::Breaking(70_000))];
    let cluster = Cluster::of(&machines, &made);
    let folder = folder();
    let pulled = cluster.pull(&store(folder.path()), &fake.name("app"), When::Always).unwrap();
    assert_right(&pulled, &made);
    let layer = digest_of(&made.layers[0].blob);
    assert_eq!(cluster.opened(&layer), [("m2".to_owned(), 0), ("m3".to_owned(), 50_000)]);
    let ranges: Vec<_> = fake
        .asked()
        .iter()
        .filter(|asked| asked.path.ends_with(&layer.to_string()))
        .map(|asked| asked.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [Some("bytes=120000-".to_owned())], "only what is missing");
}

#[test]
fn a_machine_that_hangs_is_left() {
    let (cluster, fake, made, ..) = pull_beside(How::Hanging(50_000));
    let layer = digest_of(&made.layers[0].blob);
    assert_eq!(cluster.opened(&layer).len(), 1);
    let last = fake.asked().into_iter().rfind(|it| it.path.ends_with(&layer.to_string())).unwrap();
    assert_eq!(last.headers["range"], "bytes=50000-");
}

#[test]
fn machines_that_have_nothing_are_asked_once() {
    let (cluster, fake, made, ..) = pull_beside(How::Without);
    assert_eq!(cluster.opened(&digest_of(&made.layers[0].blob)).len(), 1);
    assert_eq!(blobs_asked(&fake), 2);
}

#[test]
fn one_that_is_busy_is_passed_over_for_the_next() {
    let made = image();
    let fake = Fake::with(&made);
    let cluster = Cluster::of(&[("m2", How::Busy), ("m3", How::Well)], &made);
    let folder = folder();
    cluster.pull(&store(folder.path()), &fake.name("app"), When::Always).unwrap();
    assert_eq!(blobs_asked(&fake), 0);
}

#[test]
fn others_can_count_on_what_is_brought_until_it_is_in_the_store() {
    let made = image();
    let fake = Fake::with(&made);
    let cluster = Cluster::default();
    cluster.state.lock().unwrap().coming = 3;
    let folder = folder();
    let store = store(folder.path());
    let (progress, told) = events();
    let options = cluster.options(When::Missing);
    let name = fake.name("app");
    try_pull_with(&store, &client(), &name, &options, progress).unwrap();
    let state = cluster.state.lock().unwrap();
    // The name, the configuration and the layer; the manifest came with the name.
    assert_eq!(state.errands.0.len(), 3, "{:?}", state.errands);
    let (mut begun, mut ended) = (state.errands.0.clone(), state.errands.1.clone());
    begun.sort();
    ended.sort();
    assert_eq!(begun, ended);
    let named = &state.told[0];
    assert_eq!(named.0, name.parse().unwrap());
    assert_eq!(named.1.digest, digest_of(&made.manifest));
    let held = store.held().unwrap();
    assert_eq!(held.names.len(), 1);
    assert_eq!(held.names[0].named.digest, named.1.digest);
    assert_eq!(held.blobs.len(), 3);
    let from = |event: &Event| matches!(event, Event::From { .. });
    assert!(!told.lock().unwrap().iter().any(from), "nobody had anything");
}

#[test]
fn without_a_registry_an_image_comes_from_machines_if_its_name_may_be_old() {
    let made = image();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": crate::archive::MANIFEST,
            "digest": digest_of(&made.manifest),
            "size": made.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture()},
        }],
    });
    let index = index.to_string().into_bytes();
    let cluster = Cluster::of(&[("m2", How::Well)], &made);
    // Nobody listens there.
    let name = "127.0.0.1:9/app:1";
    let named = Named { digest: digest_of(&index), pulled: 1_700_000_000 };
    {
        let mut state = cluster.state.lock().unwrap();
        state.names.insert(name.parse().unwrap(), named.clone());
        state.contents.insert(named.digest.clone(), index.clone());
    }
    let folder = folder();
    let store = store(folder.path());
    let (progress, told) = events();
    let options = cluster.options(When::Missing);
    let pulled = try_pull_with(&store, &client(), name, &options, progress).unwrap();
    assert_right(&pulled, &made);
    let layer = digest_of(&made.layers[0].blob);
    let from = Event::From { layer, peer: "m2".to_owned() };
    assert!(told.lock().unwrap().contains(&from));
    // It is handed on with the time at which the registry said so.
    assert_eq!(store.held().unwrap().names[0].named, named);
    // What the tag means now only the registry can say.
    let always = cluster.pull(&store, name, When::Always).unwrap_err();
    assert!(whole(&always).contains("cannot connect"), "{}", whole(&always));
    // By its digest it is what it is.
    let by_digest = format!("127.0.0.1:9/other@{}", named.digest);
    cluster.pull(&store, &by_digest, When::Always).unwrap();
}

#[test]
fn what_a_name_meant_once_and_nobody_has_any_more_is_asked_of_the_registry() {
    let made = image();
    let fake = Fake::with(&made);
    let old = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": crate::archive::MANIFEST,
            "digest": digest_of(b"pruned"),
            "size": 6,
            "platform": {"os": "linux", "architecture": architecture()},
        }],
    });
    let old = old.to_string().into_bytes();
    let cluster = Cluster::of(&[], &made);
    let name = fake.name("app");
    {
        let mut state = cluster.state.lock().unwrap();
        state.machines.push((Peer { id: "m2".into(), name: "m2".into() }, How::Well));
        state.contents = BTreeMap::from([(digest_of(&old), old.clone())]);
        let named = Named { digest: digest_of(&old), pulled: 1_700_000_000 };
        state.names.insert(name.parse().unwrap(), named);
    }
    let folder = folder();
    let store = store(folder.path());
    let pulled = cluster.pull(&store, &name, When::Missing).unwrap();
    assert_right(&pulled, &made);
    assert_eq!(store.held().unwrap().names[0].named.digest, digest_of(&made.manifest));
}

#[test]
fn a_blocked_registry_and_a_policy_say_no_whoever_has_the_image() {
    use argosy_image::{AuthFiles, Policy, Registries, RegistryClient, pull, silent};
    let made = image();
    let cluster = Cluster::of(&[("m2", How::Well)], &made);
    let reference: Reference = "registry.example/app:1".parse().unwrap();
    let named = Named { digest: digest_of(&made.manifest), pulled: 1 };
    cluster.state.lock().unwrap().names.insert(reference.clone(), named);
    let folder = folder();
    let store = store(folder.path());
    let blocked: Registries = serde_json::from_value(serde_json::json!({
        "registry": [{"name": "registry.example", "blocked": true}],
    }))
    .unwrap();
    let blocked = RegistryClient::new(blocked, AuthFiles::default());
    let reject = folder.path().join("policy.json");
    std::fs::write(&reject, r#"{"default": [{"type": "reject"}]}"#).unwrap();
    let options = cluster.options(When::Missing);
    let runtime = crate::tools::runtime();
    for (client, policy, word) in [
        (blocked, Policy::accept_anything(), "blocked"),
        (client(), Policy::read(&reject).unwrap(), "rejected"),
    ] {
        let pulling = pull(&store, &client, &policy, &reference, &options, silent());
        let error = whole(&runtime.block_on(pulling).unwrap_err());
        assert!(error.contains(word), "{error}");
    }
    assert!(cluster.state.lock().unwrap().opened.is_empty());
}

#[test]
fn what_must_be_signed_is_asked_of_the_registry_alone() {
    use crate::signatures::{Signer, write_policy};
    use argosy_image::{Policy, pull, silent};
    let made = image();
    let fake = Fake::with(&made);
    let cluster = Cluster::of(&[("m2", How::Well)], &made);
    let reference: Reference = fake.name("app").parse().unwrap();
    let named = Named { digest: digest_of(&made.manifest), pulled: 1 };
    cluster.state.lock().unwrap().names.insert(reference.clone(), named);
    let folder = folder();
    let store = store(folder.path());
    Signer::new().write_public_key(&folder.path().join("own.pub"));
    write_policy(folder.path(), "own.pub", "");
    let policy = Policy::read(&folder.path().join("policy.json")).unwrap();
    let (client, options) = (client(), cluster.options(When::Missing));
    let pulling = pull(&store, &client, &policy, &reference, &options, silent());
    let error = whole(&crate::tools::runtime().block_on(pulling).unwrap_err());
    assert!(error.contains("it has none"), "{error}");
    assert_eq!(asked(&fake)[0], "/v2/app/manifests/latest");
    let state = cluster.state.lock().unwrap();
    assert!(state.opened.is_empty() && state.told.is_empty(), "{state:?}");
    assert_eq!(crate::tools::contents(&store), [""; 0], "something is left of it");
}

#[test]
fn names_that_were_given_here_are_not_handed_out() {
    let made = image();
    let fake = Fake::with(&made);
    let folder = folder();
    let store = store(folder.path());
    try_pull(&store, &fake.name("app")).unwrap();
    store.tag(&fake.name("app"), &"app:mine".parse().unwrap()).unwrap();
    let before = store.held_stamp().unwrap();
    let held = store.held().unwrap();
    let names: Vec<String> = held.names.iter().map(|held| held.name.to_string()).collect();
    assert_eq!(names, [fake.name("app:latest")]);
    assert!(store.has_blob(&digest_of(&made.layers[0].blob)));
    // A record of an older version does not say where its name came from.
    let path = store.root().join(format!("names/{}/app/_tags/latest", fake.address));
    let text = std::fs::read_to_string(&path).unwrap();
    let older = text.split(",\"pulled\"").next().unwrap().to_owned() + "}";
    std::fs::write(&path, older).unwrap();
    assert_eq!(store.held().unwrap().names, []);
    store.remove(&fake.name("app"), &argosy_image::Removal::default()).unwrap();
    assert_ne!(store.held_stamp().unwrap(), before, "a change is seen");
}

#[test]
fn a_registry_that_fails_ends_the_errand() {
    let made = image();
    let fake = Fake::with(&made);
    fake.handle(|asked| asked.path.contains("/blobs/").then(|| Answer::status(404)));
    let cluster = Cluster::default();
    let folder = folder();
    let store = store(folder.path());
    cluster.pull(&store, &fake.name("app"), When::Always).unwrap_err();
    let state = cluster.state.lock().unwrap();
    assert_eq!(state.errands.0.len(), state.errands.1.len());
}
