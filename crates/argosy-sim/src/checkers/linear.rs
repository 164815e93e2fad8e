//! Linearizability of the requests for one key (Wing and Gong 1993, in Lowe's form of 2017:
//! depth first over the orders that time allows, each set of done requests and value once).

use std::collections::BTreeSet;

use super::Violation;
use crate::client::{Answer, Fate, Question, Request, Value};

/// What a request did to the key, if its answer is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Write(Value),
    Swap(Value, Value),
    See(Value),
    /// Removed what was there, if anything.
    Clear,
}

impl Deed {
    /// Returns the value after it; `None` when it is not possible there.
    fn on(self, value: Value) -> Option<Value> {
        match self {
            Deed::Write(new) => Some(new),
            Deed::Swap(old, new) => (value == old).then_some(new),
            Deed::See(seen) => (value == seen).then_some(value),
            Deed::Clear => Some(0),
        }
    }

    fn observed(self) -> Option<Value> {
        match self {
            Deed::Swap(seen, _) | Deed::See(seen) => Some(seen),
            Deed::Write(_) | Deed::Clear => None,
        }
    }
}

/// A deed between two moments; without an end if nobody knows whether it happened.
#[derive(Debug, Clone, Copy)]
struct Span {
    deed: Deed,
    from: u64,
    to: Option<u64>,
    request: usize,
}

/// Checks the requests for a key.
pub(crate) fn check(requests: &[Request], key: u64) -> Result<(), Violation> {
    let spans = spans(requests, key);
    match Search::new(&spans).run() {
        None => Ok(()),
        Some(furthest) => Err(Violation::NotLinearizable {
            key,
            requests: spans.len(),
            last: format!("{:?}", requests[spans[furthest].request]),
        }),
    }
}

fn spans(requests: &[Request], key: u64) -> Vec<Span> {
    let of_key = |(_, request): &(usize, &Request)| request.concerns(key);
    let mut spans: Vec<Span> = requests
        .iter()
        .enumerate()
        .filter(of_key)
        .filter_map(|(at, request)| {
            let (deed, to) = match request.fate {
                Fate::Answered(at, answer) => (answered(request.question, answer, key)?, Some(at)),
                Fate::Unknown | Fate::Waiting => (unknown(request.question)?, None),
                Fate::Never => return None,
            };
            Some(Span { deed, from: request.asked, to, request: at })
        })
        .collect();
    let observed: BTreeSet<Value> = spans.iter().filter_map(|span| span.deed.observed()).collect();
    // A write of unknown outcome whose value nobody saw can be left out of any order: nothing
    // that stands between it and the next write could have told the difference.
    spans.retain(|span| match (span.to, span.deed) {
        (None, Deed::Write(new) | Deed::Swap(_, new)) => observed.contains(&new),
        _ => true,
    });
    spans
}

fn answered(question: Question, answer: Answer, key: u64) -> Option<Deed> {
    match (question, answer) {
        (Question::Put(value) | Question::PutTwo(value), Answer::Done(_)) => {
            Some(Deed::Write(value))
        }
        (Question::ReadAll, Answer::All(values, _)) => {
            values.get(usize::try_from(key).ok()?).map(|value| Deed::See(*value))
        }
        (Question::Delete, Answer::Removed(value, _)) => Some(Deed::Swap(value, 0)),
        (Question::Delete, Answer::Nothing) => Some(Deed::See(0)),
        (Question::Swap(old, new), Answer::Done(_)) => Some(Deed::Swap(old, new)),
        (Question::Swap(..) | Question::Read, Answer::Is(value, _)) => Some(Deed::See(value)),
        _ => None,
    }
}

fn unknown(question: Question) -> Option<Deed> {
    match question {
        Question::Put(value) | Question::PutTwo(value) => Some(Deed::Write(value)),
        Question::Delete => Some(Deed::Clear),
        Question::Swap(old, new) => Some(Deed::Swap(old, new)),
        Question::Read | Question::ReadAll | Question::ReadLocal | Question::Compact(_) => None,
    }
}

/// A beginning or an end of a span, in a list ordered by time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    span: usize,
    /// The moment of the span's end; `None` in an end itself and where there is none.
    end: Option<usize>,
    is_end: bool,
    next: usize,
    before: usize,
}

struct Search<'a> {
    spans: &'a [Span],
    /// A linked list; 0 is its head.
    moments: Vec<Moment>,
    ends_left: usize,
    done: Vec<u64>,
    value: Value,
    known: BTreeSet<(Vec<u64>, Value)>,
    taken: Vec<(usize, Value)>,
}

impl<'a> Search<'a> {
    fn new(spans: &'a [Span]) -> Self {
        let begins = spans.iter().enumerate().map(|(at, span)| (span.from, false, at));
        let ends = spans.iter().enumerate().filter_map(|(at, span)| Some((span.to?, true, at)));
        let mut order: Vec<_> = begins.chain(ends).collect();
        order.sort_unstable();
        let length = order.len() + 1;
        let head =
            Moment { span: 0, end: None, is_end: false, next: 1 % length, before: length - 1 };
        let mut moments = vec![head];
        let mut begin_of = vec![0; spans.len()];
        for (at, (_, is_end, span)) in order.into_iter().enumerate() {
            let place = at + 1;
            let next = (place + 1) % length;
            moments.push(Moment { span, end: None, is_end, next, before: place - 1 });
            if is_end {
                moments[begin_of[span]].end = Some(place);
            } else {
                begin_of[span] = place;
            }
        }
        let ends_left = spans.iter().filter(|span| span.to.is_some()).count();
        Self {
            spans,
            moments,
            ends_left,
            done: vec![0; spans.len().div_ceil(64)],
            value: 0,
            known: BTreeSet::new(),
            taken: Vec::new(),
        }
    }

    /// Returns the span at which the longest order got stuck; `None` when one is complete.
    fn run(mut self) -> Option<usize> {
        let mut at = self.moments[0].next;
        let (mut furthest, mut longest) = (0, 0);
        while self.ends_left > 0 {
            let moment = self.moments[at];
            if !moment.is_end && self.take(at) {
                at = self.moments[0].next;
                continue;
            }
            if !moment.is_end {
                at = moment.next;
                continue;
            }
            // This span had to be done by now: something before it was taken wrongly.
            if self.taken.len() >= longest {
                (furthest, longest) = (moment.span, self.taken.len());
            }
            let Some((place, value)) = self.taken.pop() else { return Some(furthest) };
            self.put_back(place);
            self.value = value;
            at = self.moments[place].next;
        }
        None
    }

    /// Does the deed that begins at a moment, if it is possible and leads to something new.
    fn take(&mut self, at: usize) -> bool {
        let span = self.moments[at].span;
        let Some(value) = self.spans[span].deed.on(self.value) else { return false };
        self.done[span / 64] |= 1 << (span % 64);
        if !self.known.insert((self.done.clone(), value)) {
            self.done[span / 64] &= !(1 << (span % 64));
            return false;
        }
        self.taken.push((at, self.value));
        self.value = value;
        self.unlink(at);
        if let Some(end) = self.moments[at].end {
            self.unlink(end);
            self.ends_left -= 1;
        }
        true
    }

    fn put_back(&mut self, at: usize) {
        let span = self.moments[at].span;
        self.done[span / 64] &= !(1 << (span % 64));
        if let Some(end) = self.moments[at].end {
            self.link(end);
            self.ends_left += 1;
        }
        self.link(at);
    }

    fn unlink(&mut self, at: usize) {
        let Moment { next, before, .. } = self.moments[at];
        self.moments[before].next = next;
        self.moments[next].before = before;
    }

    /// Undoes the unlinking of a moment; must run in the opposite order.
    fn link(&mut self, at: usize) {
        let Moment { next, before, .. } = self.moments[at];
        self.moments[before].next = at;
        self.moments[next].before = at;
    }
}

#[cfg(test)]
mod tests;
