//! A reference model of the book: one struct of plain values per name, rules written down once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use testudo_wire::RegistrySequence;
use testudo_wire::standing::{RevocationCause, State};

use super::super::tests_support::{AT, grant, holder, key, login, name, session};
use super::{contents, secs};
use crate::book::{Beat, Book, BookRules, Change};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Enrol(usize, u8),
    Fail(usize, u8),
    Goodbye(usize, u8),
    Heartbeat(usize, u8),
    Login(usize, u8, u8),
    Lost(usize, u8),
    Regrant(usize),
    Reinstate(usize),
    Restart,
    Revoke(usize, RevocationCause),
    Tick(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (who, seed, number) = (0..NAMES.len(), 1..6_u8, 1..5_u8);
    let cause = prop_oneof![
        Just(RevocationCause::Silent),
        Just(RevocationCause::Failed),
        Just(RevocationCause::Operator),
        Just(RevocationCause::Compromised)
    ];
    prop_oneof![
        3 => (who.clone(), seed.clone()).prop_map(|(n, k)| Op::Enrol(n, k)),
        4 => (who.clone(), seed, number.clone()).prop_map(|(n, k, s)| Op::Login(n, k, s)),
        3 => (who.clone(), number.clone()).prop_map(|(n, s)| Op::Heartbeat(n, s)),
        1 => (who.clone(), number.clone()).prop_map(|(n, s)| Op::Goodbye(n, s)),
        1 => (who.clone(), number.clone()).prop_map(|(n, s)| Op::Lost(n, s)),
        1 => (who.clone(), number).prop_map(|(n, s)| Op::Fail(n, s)),
        1 => who.clone().prop_map(Op::Regrant),
        2 => who.clone().prop_map(Op::Reinstate),
        1 => (who, cause).prop_map(|(n, c)| Op::Revoke(n, c)),
        4 => prop_oneof![1..=3_u64, 4..90_u64].prop_map(Op::Tick),
        1 => Just(Op::Restart),
    ]
}

#[derive(Clone, Debug, Default)]
struct Agent {
    key: u8,
    out: Option<RevocationCause>,
    link: Option<u8>,
    latest: Option<u8>,
    until: Option<u64>,
    ever: bool,
    valid_from: u64,
}

#[derive(Debug, Default)]
struct Model {
    agents: BTreeMap<usize, Agent>,
    burnt: BTreeSet<u8>,
    changes: u64,
    now: u64,
    displacements: BTreeMap<usize, Vec<u64>>,
}

impl Model {
    fn change(&mut self, who: usize) -> &mut Agent {
        self.changes += 1;
        let agent = self.agents.entry(who).or_default();
        agent.valid_from = self.changes;
        agent
    }

    fn out(&mut self, who: usize, cause: RevocationCause) {
        let agent = self.change(who);
        (agent.out, agent.link, agent.latest, agent.until) = (Some(cause), None, None, None);
        let key = agent.key;
        if matches!(cause, RevocationCause::Operator | RevocationCause::Compromised) {
            self.burnt.insert(key);
        }
    }

    /// Returns whether the book should agree to it.
    fn step(&mut self, op: Op) -> bool {
        let now = self.now;
        match op {
            Op::Enrol(who, key) => {
                let free = self.agents.get(&who).is_none_or(|a| self.burnt.contains(&a.key));
                let used = self.agents.values().any(|a| a.key == key) || self.burnt.contains(&key);
                if free && !used {
                    *self.change(who) = Agent { key, valid_from: 0, ..Agent::default() };
                    self.displacements.remove(&who);
                }
                free && !used
            }
            Op::Fail(who, number) => {
                let may = self.agents.get(&who).is_some_and(|a| a.latest == Some(number));
                if may {
                    self.out(who, RevocationCause::Failed);
                }
                may
            }
            Op::Login(who, key, number) => self.login(who, key, number),
            Op::Heartbeat(who, number) => {
                let agent = self.agents.get_mut(&who).filter(|a| a.link == Some(number));
                agent.map(|a| a.until = a.until.max(Some(now + 60))).is_some()
            }
            Op::Goodbye(who, number) => {
                let agent = self.agents.get_mut(&who).filter(|a| a.link == Some(number));
                agent.map(|a| (a.link, a.latest, a.until) = (None, None, None)).is_some()
            }
            Op::Lost(who, number) => {
                let agent = self.agents.get_mut(&who).filter(|a| a.link == Some(number));
                agent.map(|a| a.link = None).is_some()
            }
            Op::Regrant(who) => {
                let may = self.agents.get(&who).is_some_and(|a| !self.burnt.contains(&a.key));
                may && self.change(who).valid_from > 0
            }
            Op::Reinstate(who) => {
                let may = self.agents.get(&who).is_some_and(|a| {
                    matches!(a.out, Some(RevocationCause::Silent | RevocationCause::Failed))
                });
                if may {
                    let agent = self.change(who);
                    (agent.out, agent.ever) = (None, true);
                }
                may
            }
            Op::Revoke(who, cause) => {
                let weight = |cause| match cause {
                    None => 0,
                    Some(RevocationCause::Silent) => 1,
                    Some(RevocationCause::Failed) => 2,
                    Some(RevocationCause::Operator) => 3,
                    Some(RevocationCause::Compromised) => 4,
                };
                let may = self.agents.get(&who).is_some_and(|a| weight(Some(cause)) > weight(a.out));
                if may {
                    self.out(who, cause);
                }
                may
            }
            Op::Tick(by) => self.tick(by),
            Op::Restart => {
                for agent in self.agents.values_mut() {
                    (agent.link, agent.latest) = (None, None);
                    agent.until = agent.until.map(|_| now + 60);
                }
                self.displacements.clear();
                true
            }
        }
    }

    fn login(&mut self, who: usize, key: u8, number: u8) -> bool {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(&who).filter(|a| a.key == key && a.out.is_none()) else {
            return false;
        };
        agent.ever = true;
        let recent = self.displacements.entry(who).or_default();
        recent.retain(|at| now - at < 60);
        if agent.link.is_some() && recent.len() == 3 {
            agent.link = None;
            return false;
        }
        if agent.link.is_some() {
            recent.push(now);
        }
        (agent.link, agent.latest, agent.until) = (Some(number), Some(number), Some(now + 60));
        true
    }

    fn tick(&mut self, by: u64) -> bool {
        self.now += by;
        let now = self.now;
        for who in 0..NAMES.len() {
            let Some(agent) = self.agents.get_mut(&who) else { continue };
            let Some(until) = agent.until else { continue };
            if by > 3 {
                agent.until = Some(until.max(now + 60));
            } else if until < now {
                self.out(who, RevocationCause::Silent);
            }
        }
        true
    }

    fn state(agent: &Agent) -> State {
        match (agent.out, agent.link) {
            (Some(cause), _) => State::Revoked(cause),
            (None, Some(_)) => State::Active,
            (None, None) if agent.ever => State::Offline,
            (None, None) => State::Enrolled,
        }
    }
}

fn applied<E>(book: &mut Book, change: Result<Change, E>) -> bool {
    change.map(|change| book.apply(&change)).is_ok()
}

/// The same step on the real book.
fn step(book: &mut Book, now: &mut u64, op: Op) -> bool {
    let who = |n: usize| name(NAMES[n]);
    match op {
        Op::Enrol(n, k) => {
            let change = book.enrol(holder(NAMES[n], k), grant(&["a:b"]), AT);
            applied(book, change)
        }
        Op::Fail(n, s) => {
            let change = book.fail(&who(n), session(s), AT);
            applied(book, change)
        }
        Op::Login(n, k, s) => book.login(&login(holder(NAMES[n], k), s), secs(*now), AT).is_ok(),
        Op::Heartbeat(n, s) => book.heartbeat(&who(n), session(s), secs(*now), AT) == Beat::Renewed,
        Op::Goodbye(n, s) => book.goodbye(&who(n), session(s), AT) == Beat::Renewed,
        Op::Lost(n, s) => {
            let before = book.get(&who(n)).map(|view| view.state);
            book.link_lost(&who(n), session(s));
            before != book.get(&who(n)).map(|view| view.state)
        }
        Op::Regrant(n) => {
            let change = book.regrant(&who(n), grant(&["c:d"]), AT);
            applied(book, change)
        }
        Op::Reinstate(n) => {
            let change = book.reinstate(&who(n), AT);
            applied(book, change)
        }
        Op::Revoke(n, cause) => {
            let change = book.revoke(&who(n), cause, AT).ok().flatten();
            applied(book, change.ok_or(()))
        }
        Op::Tick(by) => {
            *now += by;
            for silent in book.tick(secs(*now)) {
                let change = book.revoke(&silent, RevocationCause::Silent, AT).unwrap().unwrap();
                book.apply(&change);
            }
            true
        }
        Op::Restart => {
            *book = Book::restore(contents(book), BookRules::default(), secs(*now)).unwrap();
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t_a39_the_book_does_what_the_model_does(ops in prop::collection::vec(op(), 1..120)) {
        let (mut book, mut model, mut now) = (Book::new(BookRules::default()), Model::default(), 0);
        for op in ops {
            let before = book.sequence();
            let (is, should) = (step(&mut book, &mut now, op), model.step(op));
            prop_assert_eq!(is, should, "{:?} at {} s", op, now);
            prop_assert_eq!(book.sequence(), RegistrySequence(model.changes));
            prop_assert!(book.sequence() >= before);
            for (n, text) in NAMES.iter().enumerate() {
                let view = book.get(&name(text));
                let Some(agent) = model.agents.get(&n) else { prop_assert!(view.is_none()); continue };
                let view = view.unwrap();
                prop_assert_eq!(view.state, Model::state(agent), "{} after {:?}", text, op);
                prop_assert_eq!(view.holder.key, key(agent.key));
                prop_assert_eq!(view.valid_from, RegistrySequence(agent.valid_from));
                prop_assert!(!view.state.is_good() || !model.burnt.contains(&agent.key), "a burnt key is good");
            }
        }
        prop_assert!(now < Duration::MAX.as_secs());
    }
}
