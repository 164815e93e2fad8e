//! Tests of the files, and of what is stale.

use super::*;

fn contexts() -> (tempfile::TempDir, Contexts) {
    let dir = tempfile::tempdir().unwrap();
    let contexts = Contexts { directory: dir.path().join("argosy") };
    (dir, contexts)
}

fn context(name: &str, owner: Option<Owner>) -> Context {
    Context { name: name.into(), sockets: vec!["/run/m1/api.sock".into()], owner }
}

#[test]
fn what_is_written_is_read_and_removed_with_its_choice() {
    let (_dir, contexts) = contexts();
    assert_eq!((contexts.list().unwrap(), contexts.current()), (Vec::new(), None));
    let (one, two) = (context("one", Owner::this()), context("two", None));
    contexts.write(&two).unwrap();
    contexts.write(&one).unwrap();
    contexts.choose("two").unwrap();
    assert_eq!(contexts.list().unwrap(), [one.clone(), two]);
    assert_eq!(contexts.current().as_deref(), Some("two"));
    contexts.remove("two").unwrap();
    assert_eq!((contexts.list().unwrap(), contexts.current()), (vec![one], None));
    contexts.remove("two").unwrap();
}

#[test]
fn empty_directories_of_its_own_can_be_removed_and_those_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let contexts = Contexts { directory: dir.path().join("config/argosy") };
    let own = contexts.own_directories();
    let all = ["config/argosy/contexts", "config/argosy", "config"];
    assert_eq!(own, all.map(|it| dir.path().join(it)));
    contexts.write(&context("one", None)).unwrap();
    // The outermost was there before.
    assert_eq!(contexts.own_directories(), own[..2]);
    Contexts::remove_empty(&own);
    assert_eq!(contexts.list().unwrap().len(), 1);
    contexts.remove("one").unwrap();
    Contexts::remove_empty(&own);
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[test]
fn a_context_is_stale_when_its_program_is_gone_or_another_has_its_number() {
    let this = Owner::this().unwrap();
    assert_eq!(context("one", Some(this)).gone(), None);
    assert_eq!(context("one", None).gone(), None);
    let other = Owner { start_ticks: this.start_ticks + 1, ..this };
    assert_eq!(context("one", Some(other)).gone(), Some(other));
}

#[test]
fn names_stay_within_their_directory() {
    let (_dir, contexts) = contexts();
    for name in ["", "..", "../one", "a/b", "-x", ".hidden"] {
        assert!(contexts.read(name).is_err(), "{name:?}");
        assert!(contexts.remove(name).is_err(), "{name:?}");
        assert!(contexts.choose(name).is_err(), "{name:?}");
    }
}
