//! What leads to a grant, and what does not.

use super::super::Sign;
use super::*;
use crate::timing::Preset;

const LEADER: u64 = 1;
const TERM: Term = Term(7);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn machine(number: u128) -> MachineId {
    MachineId(number)
}

/// A leader of three, and what it does.
struct Stand {
    granter: Granter,
    voters: BTreeSet<u64>,
    outgoing: BTreeSet<u64>,
    own_term: Term,
    now: Duration,
}

impl Stand {
    fn new() -> Stand {
        let mut stand = Stand {
            granter: Granter::new(LEADER, Timing::of(Preset::Lan)),
            voters: BTreeSet::from([1, 2, 3]),
            outgoing: BTreeSet::new(),
            own_term: TERM,
            now: ms(1_000),
        };
        stand.event(GranterEvent::Leadership(Some(TERM)));
        stand.eligible(&[(machine(1), 4), (machine(2), 4)]);
        stand
    }

    fn eligible(&mut self, who: &[(MachineId, u64)]) {
        let who = who.iter().map(|(machine, seen)| (*machine, right(*seen))).collect();
        self.granter.set_eligible(TERM, who);
    }

    fn event(&mut self, event: GranterEvent) -> Vec<GranterEffect> {
        self.now += ms(1);
        let voters =
            Voters { all: &self.voters, outgoing: &self.outgoing, own_term: self.own_term };
        self.granter.handle(event, voters, self.now)
    }

    fn beat(&mut self, who: u128, number: u64) -> Vec<GranterEffect> {
        let beat = Beat { number, generation: Generation(4), long: false };
        self.event(GranterEvent::Beat { machine: machine(who), beat })
    }

    fn sign(&self, who: u128) -> Option<Sign> {
        self.granter.signs().of(machine(who)).copied()
    }

    fn answer(&mut self, voter: u64, round: u64, term: Term) -> Vec<GranterEffect> {
        self.event(GranterEvent::Answer { voter, round, term })
    }
}

fn ask(round: u64) -> GranterEffect {
    GranterEffect::Ask { voters: vec![2, 3], round, term: TERM }
}

fn right(seen: u64) -> Right {
    Right { seen: Generation(seen), long: false }
}

fn grant(who: u128, number: u64) -> GranterEffect {
    granted(who, Grant { number, term: TERM, long: false })
}

fn granted(who: u128, grant: Grant) -> GranterEffect {
    GranterEffect::Grant { machine: machine(who), grant }
}

#[test]
fn a_beat_is_granted_by_a_quorum_of_a_round_begun_after_it() {
    let mut stand = Stand::new();
    assert_eq!(stand.beat(1, 1), [ask(1)]);
    // It came after the round began, so it waits for the next.
    assert_eq!(stand.beat(2, 1), []);
    assert_eq!(stand.answer(3, 1, TERM), [grant(1, 1), ask(2)]);
    assert_eq!(stand.answer(2, 1, TERM), [], "an answer to an earlier round");
    assert_eq!(stand.answer(2, 2, TERM), [grant(2, 1)]);
    assert_eq!(stand.sign(2).unwrap().granted_at, stand.now);
}

#[test]
fn a_voter_of_another_term_confirms_nothing() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    assert_eq!(stand.answer(2, 1, Term(8)), []);
    assert_eq!(stand.answer(3, 1, Term(6)), []);
    assert_eq!(stand.answer(9, 1, TERM), [], "no voter");
    assert_eq!(stand.answer(3, 1, TERM), [grant(1, 1)]);
}

#[test]
fn a_member_that_knows_of_a_later_term_grants_nothing() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    stand.own_term = Term(8);
    assert_eq!(stand.answer(3, 1, TERM), []);
    assert_eq!(stand.answer(2, 1, TERM), []);
    assert_eq!(stand.beat(1, 2), []);
}

#[test]
fn who_was_left_out_meanwhile_is_not_granted() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    stand.eligible(&[(machine(2), 4)]);
    assert_eq!(stand.answer(3, 1, TERM), []);
    let sign = stand.sign(1).unwrap();
    assert_eq!((sign.beat_at, sign.granted_at), (ms(1_002), Duration::ZERO));
    assert_eq!(stand.beat(1, 2), [], "not worth a round");
}

#[test]
fn a_machine_that_has_not_seen_its_assignment_is_not_granted() {
    let mut stand = Stand::new();
    stand.eligible(&[(machine(1), 5)]);
    assert_eq!(stand.beat(1, 1), []);
    let beat = Beat { number: 2, generation: Generation(5), long: false };
    let event = GranterEvent::Beat { machine: machine(1), beat };
    assert_eq!(stand.event(event), [ask(1)]);
}

#[test]
fn a_long_grant_needs_the_right_to_one_when_it_is_sent() {
    let mut stand = Stand::new();
    let who = |long| BTreeMap::from([(machine(1), Right { long, ..right(4) })]);
    let beat = |number| Beat { number, generation: Generation(4), long: true };
    let asked = |number| GranterEvent::Beat { machine: machine(1), beat: beat(number) };
    stand.event(asked(1));
    assert!(stand.sign(1).unwrap().asks_long && !stand.granter.may_grant(machine(1), beat(1)));
    assert_eq!(stand.answer(2, 1, TERM), [grant(1, 1)], "an ordinary one meanwhile");
    assert_eq!(stand.sign(1).unwrap().long_granted_at, Duration::ZERO);
    stand.granter.set_eligible(TERM, who(true));
    stand.event(asked(2));
    let long = granted(1, Grant { number: 2, term: TERM, long: true });
    assert_eq!(stand.answer(2, 2, TERM), [long]);
    let sent_at = stand.now;
    assert_eq!(stand.sign(1).unwrap().long_granted_at, sent_at);
    // The right goes while a round is under way.
    stand.event(asked(3));
    stand.granter.set_eligible(TERM, who(false));
    assert_eq!(stand.answer(2, 3, TERM), [grant(1, 3)]);
    assert_eq!(stand.sign(1).unwrap().long_granted_at, sent_at);
    // Who does not ask gets an ordinary one.
    stand.granter.set_eligible(TERM, who(true));
    stand.beat(1, 4);
    assert_eq!(stand.answer(2, 4, TERM), [grant(1, 4)]);
    assert!(!stand.sign(1).unwrap().asks_long);
}

#[test]
fn a_round_without_a_quorum_is_asked_anew() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    assert_eq!(stand.granter.wake_at(), Some(stand.now + ms(100)));
    stand.now += ms(100);
    assert_eq!(stand.event(GranterEvent::Tick), [ask(2)]);
    assert_eq!(stand.answer(2, 1, TERM), [], "too late");
    assert_eq!(stand.answer(2, 2, TERM), [grant(1, 1)]);
}

#[test]
fn the_only_voter_needs_nobody() {
    let mut stand = Stand::new();
    stand.voters = BTreeSet::from([LEADER]);
    assert_eq!(stand.beat(1, 1), [grant(1, 1)]);
}

#[test]
fn while_the_voters_change_a_majority_before_and_one_after_must_confirm() {
    // Four and five come to one, two and three: either pair could elect with one of the others.
    let mut stand = Stand::new();
    stand.voters = BTreeSet::from([1, 2, 3, 4, 5]);
    stand.outgoing = BTreeSet::from([1, 2, 3]);
    stand.beat(1, 1);
    assert_eq!(stand.answer(4, 1, TERM), []);
    assert_eq!(stand.answer(5, 1, TERM), [], "a majority of the five, not of the three");
    assert_eq!(stand.answer(2, 1, TERM), [grant(1, 1)]);

    // The other way round: those before go.
    stand.voters = BTreeSet::from([1, 4, 5]);
    stand.beat(1, 2);
    assert_eq!(stand.answer(2, 2, TERM), [], "a majority of those before, not of those after");
    assert_eq!(stand.answer(3, 2, TERM), []);
    assert_eq!(stand.answer(9, 2, TERM), [], "nobody's vote");
    assert_eq!(stand.answer(5, 2, TERM), [grant(1, 2)]);
}

#[test]
fn a_follower_hears_nothing_and_a_new_term_begins_anew() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    stand.event(GranterEvent::Leadership(None));
    assert_eq!(stand.answer(2, 1, TERM), []);
    assert_eq!(stand.beat(1, 2), []);
    assert!(stand.sign(1).is_none());
    stand.event(GranterEvent::Leadership(Some(Term(8))));
    stand.own_term = Term(8);
    // Said for the term before.
    stand.eligible(&[(machine(1), 4)]);
    assert_eq!(stand.beat(1, 3), []);
    assert_eq!(stand.sign(1).unwrap().beat_at, stand.now);
}

#[test]
fn a_beat_that_came_before_its_machine_may_be_granted_is_asked_for_at_once() {
    let mut stand = Stand::new();
    stand.event(GranterEvent::Leadership(Some(Term(8))));
    stand.own_term = Term(8);
    stand.beat(1, 1);
    stand.beat(2, 1);
    stand.beat(2, 2);
    assert_eq!(stand.granter.wake_at(), Some(stand.now + ms(100)), "nobody may be granted");
    let who = BTreeMap::from([(machine(1), right(5)), (machine(2), right(4))]);
    stand.granter.set_eligible(Term(8), who);
    assert_eq!(stand.granter.wake_at(), Some(stand.now));
    let ask = GranterEffect::Ask { voters: vec![2, 3], round: 1, term: Term(8) };
    assert_eq!(stand.event(GranterEvent::Tick), [ask]);
    // The other one has not seen its assignment.
    let grant = granted(2, Grant { number: 2, term: Term(8), long: false });
    assert_eq!(stand.answer(2, 1, Term(8)), [grant]);
    assert_eq!(stand.granter.wake_at(), Some(stand.now + ms(100)));
}

#[test]
fn beats_that_nobody_looks_at_are_not_copied() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    let before = Arc::as_ptr(stand.granter.signs());
    stand.beat(1, 2);
    assert_eq!(Arc::as_ptr(stand.granter.signs()), before);
    let kept = Arc::clone(stand.granter.signs());
    stand.beat(1, 3);
    assert!(kept.of(machine(1)).unwrap().beat_at < stand.sign(1).unwrap().beat_at);
}

#[test]
fn a_leader_that_went_on_counts_silence_anew() {
    let mut stand = Stand::new();
    stand.beat(1, 1);
    let last = stand.sign(1).unwrap().beat_at;
    let timing = Timing::of(Preset::Lan);
    stand.now += ms(5_000);
    assert!(!stand.granter.signs().is_listening(&timing, stand.now));
    stand.event(GranterEvent::Tick);
    assert!(stand.granter.signs().is_listening(&timing, stand.now));
    assert_eq!(stand.granter.signs().silent_since(last), stand.now);
}
