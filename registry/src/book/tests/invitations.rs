//! Invitations by cases, and against a reference model of their states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use testudo_wire::join::spki;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{
    InvitationId, PublicKey, Purpose, RegistrySequence, SecretKey, Signature, State, Timestamp,
};

use super::super::tests_support::{grant, holder, key, name};
use super::{contents, enrolled, revoke, secs};
use crate::book::{
    Book, BookRules, EnrolError, Invitation, InvitationState, InviteError, Join, JoinError, MISSES_MAX,
    Newcomer, UninviteError,
};

const EXPORTER: [u8; 32] = [9; 32];

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn id(number: u8) -> InvitationId {
    InvitationId::new([number; 16])
}

fn seed(number: u8) -> SecretKey {
    SecretKey::from_seed(&[100 + number; 32])
}

fn invitation(number: u8, who: &str, until: u64) -> Invitation {
    let grant = Arc::new(grant(&["read:logs"]));
    let key = seed(number).public();
    Invitation { id: id(number), key, name: name(who), grant, until: at(until), misses: 0, spent: None }
}

fn proof(number: u8, key: &PublicKey, exporter: &[u8; 32]) -> Signature {
    seed(number).sign(Purpose::Join, &[exporter, &spki(key)])
}

fn newcomer(number: u8, key: PublicKey) -> Newcomer {
    Newcomer { id: id(number), key, exporter: EXPORTER, signature: proof(number, &key, &EXPORTER) }
}

fn liar(number: u8, key: PublicKey) -> Newcomer {
    Newcomer { signature: proof(number, &key, &[8; 32]), ..newcomer(number, key) }
}

fn invite(book: &mut Book, number: u8, who: &str, until: u64) {
    let change = book.invite(invitation(number, who, until), at(0)).unwrap();
    book.apply(&change);
}

fn join(book: &mut Book, newcomer: &Newcomer, now: u64) -> Result<bool, JoinError> {
    match book.join(newcomer, at(now)) {
        Ok(Join::First(change)) => {
            book.apply(&change);
            Ok(true)
        }
        Ok(Join::Again(_)) => Ok(false),
        Err(error) => {
            if matches!(error, JoinError::WrongSignature(_)) {
                book.miss(&newcomer.id);
            }
            Err(error)
        }
    }
}

#[test]
fn an_invitation_enrols_its_name_with_its_rights_and_answers_the_same_key_alone() {
    let mut book = Book::new(BookRules::default());
    invite(&mut book, 1, "ada", 100);
    assert_eq!((book.sequence(), book.get(&name("ada"))), (RegistrySequence(1), None));
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 10), Ok(true));
    let view = book.get(&name("ada")).unwrap();
    assert_eq!((view.holder, view.grant.as_ref()), (holder("ada", 5), &grant(&["read:logs"])));
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 99), Ok(false), "a lost answer");
    assert_eq!(join(&mut book, &newcomer(1, key(6)), 99), Err(JoinError::Used(name("ada"))));
    assert_eq!(join(&mut book, &liar(1, key(5)), 99), Err(JoinError::WrongSignature(name("ada"))));
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 100), Err(JoinError::Expired(name("ada"))));
    assert_eq!(join(&mut book, &newcomer(2, key(5)), 10), Err(JoinError::Unknown));
    assert_eq!(book.sequence(), RegistrySequence(2), "nothing else is a change");
}

#[test]
fn wrong_signatures_void_an_invitation_and_strangers_cannot_void_a_spent_one() {
    let mut book = Book::new(BookRules::default());
    invite(&mut book, 1, "ada", 100);
    for _ in 0..MISSES_MAX {
        assert_eq!(join(&mut book, &liar(1, key(5)), 1), Err(JoinError::WrongSignature(name("ada"))));
    }
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 1), Err(JoinError::Void(name("ada"))));
    assert_eq!(book.invited_until(at(1)), None);
    let mut again = Book::restore(contents(&book), BookRules::default(), secs(0)).unwrap();
    assert_eq!(join(&mut again, &newcomer(1, key(5)), 1), Err(JoinError::Void(name("ada"))), "for good");
    invite(&mut book, 2, "ada", 100);
    assert_eq!(join(&mut book, &newcomer(2, key(5)), 1), Ok(true));
    for _ in 0..10 {
        assert_eq!(join(&mut book, &liar(2, key(6)), 1), Err(JoinError::Used(name("ada"))));
    }
    assert_eq!(join(&mut book, &newcomer(2, key(5)), 1), Ok(false));
}

#[test]
fn only_a_new_key_brings_a_revoked_name_back_and_an_old_answer_is_not_repeated() {
    for cause in [RevocationCause::Operator, RevocationCause::Compromised] {
        let mut book = Book::new(BookRules::default());
        invite(&mut book, 1, "ada", 100);
        join(&mut book, &newcomer(1, key(5)), 1).unwrap();
        assert_eq!(
            book.invite(invitation(2, "ada", 100), at(1)),
            Err(InviteError::Enrol(EnrolError::Exists)),
            "in good standing"
        );
        revoke(&mut book, "ada", cause);
        assert_eq!(join(&mut book, &newcomer(1, key(5)), 1), Err(JoinError::Out(name("ada"))));
        invite(&mut book, 2, "ada", 100);
        let burnt = JoinError::Enrol(name("ada"), EnrolError::BurntKey);
        assert_eq!(join(&mut book, &newcomer(2, key(5)), 1), Err(burnt));
        assert_eq!(join(&mut book, &newcomer(2, key(6)), 1), Ok(true), "and the try did not spend it");
        assert_eq!(book.get(&name("ada")).unwrap().holder, holder("ada", 6));
        assert_eq!(
            join(&mut book, &newcomer(1, key(5)), 1),
            Err(JoinError::Unknown),
            "the older one is gone"
        );
    }
    let mut book = enrolled(&[("s", 1)]);
    revoke(&mut book, "s", RevocationCause::Silent);
    assert_eq!(book.invite(invitation(1, "s", 100), at(1)), Err(InviteError::Enrol(EnrolError::Held)));
}

#[test]
fn whoever_takes_the_name_otherwise_ends_its_invitation() {
    let mut book = Book::new(BookRules::default());
    invite(&mut book, 1, "ada", 100);
    invite(&mut book, 2, "bob", 100);
    let change = book.enrol(holder("ada", 7), grant(&[]), at(1)).unwrap();
    assert_eq!(book.invitations_after(&change), [(id(1), None)]);
    book.apply(&change);
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 1), Err(JoinError::Unknown));
    revoke(&mut book, "ada", RevocationCause::Compromised);
    assert_eq!(join(&mut book, &newcomer(1, key(5)), 1), Err(JoinError::Unknown), "nor later");
    assert_eq!(join(&mut book, &newcomer(2, key(5)), 1), Ok(true));
}

#[test]
fn the_list_is_bounded_and_names_are_invited_once() {
    let rules = BookRules { invitations_max: 3, ..BookRules::default() };
    let mut book = Book::new(rules);
    for number in 1..=3 {
        invite(&mut book, number, &format!("a{number}"), 100);
    }
    assert_eq!(book.invite(invitation(4, "a4", 100), at(1)), Err(InviteError::TooMany));
    let change = book.uninvite(&id(3), at(1)).unwrap();
    book.apply(&change);
    assert_eq!(book.uninvite(&id(3), at(1)), Err(UninviteError::Unknown));
    assert_eq!(book.invite(invitation(4, "a1", 100), at(1)), Err(InviteError::Invited));
    assert_eq!(book.invite(invitation(4, "a4", 1), at(1)), Err(InviteError::Ended));
    // What has ended makes room, and only so many of it are kept.
    let mut now = 100;
    for number in 10..60 {
        let change = book.invite(invitation(number, &format!("b{number}"), now + 1), at(now)).unwrap();
        book.apply(&change);
        assert!(book.invitations().count() <= 2 * rules.invitations_max);
        now += 1;
    }
    let full = book.invite(Invitation { grant: Arc::new(too_much()), ..invitation(70, "c", 1_000) }, at(now));
    assert_eq!(full, Err(InviteError::Enrol(EnrolError::TooManyCapabilities)));
}

fn too_much() -> testudo_wire::Grant {
    let right = (0..300).map(|n| format!("read:r{n}").parse().unwrap()).collect();
    testudo_wire::Grant { right, ..testudo_wire::Grant::default() }
}

#[test]
fn a_join_that_could_not_be_made_durable_leaves_the_invitation_as_it_was() {
    let mut book = Book::new(BookRules::default());
    invite(&mut book, 1, "ada", 100);
    let Ok(Join::First(change)) = book.join(&newcomer(1, key(5)), at(1)) else { panic!() };
    let withdrawn = book.withdraw(&change, name("ada"), at(1));
    assert!(
        matches!(&withdrawn.kind, crate::ChangeKind::Withdrawn { invitations, .. } if *invitations == [id(1)])
    );
    book.apply(&withdrawn);
    assert_eq!(join(&mut book, &newcomer(1, key(6)), 2), Ok(true));
}

const NAMES: [&str; 2] = ["a", "b"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Invite(u8, usize, u64),
    Cancel(u8),
    Join { number: u8, key: u8, good: bool },
    Enrol(usize, u8),
    Revoke(usize),
    Pass(u64),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (number, who, seed) = (1..4_u8, 0..NAMES.len(), 1..5_u8);
    prop_oneof![
        4 => (number.clone(), who.clone(), 1..60_u64).prop_map(|(n, w, t)| Op::Invite(n, w, t)),
        1 => number.clone().prop_map(Op::Cancel),
        8 => (number, seed.clone(), prop::bool::weighted(0.6)).prop_map(|(number, key, good)| Op::Join { number, key, good }),
        1 => (who.clone(), seed).prop_map(|(w, k)| Op::Enrol(w, k)),
        2 => who.prop_map(Op::Revoke),
        2 => (1..30_u64).prop_map(Op::Pass),
        1 => Just(Op::Restart),
    ]
}

/// The rules once more, in plain values.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    /// Name, end, misses, spent by.
    invited: BTreeMap<u8, (usize, u64, u8, Option<u8>)>,
    /// Name to key; only those in good standing.
    good: BTreeMap<usize, u8>,
    used: BTreeSet<u8>,
}

impl Model {
    fn live(&self, number: u8) -> bool {
        self.invited
            .get(&number)
            .is_some_and(|(_, until, misses, spent)| self.now < *until && *misses < 5 && spent.is_none())
    }

    fn enrol(&mut self, who: usize, key: u8) -> bool {
        let may = !self.good.contains_key(&who) && !self.used.contains(&key);
        if may {
            self.good.insert(who, key);
            self.used.insert(key);
        }
        may
    }

    fn step(&mut self, op: Op) -> &'static str {
        match op {
            Op::Invite(number, who, time) => {
                let taken = self.good.contains_key(&who) || self.invited.contains_key(&number);
                let twice = self.invited.iter().any(|(n, one)| one.0 == who && self.live(*n));
                if taken || twice {
                    return "no";
                }
                self.invited.insert(number, (who, self.now + time, 0, None));
                "yes"
            }
            Op::Cancel(number) => {
                if self.invited.remove(&number).is_some() {
                    "yes"
                } else {
                    "no"
                }
            }
            Op::Join { number, key, good } => self.join(number, key, good),
            Op::Enrol(who, key) => {
                if !self.enrol(who, key) {
                    return "no";
                }
                self.invited.retain(|_, one| one.0 != who);
                "yes"
            }
            Op::Revoke(who) => {
                if self.good.remove(&who).is_some() {
                    "yes"
                } else {
                    "no"
                }
            }
            Op::Pass(time) => {
                self.now += time;
                "yes"
            }
            Op::Restart => "yes",
        }
    }

    fn join(&mut self, number: u8, key: u8, good: bool) -> &'static str {
        let Some((who, until, misses, spent)) = self.invited.get(&number).copied() else { return "unknown" };
        if self.now >= until {
            return "expired";
        }
        if misses >= 5 {
            return "void";
        }
        if spent.is_some_and(|by| by != key) {
            return "used";
        }
        if !good {
            self.invited.insert(number, (who, until, misses + 1, spent));
            return "wrong";
        }
        if spent.is_some() {
            return if self.good.get(&who) == Some(&key) { "again" } else { "out" };
        }
        if !self.enrol(who, key) {
            return "key";
        }
        self.invited.retain(|n, one| one.0 != who || *n == number);
        self.invited.insert(number, (who, until, misses, Some(key)));
        "first"
    }
}

fn real(book: &mut Book, now: &mut u64, op: Op) -> &'static str {
    let said = |ok: bool| if ok { "yes" } else { "no" };
    match op {
        Op::Invite(number, who, time) => {
            let change = book.invite(invitation(number, NAMES[who], *now + time), at(*now));
            said(change.map(|change| book.apply(&change)).is_ok())
        }
        Op::Cancel(number) => {
            let change = book.uninvite(&id(number), at(*now));
            said(change.map(|change| book.apply(&change)).is_ok())
        }
        Op::Join { number, key: seed, good } => {
            let asking = if good { newcomer(number, key(seed)) } else { liar(number, key(seed)) };
            match join(book, &asking, *now) {
                Ok(true) => "first",
                Ok(false) => "again",
                Err(JoinError::Unknown) => "unknown",
                Err(JoinError::Expired(_)) => "expired",
                Err(JoinError::Void(_)) => "void",
                Err(JoinError::Used(_)) => "used",
                Err(JoinError::WrongSignature(_)) => "wrong",
                Err(JoinError::Out(_)) => "out",
                Err(JoinError::Enrol(_, EnrolError::BurntKey | EnrolError::KeyInUse)) => "key",
                Err(JoinError::Enrol(_, error)) => panic!("{error}"),
            }
        }
        Op::Enrol(who, seed) => {
            let change = book.enrol(holder(NAMES[who], seed), grant(&[]), at(*now));
            said(change.map(|change| book.apply(&change)).is_ok())
        }
        Op::Revoke(who) => {
            let change = book.revoke(&name(NAMES[who]), RevocationCause::Operator, at(*now)).ok().flatten();
            said(change.map(|change| book.apply(&change)).is_some())
        }
        Op::Pass(time) => {
            *now += time;
            "yes"
        }
        Op::Restart => {
            *book = Book::restore(contents(book), BookRules::default(), secs(*now)).unwrap();
            "yes"
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t_a31_invitations_do_what_the_model_does(ops in prop::collection::vec(op(), 1..100)) {
        let (mut book, mut model, mut now) = (Book::new(BookRules::default()), Model::default(), 0);
        let mut firsts = BTreeMap::new();
        for op in ops {
            let (is, should) = (real(&mut book, &mut now, op), model.step(op));
            prop_assert_eq!(is, should, "{:?} at {}", op, now);
            if let (Op::Join { number, key, .. }, "first") = (op, is) {
                prop_assert!(firsts.insert((number, book.sequence()), key).is_none());
            }
            for (number, (who, until, misses, spent)) in &model.invited {
                let one = book.invitation(&id(*number)).unwrap();
                prop_assert_eq!((one.name, one.until, one.misses), (name(NAMES[*who]), at(*until), *misses));
                prop_assert_eq!(one.spent, spent.map(key));
                // Whoever is outstanding can be enrolled: the name is nobody's in good standing.
                if one.state(at(now)) == InvitationState::Outstanding {
                    prop_assert!(book.get(&one.name).is_none_or(|view| !view.state.is_good()));
                }
            }
            prop_assert_eq!(book.invitations().count(), model.invited.len());
            let open = model.invited.iter().filter(|(_, (_, until, misses, _))| now < *until && *misses < 5);
            prop_assert_eq!(book.invited_until(at(now)), open.map(|(_, one)| at(one.1)).max());
            for (who, text) in NAMES.iter().enumerate() {
                let good = book.get(&name(text)).filter(|view| view.state != State::Revoked(RevocationCause::Operator));
                prop_assert_eq!(good.map(|view| view.holder.key), model.good.get(&who).map(|seed| key(*seed)));
            }
        }
    }
}
