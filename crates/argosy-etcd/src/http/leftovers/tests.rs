//! What is remembered, and for whom.

use super::*;

fn subject(path: &str, recursive: bool) -> Subject {
    Subject { path: path.to_owned(), recursive }
}

#[test]
fn only_the_same_question_goes_on_and_only_once() {
    let polls = Leftovers::default();
    let place = Place { revision: 7, told: 1 };
    polls.put(subject("/a", true), place);
    assert_eq!(polls.take(&subject("/a", false), 0), None);
    assert_eq!(polls.take(&subject("/b", true), 0), None);
    assert_eq!(polls.take(&subject("/a", true), 7), Some(place));
    assert_eq!(polls.take(&subject("/a", true), 7), None);
    polls.put(subject("/a", true), place);
    assert_eq!(polls.take(&subject("/a", true), 8), None, "it has seen enough");
    assert_eq!(polls.take(&subject("/a", true), 0), None, "and that is remembered");
}

#[test]
fn the_oldest_is_forgotten() {
    let polls = Leftovers::default();
    for n in 0..=LEFTOVERS_MAX {
        polls.put(subject(&format!("/{n}"), false), Place { revision: 2, told: 1 });
    }
    assert_eq!(polls.take(&subject("/0", false), 0), None);
    assert!(polls.take(&subject("/1", false), 0).is_some());
}
