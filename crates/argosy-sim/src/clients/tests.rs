//! Answers that are as they must be, and some that are not.

use argosy_kv::State;

use super::*;
use crate::client::read;

const CALM: Manners = Manners { pace: (0, 0), patience: 0 };

/// One client that asks one thing, of a store to which these have been done before.
struct Asked {
    clients: Clients,
    log: Log,
    state: State,
}

fn moment(event: u64) -> Moment {
    Moment { event, at: event }
}

fn after(done: &[(u64, Question)]) -> Asked {
    let mut random = Random::new(1);
    let mut clients = Clients::new(CALM);
    clients.add(1, &mut random);
    let (mut log, mut state) = (Log::default(), State::new());
    for ((key, question), index) in done.iter().zip(1..) {
        let command = question.command(*key).expect("a write");
        let applied = state.apply(index, 1, &command);
        let response = Some(&applied.response);
        log.applied(0, index - 1, (index, 1), &applied.events, response).expect("the first");
    }
    Asked { clients, log, state }
}

impl Asked {
    /// Asks, and hears an answer.
    fn hears(&mut self, key: u64, question: Question, answer: Answer) -> Result<(), Violation> {
        let mut random = Random::new(1);
        let event = 10 * (self.clients.requests.len() as u64 + 1);
        let request = self.clients.ask(0, 1, &self.log, &mut random, moment(event));
        let asked = &mut self.clients.requests[request];
        (asked.key, asked.question) = (key, question);
        let (fate, heard) = (Fate::Answered(0, answer), moment(event + 1));
        self.clients.hear(request, fate, 1, &mut random, heard).expect("it waits");
        self.clients.check_answer(request, 1, &self.log, heard)
    }

    fn reads(&self, key: u64, question: Question) -> Answer {
        let mut asked = self.clients.requests.last().cloned().expect("something was asked");
        (asked.key, asked.question) = (key, question);
        read(&self.state, &asked)
    }
}

#[test]
fn what_a_state_says_is_true() {
    let mut asked = after(&[(0, Question::Put(5)), (3, Question::PutTwo(6))]);
    assert_eq!(asked.hears(3, Question::Read, Answer::Is(6, 3)), Ok(()));
    let all = asked.reads(0, Question::ReadAll);
    assert_eq!(all, Answer::All([6, 0, 0, 6], 3));
    assert_eq!(asked.hears(0, Question::ReadAll, all), Ok(()));
}

#[test]
fn a_value_that_its_revision_does_not_have_is_untrue() {
    let mut asked = after(&[(0, Question::Put(5)), (0, Question::Put(6))]);
    let wrong = [
        (Question::Read, Answer::Is(5, 3)),
        (Question::ReadLocal, Answer::Is(6, 2)),
        (Question::ReadAll, Answer::All([6, 6, 0, 0], 3)),
    ];
    for (question, answer) in wrong {
        let found = asked.hears(0, question, answer);
        assert!(matches!(found, Err(Violation::Untrue { .. })), "{question:?}: {found:?}");
    }
}

#[test]
fn an_acknowledged_write_of_two_keys_is_in_both() {
    let mut asked = after(&[(0, Question::Put(5)), (0, Question::PutTwo(6))]);
    assert_eq!(asked.hears(0, Question::PutTwo(6), Answer::Done(3)), Ok(()));
    let found = asked.hears(0, Question::PutTwo(5), Answer::Done(2));
    assert!(matches!(found, Err(Violation::Stale { .. })), "{found:?}");
    let mut asked = after(&[(0, Question::Put(5))]);
    let found = asked.hears(0, Question::PutTwo(5), Answer::Done(2));
    assert!(matches!(found, Err(Violation::AcknowledgedLost { .. })), "{found:?}");
}

#[test]
fn own_reads_of_a_member_may_be_old_but_not_go_back() {
    let mut asked = after(&[(0, Question::Put(5)), (0, Question::Put(6))]);
    assert_eq!(asked.hears(0, Question::Read, Answer::Is(6, 3)), Ok(()));
    assert_eq!(asked.hears(0, Question::ReadLocal, Answer::Is(5, 2)), Ok(()));
    assert_eq!(asked.hears(0, Question::ReadLocal, Answer::Is(6, 3)), Ok(()));
    let found = asked.hears(0, Question::ReadLocal, Answer::Is(5, 2));
    assert!(matches!(found, Err(Violation::WentBack { .. })), "{found:?}");
}
