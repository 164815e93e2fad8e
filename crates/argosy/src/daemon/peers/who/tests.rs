//! Tests of who is told what: by example, and for whatever order of events.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MACHINES: u128 = 6;

fn machine(number: u128) -> MachineId {
    MachineId(number)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn digest(number: u8) -> Digest {
    Digest::sha256(&[number])
}

fn blob(number: u8) -> Sought {
    Sought::Blob(digest(number))
}

fn all(count: u128) -> BTreeMap<MachineId, Option<String>> {
    (1..=count).map(|number| (machine(number), None)).collect()
}

/// A leader that has led for a while.
fn who(count: u128) -> Who {
    let mut who = Who::new(at(0));
    who.see(all(count));
    who
}

fn ask(who: &mut Who, asker: u128, number: u8, now: u64) -> Answer {
    who.ask(machine(asker), &blob(number), &BTreeSet::new(), at(now))
}

/// A machine that says what it has.
fn whole(held: &[u8]) -> News {
    News { whole: true, held: held.iter().map(|it| digest(*it)).collect(), ..News::default() }
}

fn wait_for(number: u128) -> Answer {
    Answer::Wait(Some(machine(number)))
}

#[test]
fn one_brings_it_and_the_others_get_it_from_that_one() {
    let mut who = who(3);
    assert_eq!(ask(&mut who, 1, 0, 10), Answer::Yours);
    assert_eq!(ask(&mut who, 1, 0, 10), Answer::Yours, "asking again changes nothing");
    assert_eq!(ask(&mut who, 2, 0, 11), wait_for(1));
    let done = News { ended: vec![blob(0)], ..whole(&[0]) };
    who.hear(machine(1), done, at(12)).unwrap();
    assert_eq!(ask(&mut who, 2, 0, 12), Answer::At(vec![machine(1)]));
    let next = News { number: 1, held: vec![digest(0)], ended: vec![blob(0)], ..News::default() };
    assert_eq!(who.hear(machine(2), next, at(13)), Err(Unheard), "nothing was heard before");
    who.hear(machine(2), whole(&[0]), at(13)).unwrap();
    // The first still counts as serving the second, which has not said that it is done.
    assert_eq!(ask(&mut who, 3, 0, 13), Answer::At(vec![machine(2), machine(1)]));
}

#[test]
fn whoever_fails_or_is_lost_or_says_nothing_is_followed_by_another() {
    let mut who = who(3);
    assert_eq!(ask(&mut who, 1, 0, 10), Answer::Yours);
    who.hear(machine(1), News { ended: vec![blob(0)], ..whole(&[]) }, at(11)).unwrap();
    assert_eq!(ask(&mut who, 2, 0, 11), Answer::Yours);
    assert!(who.see(BTreeMap::from([(machine(1), None), (machine(3), None)])));
    assert_eq!(ask(&mut who, 3, 0, 12), Answer::Yours);
    assert_eq!(ask(&mut who, 1, 0, 26), wait_for(3));
    assert_eq!(ask(&mut who, 1, 0, 27), Answer::Yours);
    // The one that was silent has lost it, and says so in vain.
    who.hear(machine(3), whole(&[]), at(28)).unwrap();
    let late = News { number: 1, under_way: vec![(blob(0), Origin::Registry)], ..News::default() };
    who.hear(machine(3), late, at(28)).unwrap();
    assert_eq!(who.bringing(&blob(0)), Some(machine(1)));
    // The one that makes progress keeps it.
    who.hear(machine(1), whole(&[]), at(40)).unwrap();
    let going_on = News { whole: true, under_way: vec![(blob(0), Origin::Registry)], ..whole(&[]) };
    who.hear(machine(1), going_on, at(41)).unwrap();
    assert_eq!(ask(&mut who, 3, 0, 55), wait_for(1));
}

#[test]
fn the_near_and_the_idle_are_asked_first_and_nobody_too_often() {
    let mut who = Who::new(at(0));
    let zone = |zone: &str| Some(zone.to_owned());
    let mut machines: BTreeMap<_, _> = (1..=40).map(|it| (machine(it), zone("b"))).collect();
    machines.insert(machine(1), zone("a"));
    machines.insert(machine(2), zone("a"));
    who.see(machines);
    who.hear(machine(1), whole(&[0]), at(5)).unwrap();
    who.hear(machine(3), whole(&[0]), at(5)).unwrap();
    assert_eq!(ask(&mut who, 2, 0, 5), Answer::At(vec![machine(1), machine(3)]), "same zone");
    let mut first = BTreeMap::new();
    for asker in 10..40 {
        match ask(&mut who, asker, 0, 5) {
            Answer::At(machines) => *first.entry(machines[0]).or_insert(0) += 1,
            answer => assert!(matches!(answer, Answer::Wait(Some(_))), "{answer:?}"),
        }
    }
    // With the second machine's, each serves as many as it may.
    assert_eq!(first, BTreeMap::from([(machine(1), SERVES_MAX - 1), (machine(3), SERVES_MAX)]));
    let mine = BTreeSet::from([machine(1), machine(3)]);
    assert_eq!(who.ask(machine(2), &blob(0), &mine, at(5)), Answer::Yours, "both failed it");
}

#[test]
fn a_name_means_what_the_registry_said_last() {
    let mut who = who(3);
    let name: Reference = "app:1".parse().unwrap();
    let sought = Sought::Name(name.clone());
    let none = BTreeSet::new();
    assert_eq!(who.ask(machine(1), &sought, &none, at(5)), Answer::Yours);
    assert_eq!(who.ask(machine(2), &sought, &none, at(5)), wait_for(1));
    for (number, pulled) in [(1, 100), (2, 300), (3, 200)] {
        let named = Named { digest: digest(u8::try_from(pulled / 100).unwrap()), pulled };
        let news = News { names: vec![(name.clone(), named)], ..whole(&[]) };
        who.hear(machine(number), news, at(6)).unwrap();
    }
    let Answer::Named(named) = who.ask(machine(3), &sought, &none, at(6)) else { panic!() };
    assert_eq!((named.digest, named.pulled), (digest(3), 300));
    let news = News { number: 1, names_gone: vec![name.clone()], ..News::default() };
    who.hear(machine(2), news, at(7)).unwrap();
    let Answer::Named(named) = who.ask(machine(3), &sought, &none, at(7)) else { panic!() };
    assert_eq!(named.pulled, 100, "its own word it knows");
}

#[test]
fn a_machine_that_was_lost_says_all_of_it_again() {
    let mut who = who(2);
    who.hear(machine(1), whole(&[0]), at(5)).unwrap();
    who.see(BTreeMap::from([(machine(2), None)]));
    assert_eq!(ask(&mut who, 2, 0, 5), Answer::Yours, "nobody else is there");
    who.see(all(2));
    let nothing_new = News { number: 1, ..News::default() };
    assert_eq!(who.hear(machine(1), nothing_new, at(6)), Err(Unheard));
    who.hear(machine(1), News { number: 2, ..whole(&[0]) }, at(6)).unwrap();
    assert_eq!(ask(&mut who, 2, 0, 6), Answer::At(vec![machine(1)]));
}

#[test]
fn a_new_leader_first_hears_what_there_is() {
    let mut who = who(2);
    assert_eq!(ask(&mut who, 1, 0, 1), Answer::Wait(None));
    assert_eq!(ask(&mut who, 1, 0, 2), Answer::Yours);
    assert_eq!(ask(&mut who, 9, 0, 2), Answer::Nobody, "a machine that is not known");
}

#[test]
fn a_layer_is_everywhere_after_as_many_rounds_as_machines_have_digits_to_the_base_of_nine() {
    // Who has it gives it to eight others in each round, and they to eight more.
    for (count, rounds_max) in [(9, 1), (81, 2), (256, 3)] {
        let mut who = who(count);
        who.hear(machine(1), whole(&[0]), at(5)).unwrap();
        let mut missing: BTreeSet<u128> = (2..=count).collect();
        for _ in 0..rounds_max {
            let mut told = |asker: &u128| matches!(ask(&mut who, *asker, 0, 5), Answer::At(_));
            let done: Vec<u128> = missing.iter().copied().filter(|asker| told(asker)).collect();
            for number in done {
                let news = News { ended: vec![blob(0)], ..whole(&[0]) };
                who.hear(machine(number), news, at(5)).unwrap();
                missing.remove(&number);
            }
        }
        assert!(missing.is_empty(), "{} of {count} have nothing yet", missing.len());
    }
}

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        asker: u128,
        what: u8,
        without: Vec<u128>,
    },
    /// It has brought it, or not.
    End {
        machine: u128,
        what: u8,
        has: bool,
    },
    /// It says that it makes progress, from the registry or a machine.
    Progress {
        machine: u128,
        what: u8,
        from: Option<u128>,
    },
    Lose {
        machine: u128,
    },
    Later {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (machine, what) = (1..=MACHINES, 0..3_u8);
    prop_oneof![
        8 => (machine.clone(), what.clone(), vec(machine.clone(), 0..3))
            .prop_map(|(asker, what, without)| Step::Ask { asker, what, without }),
        3 => (machine.clone(), what.clone(), any::<bool>())
            .prop_map(|(machine, what, has)| Step::End { machine, what, has }),
        2 => (machine.clone(), what, proptest::option::of(machine.clone()))
            .prop_map(|(machine, what, from)| Step::Progress { machine, what, from }),
        1 => machine.prop_map(|machine| Step::Lose { machine }),
        2 => (1..12_u64).prop_map(|seconds| Step::Later { seconds }),
    ]
}

/// A machine and its news, numbered as they must be.
#[derive(Default)]
struct Speaker(BTreeMap<u128, u64>);

impl Speaker {
    fn say(&mut self, who: &mut Who, number: u128, news: News, now: Duration) {
        let (count, whole) = match self.0.get(&number) {
            Some(count) => (count + 1, false),
            None => (0, true),
        };
        let said = who.hear(machine(number), News { number: count, whole, ..news }, now);
        if said.is_ok() {
            self.0.insert(number, count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn never_two_bring_the_same_unless_a_claim_ran_out(steps in vec(step(), 1..120)) {
        let (mut who, mut now, mut speaker) = (who(MACHINES), at(100), Speaker::default());
        let mut there = all(MACHINES);
        // Who has been told to bring what, and how long that holds.
        let mut claims: BTreeMap<(u8, u128), Duration> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Ask { asker, what, without } => {
                    let without: BTreeSet<MachineId> = without.into_iter().map(machine).collect();
                    let answer = who.ask(machine(asker), &blob(what), &without, now);
                    prop_assert_eq!(there.contains_key(&machine(asker)), answer != Answer::Nobody);
                    match answer {
                        Answer::Yours => {
                            let other = claims.iter().find(|((claimed, by), until)| {
                                *claimed == what && *by != asker && **until > now
                            });
                            prop_assert!(other.is_none(), "{other:?} and {asker}");
                            claims.insert((what, asker), now + CLAIM);
                        }
                        Answer::At(machines) => {
                            prop_assert!(!machines.is_empty() && machines.len() <= OFFERED_MAX);
                            for offered in machines {
                                prop_assert!(there.contains_key(&offered));
                                prop_assert!(!without.contains(&offered));
                                prop_assert!(offered != machine(asker));
                            }
                            claims.remove(&(what, asker));
                        }
                        _ => drop(claims.remove(&(what, asker))),
                    }
                    prop_assert!(who.loads().values().all(|load| *load <= SERVES_MAX));
                }
                Step::End { machine, what, has } => {
                    let held = if has { vec![digest(what)] } else { Vec::new() };
                    let news = News { held, ended: vec![blob(what)], ..News::default() };
                    speaker.say(&mut who, machine, news, now);
                    if there.contains_key(&MachineId(machine)) {
                        claims.remove(&(what, machine));
                    }
                }
                Step::Progress { machine, what, from } => {
                    let origin = match from {
                        // Nobody goes on with the registry who was not told to.
                        None if !claims.contains_key(&(what, machine)) => continue,
                        None => Origin::Registry,
                        Some(_) if claims.contains_key(&(what, machine)) => continue,
                        Some(from) if from == machine => continue,
                        Some(_) if who.loads().values().any(|load| *load >= SERVES_MAX) => continue,
                        Some(from) => Origin::Machine(MachineId(from)),
                    };
                    let news =
                        News { under_way: vec![(blob(what), origin)], ..News::default() };
                    let before = who.bringing(&blob(what));
                    speaker.say(&mut who, machine, news, now);
                    let holds = who.bringing(&blob(what)) == Some(MachineId(machine));
                    if origin == Origin::Registry && holds {
                        claims.insert((what, machine), now + CLAIM);
                    }
                    let taken = before.is_some_and(|before| {
                        let until = claims.iter().find(|((claimed, by), _)| {
                            *claimed == what && MachineId(*by) == before
                        });
                        before != MachineId(machine)
                            && who.bringing(&blob(what)) != Some(before)
                            && until.is_some_and(|(_, until)| *until > now)
                    });
                    prop_assert!(!taken, "nobody takes it from the one who has it");
                }
                Step::Lose { machine } if there.len() > 1 => {
                    there.remove(&MachineId(machine));
                    who.see(there.clone());
                    claims.retain(|(_, by), _| *by != machine);
                    speaker.0.remove(&machine);
                }
                Step::Lose { .. } => {}
                Step::Later { seconds } => now += at(seconds),
            }
        }
    }

    /// All want the same. Whoever is told to bring it or to get it may fail or die; in the end
    /// each that is left has it, in a number of rounds that is known.
    #[test]
    fn every_asker_ends_at_a_source(
        count in 2..60_u128,
        fates in vec(0..10_u8, 400),
        holders in 0..3_u128,
    ) {
        let mut who = who(count);
        let (mut there, mut now, mut speaker) = (all(count), at(100), Speaker::default());
        let mut fates = fates.into_iter();
        let mut has: BTreeSet<u128> = (1..=holders.min(count)).collect();
        for number in &has {
            let news = News { held: vec![digest(0)], ..News::default() };
            speaker.say(&mut who, *number, news, now);
        }
        let mut rounds = 0;
        while has.len() < there.len() {
            rounds += 1;
            prop_assert!(rounds < 500, "{has:?} of {there:?}");
            now += at(1);
            let missing: Vec<u128> =
                there.keys().map(|id| id.0).filter(|number| !has.contains(number)).collect();
            for number in missing {
                let source = match ask(&mut who, number, 0, now.as_secs()) {
                    Answer::At(_) | Answer::Yours => true,
                    Answer::Wait(_) => false,
                    answer => return Err(TestCaseError::fail(format!("{answer:?}"))),
                };
                if !source {
                    continue;
                }
                match fates.next().unwrap_or(9) {
                    // It fails and says so.
                    0 => {
                        let news = News { ended: vec![blob(0)], ..News::default() };
                        speaker.say(&mut who, number, news, now);
                    }
                    // It dies, and that is noticed.
                    1 if there.len() > 1 => {
                        there.remove(&machine(number));
                        who.see(there.clone());
                    }
                    // It is silent and will ask again.
                    2 => {}
                    _ => {
                        let news = News {
                            held: vec![digest(0)],
                            ended: vec![blob(0)],
                            ..News::default()
                        };
                        speaker.say(&mut who, number, news, now);
                        has.insert(number);
                    }
                }
            }
        }
    }
}
