//! What is here is found, what is not is tried, and what is not wanted any more is forgotten.

use argosy_image::ImportOptions;

use super::*;

/// Most that anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives the store of a data directory an image without any file.
fn import(place: &Place, name: &str) {
    let store = Store::open(place.data_dir.join(IMAGES), place.limits).unwrap();
    let name = Some(name.parse().unwrap());
    let options = ImportOptions { name, cmd: vec!["x".to_owned()], ..ImportOptions::default() };
    // Two blocks of zeroes end an archive.
    argosy_image::import(&store, &[0; 1024][..], &options).unwrap();
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn what_is_here_is_said_at_once_and_what_is_not_is_tried_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { refuse_percent: 100, ..Limits::default() };
    let place = Place { data_dir: folder.path().to_owned(), limits };
    import(&place, "here:1");
    let (want, wanted) = latest::channel(names(&[]));
    let (bringer, mut says) = Bringer::new(place.clone(), wanted);
    let running = tokio::spawn(bringer.run());
    let nobody = "127.0.0.1:1/app:1";
    want.send_replace(names(&["here:1", nobody, "no/NAME"]));
    let is_so =
        |said: &BTreeMap<String, ImageState>, image: &str, words: &str| match said.get(image) {
            Some(ImageState::Here) => words == "here",
            Some(ImageState::Coming(_)) => words == "coming",
            Some(ImageState::Failed(why)) => why.contains(words),
            None => false,
        };
    let all = says.wait_for(|said| {
        is_so(said, "here:1", "here")
            && is_so(said, nobody, "cannot connect")
            && is_so(said, "no/NAME", "lower case")
    });
    drop(tokio::time::timeout(PATIENCE, all).await.expect("said").unwrap());
    // Somebody brings it by hand: the next try finds it.
    import(&place, nobody);
    let found = says.wait_for(|said| is_so(said, nobody, "here"));
    drop(tokio::time::timeout(PATIENCE, found).await.expect("found").unwrap());
    want.send_replace(names(&["here:1"]));
    let left = says.wait_for(|said| said.keys().eq(["here:1"]));
    drop(tokio::time::timeout(PATIENCE, left).await.expect("forgotten").unwrap());
    // It ends when nobody can want anything any more.
    drop(want);
    tokio::time::timeout(PATIENCE, running).await.expect("an end").unwrap();
}

#[test]
fn how_far_it_is_is_said_in_megabytes() {
    let moved = Moved::default();
    assert_eq!(moved.text(), "");
    let layer = argosy_image::Digest::sha256(b"x");
    let manifest = layer.clone();
    let platform = argosy_image::Platform::of_this_machine();
    moved.take(Event::Resolved { manifest, platform, layers: 2, bytes: 39_500_000 });
    moved.take(Event::Present { layer: layer.clone(), bytes: 10_000_000 });
    moved.take(Event::Begun { layer: layer.clone(), bytes: 29_500_000, have: 1_000_000 });
    moved.take(Event::Moved { layer: layer.clone(), bytes: 1_900_000 });
    assert_eq!(moved.text(), "12 of 40 MB");
    moved.take(Event::Moved { layer, bytes: 90_000_000 });
    assert_eq!(moved.text(), "39 of 40 MB");
}
