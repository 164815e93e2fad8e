//! The checker against histories whose answer is known, and against trying all orders.

use super::*;
use crate::random::Random;

fn request(question: Question, asked: u64, fate: Fate) -> Request {
    let (client, member, key, asked_at, floor, answered_late) = (0, 0, 0, 0, 0, false);
    Request { client, member, key, question, asked, asked_at, floor, fate, answered_late }
}

fn put(value: Value, asked: u64, told: u64) -> Request {
    request(Question::Put(value), asked, Fate::Answered(told, Answer::Done(0)))
}

fn read(value: Value, asked: u64, told: u64) -> Request {
    request(Question::Read, asked, Fate::Answered(told, Answer::Is(value, 0)))
}

fn holds(requests: &[Request]) -> bool {
    check(requests, 0).is_ok()
}

#[test]
fn a_read_sees_the_last_write_before_it_or_one_beside_it() {
    assert!(holds(&[]));
    assert!(holds(&[put(1, 1, 2), read(1, 3, 4)]));
    assert!(!holds(&[put(1, 1, 2), read(0, 3, 4)]));
    assert!(holds(&[put(1, 1, 5), read(0, 2, 3)]));
    assert!(holds(&[put(1, 1, 5), read(1, 2, 3)]));
    assert!(!holds(&[put(1, 1, 9), read(1, 2, 3), read(0, 4, 5)]));
    assert!(!holds(&[put(1, 1, 2), put(2, 3, 4), read(1, 5, 6)]));
}

#[test]
fn what_concerns_several_keys_counts_for_each() {
    let both = request(Question::PutTwo(1), 1, Fate::Answered(2, Answer::Done(0)));
    let all = |values| request(Question::ReadAll, 3, Fate::Answered(4, Answer::All(values, 0)));
    for (values, broken) in [([1, 1, 0, 0], None), ([1, 0, 0, 0], Some(1)), ([0, 1, 0, 0], Some(0))]
    {
        let requests = [both.clone(), all(values)];
        let found = (0..4).find(|key| check(&requests, *key).is_err());
        assert_eq!(found, broken, "{values:?}");
    }
    assert!(check(&[both, all([1, 1, 7, 0])], 2).is_err(), "nobody wrote 7");
}

#[test]
fn an_unknown_write_may_happen_late_or_never_but_only_once() {
    let unknown = |value| request(Question::Put(value), 1, Fate::Unknown);
    assert!(holds(&[unknown(1), read(0, 2, 3), read(1, 4, 5)]));
    assert!(holds(&[unknown(1), read(0, 2, 3)]));
    assert!(!holds(&[unknown(1), read(1, 2, 3), put(2, 4, 5), read(1, 6, 7)]));
}

#[test]
fn swaps_and_deletes_tell_what_they_found() {
    let swap = |old, new, asked, told| {
        request(Question::Swap(old, new), asked, Fate::Answered(told, Answer::Done(0)))
    };
    let delete =
        |answer, asked, told| request(Question::Delete, asked, Fate::Answered(told, answer));
    assert!(holds(&[put(1, 1, 2), swap(1, 2, 3, 4), read(2, 5, 6)]));
    assert!(!holds(&[put(1, 1, 2), swap(1, 2, 3, 4), swap(1, 3, 5, 6)]));
    assert!(holds(&[put(1, 1, 2), delete(Answer::Removed(1, 0), 3, 4), read(0, 5, 6)]));
    assert!(!holds(&[put(1, 1, 2), delete(Answer::Nothing, 3, 4)]));
    assert!(!holds(&[put(1, 1, 2), delete(Answer::Removed(2, 0), 3, 4)]));
}

/// Tries every order that time allows.
fn by_force(spans: &[Span], done: u32, value: Value) -> bool {
    let open = |at: &usize| done >> at & 1 == 0;
    if (0..spans.len()).filter(open).all(|at| spans[at].to.is_none()) {
        return true;
    }
    (0..spans.len()).filter(open).any(|at| {
        let first = (0..spans.len())
            .filter(open)
            .all(|other| other == at || spans[other].to.is_none_or(|to| to >= spans[at].from));
        first
            && spans[at].deed.on(value).is_some_and(|value| by_force(spans, done | 1 << at, value))
    })
}

#[test]
fn agrees_with_trying_all_orders() {
    let mut random = Random::new(11);
    let (mut yes, mut no) = (0, 0);
    for _ in 0..3000 {
        let requests: Vec<Request> = (0..7)
            .map(|n| {
                let asked = random.below(14);
                let told = asked + 1 + random.below(6);
                let value = random.below(4);
                match random.below(6) {
                    0 | 1 => put(n + 1, asked, told),
                    2 => request(Question::Put(n + 1), asked, Fate::Unknown),
                    3 => request(
                        Question::Swap(value, n + 1),
                        asked,
                        Fate::Answered(told, Answer::Done(0)),
                    ),
                    _ => read(value, asked, told),
                }
            })
            .collect();
        let expected = by_force(&spans(&requests, 0), 0, 0);
        assert_eq!(holds(&requests), expected, "{requests:#?}");
        if expected { yes += 1 } else { no += 1 }
    }
    assert!(yes > 200 && no > 200, "{yes} yes, {no} no");
}
