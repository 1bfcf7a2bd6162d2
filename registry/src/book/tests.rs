//! The book by cases; `model` holds it against a reference.

use std::time::Duration;

use testudo_wire::standing::{Quota, RevocationCause, Standings, State};
use testudo_wire::{RegistrySequence, TokenFactId};

use super::tests_support::{AT, grant, holder, key, login, name, remote, session};
use super::*;
use crate::snapshot::{Publisher, Update};

mod invitations;
mod model;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn enrolled(names: &[(&str, u8)]) -> Book {
    let mut book = Book::new(BookRules::default());
    for (text, seed) in names {
        let change = book.enrol(holder(text, *seed), grant(&["read:logs", "write:logs"]), AT).unwrap();
        book.apply(&change);
    }
    book
}

fn revoke(book: &mut Book, text: &str, cause: RevocationCause) {
    let change = book.revoke(&name(text), cause, AT).unwrap().unwrap();
    book.apply(&change);
}

fn state(book: &Book, text: &str) -> State {
    book.get(&name(text)).unwrap().state
}

/// Ticks every second from `from` to `to` and returns who was named silent, and when first.
fn tick_through(book: &mut Book, from: u64, to: u64) -> Option<(u64, Vec<AgentName>)> {
    (from..=to).map(|now| (now, book.tick(secs(now)))).find(|(_, silent)| !silent.is_empty())
}

#[test]
fn verbs_decide_and_only_apply_changes() {
    let mut book = Book::new(BookRules::default());
    let change = book.enrol(holder("a", 1), grant(&["read:logs"]), AT).unwrap();
    assert_eq!((change.sequence, book.get(&name("a"))), (RegistrySequence(1), None));
    book.apply(&change);
    let view = book.get(&name("a")).unwrap();
    // Nothing to void yet: a token minted before this agent was enrolled may be handed on to it.
    assert_eq!((view.state, view.valid_from, view.last_seen), (State::Enrolled, RegistrySequence(0), None));
}

#[test]
fn enrolment_refuses_what_would_confuse_identities() {
    let mut book = enrolled(&[("a", 1), ("s", 2)]);
    let enrol = |book: &Book, text: &str, seed| book.enrol(holder(text, seed), grant(&[]), AT).unwrap_err();
    assert_eq!(enrol(&book, "a", 9), EnrolError::Exists);
    assert_eq!(enrol(&book, "b", 1), EnrolError::KeyInUse);
    revoke(&mut book, "s", RevocationCause::Silent);
    assert_eq!(enrol(&book, "s", 9), EnrolError::Held);
    assert_eq!(enrol(&book, "b", 2), EnrolError::KeyInUse, "a silent agent's key is held, too");
    let greedy = Grant { delegatable: ["write:x".parse().unwrap()].into(), ..grant(&["read:x"]) };
    assert_eq!(book.enrol(holder("b", 5), greedy, AT), Err(EnrolError::DelegatableBeyondRight));
    let many = Grant { serve: (0..257).map(|i| format!("v:r{i}").parse().unwrap()).collect(), ..grant(&[]) };
    assert_eq!(book.enrol(holder("b", 5), many, AT), Err(EnrolError::TooManyCapabilities));
}

#[test]
fn t_a41_the_tables_are_capped() {
    let rules = BookRules { agents_max: 2, tokens_max: 1, burnt_max: 2, ..BookRules::default() };
    let mut book = Book { rules, ..enrolled(&[("a", 1), ("b", 2)]) };
    assert_eq!(book.enrol(holder("c", 3), grant(&[]), AT), Err(EnrolError::Full));
    revoke(&mut book, "a", RevocationCause::Operator);
    assert!(book.enrol(holder("a", 4), grant(&[]), AT).is_ok(), "a known name needs no room");
    revoke(&mut book, "b", RevocationCause::Operator);
    assert_eq!(
        book.enrol(holder("a", 4), grant(&[]), AT),
        Err(EnrolError::Full),
        "burnt keys are capped here"
    );
    let (one, two) = (TokenFactId::new([1; 16]), TokenFactId::new([2; 16]));
    let change = book.revoke_token(one, AT).unwrap().unwrap();
    book.apply(&change);
    assert_eq!((book.revoke_token(one, AT), book.revoke_token(two, AT)), (Ok(None), Err(TokenError::Full)));
}

#[test]
fn a_burnt_key_never_returns() {
    for cause in [RevocationCause::Operator, RevocationCause::Compromised] {
        let mut book = enrolled(&[("a", 1)]);
        revoke(&mut book, "a", cause);
        assert_eq!(book.reinstate(&name("a"), AT), Err(ReinstateError::Burnt));
        assert_eq!(book.enrol(holder("a", 1), grant(&[]), AT), Err(EnrolError::BurntKey));
        assert_eq!(book.enrol(holder("b", 1), grant(&[]), AT), Err(EnrolError::BurntKey));
        assert_eq!(book.narrow(&name("a"), grant(&[]), AT), Err(GrantError::Burnt));
        let change = book.enrol(holder("a", 2), grant(&[]), AT).unwrap();
        assert!(matches!(change.kind, ChangeKind::Enrolled { replaces: Some(old), .. } if old == key(1)));
        book.apply(&change);
        assert_eq!((state(&book, "a"), book.get(&name("a")).unwrap().holder.key), (State::Enrolled, key(2)));
        revoke(&mut book, "a", cause);
        for old in [1, 2] {
            assert_eq!(book.enrol(holder("a", old), grant(&[]), AT), Err(EnrolError::BurntKey));
        }
    }
}

#[test]
fn a_silent_agent_comes_back_by_reinstatement_alone_and_needs_new_tokens() {
    let mut book = enrolled(&[("a", 1)]);
    revoke(&mut book, "a", RevocationCause::Silent);
    let refused = book.login(&login(holder("a", 1), 1), secs(1), AT);
    assert_eq!(refused, Err(LoginError::Revoked(RevocationCause::Silent)));
    assert_eq!(book.return_of(&holder("a", 1), AT), None, "revoke is the default");
    let change = book.reinstate(&name("a"), AT).unwrap();
    book.apply(&change);
    assert_eq!(state(&book, "a"), State::Offline);
    let standings = book.standings().collect();
    let (_, directory) = Publisher::new(Update { sequence: book.sequence(), standings, ..Update::default() });
    let good = |minted| directory.load().is_good(&holder("a", 1), RegistrySequence(minted));
    assert_eq!([1, 2, 3].map(good), [false, false, true]);
    assert_eq!(book.reinstate(&name("a"), AT), Err(ReinstateError::NotRevoked));
}

#[test]
fn a_suspended_agent_comes_back_with_its_login_but_not_with_another_key_or_once_burnt() {
    let rules = BookRules { on_silence: OnSilence::Suspend, ..BookRules::default() };
    let mut book = Book { rules, ..enrolled(&[("a", 1)]) };
    assert_eq!(book.return_of(&holder("a", 1), AT), None, "it is not out");
    revoke(&mut book, "a", RevocationCause::Silent);
    assert!(book.standing(&name("a")).unwrap().returns);
    assert_eq!(book.return_of(&holder("a", 2), AT), None);
    let change = book.return_of(&holder("a", 1), AT).unwrap();
    revoke(&mut book, "a", RevocationCause::Operator);
    assert_eq!(book.return_of(&holder("a", 1), AT), None);
    assert!(!book.standing(&name("a")).unwrap().returns);
    assert_eq!(change.sequence, RegistrySequence(3));
}

#[test]
fn a_failed_agent_is_out_like_a_silent_one_and_comes_back_by_reinstatement_alone() {
    for on_silence in [OnSilence::Revoke, OnSilence::Suspend] {
        let rules = BookRules { on_silence, ..BookRules::default() };
        let mut book = Book { rules, ..enrolled(&[("a", 1)]) };
        book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
        let change = book.fail(&name("a"), session(1), AT).unwrap();
        book.apply(&change);
        assert_eq!(state(&book, "a"), State::Revoked(RevocationCause::Failed));
        assert_eq!(book.get(&name("a")).unwrap().valid_from, RegistrySequence(2), "its tokens are void");
        assert_eq!(book.enrol(holder("a", 9), grant(&[]), AT), Err(EnrolError::Held), "its name is held");
        assert_eq!(book.enrol(holder("b", 1), grant(&[]), AT), Err(EnrolError::KeyInUse), "and its key");
        assert_eq!(book.burnt(&name("a")), None);
        assert_eq!(book.return_of(&holder("a", 1), AT), None, "not by itself, even with {on_silence:?}");
        assert!(!book.standing(&name("a")).unwrap().returns);
        let refused = book.login(&login(holder("a", 1), 2), secs(1), AT);
        assert_eq!(refused, Err(LoginError::Revoked(RevocationCause::Failed)));
        assert_eq!(tick_through(&mut book, 1, 200), None, "and is not silent as well");
        let mut again = Book::restore(contents(&book), rules, secs(0)).unwrap();
        let change = again.reinstate(&name("a"), AT).unwrap();
        again.apply(&change);
        let view = again.get(&name("a")).unwrap();
        assert_eq!((view.state, view.valid_from), (State::Offline, RegistrySequence(3)), "with new tokens");
        assert!(again.login(&login(holder("a", 1), 3), secs(0), AT).is_ok());
    }
}

#[test]
fn only_the_latest_link_may_give_its_agent_up() {
    let mut book = enrolled(&[("a", 1), ("b", 2)]);
    let fail = |book: &Book, text, number| book.fail(&name(text), session(number), AT).map(|_| ());
    assert_eq!(fail(&book, "x", 1), Err(FailError::Unknown));
    assert_eq!(fail(&book, "a", 1), Err(FailError::NotItsLink), "it has none");
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    book.login(&login(holder("b", 2), 2), secs(0), AT).unwrap();
    assert_eq!(fail(&book, "a", 2), Err(FailError::NotItsLink), "b's session");
    assert_eq!(fail(&book, "a", 1), Ok(()));
    let renewal = Login { renews: Some(session(1)), ..login(holder("a", 1), 3) };
    book.login(&renewal, secs(1), AT).unwrap();
    assert_eq!(fail(&book, "a", 1), Err(FailError::NotItsLink), "renewed: it only drains");
    book.login(&login(holder("a", 1), 4), secs(1), AT).unwrap();
    assert_eq!(fail(&book, "a", 3), Err(FailError::NotItsLink), "displaced");
    book.link_lost(&name("a"), session(4));
    assert_eq!(fail(&book, "a", 4), Ok(()), "its last word");
    let change = book.fail(&name("a"), session(4), AT).unwrap();
    book.apply(&change);
    assert_eq!(fail(&book, "a", 4), Err(FailError::NotItsLink), "once");
    let change = book.reinstate(&name("a"), AT).unwrap();
    book.apply(&change);
    assert_eq!(fail(&book, "a", 4), Err(FailError::NotItsLink), "a word from before is no word of now");
    book.goodbye(&name("b"), session(2), AT);
    assert_eq!(fail(&book, "b", 2), Err(FailError::NotItsLink), "it left in good order");
}

#[test]
fn a_revocation_is_replaced_by_a_graver_one_only() {
    use RevocationCause::{Compromised, Failed, Operator, Silent};
    let mut book = enrolled(&[("a", 1)]);
    for (cause, changes) in [
        (Silent, true),
        (Silent, false),
        (Failed, true),
        (Silent, false),
        (Failed, false),
        (Operator, true),
        (Silent, false),
        (Failed, false),
        (Compromised, true),
        (Operator, false),
    ] {
        let change = book.revoke(&name("a"), cause, AT).unwrap();
        assert_eq!(change.is_some(), changes, "{cause:?}");
        if let Some(change) = change {
            book.apply(&change);
        }
    }
    assert_eq!(state(&book, "a"), State::Revoked(Compromised));
    assert_eq!(book.revoke(&name("b"), Operator, AT), Err(RevokeError::Unknown));
}

#[test]
fn narrowing_stays_within_and_every_new_grant_voids_old_tokens() {
    let mut book = enrolled(&[("a", 1)]);
    let wide = grant(&["read:logs", "admin:all"]);
    assert_eq!(book.narrow(&name("a"), wide.clone(), AT), Err(GrantError::Widens));
    let fast = Grant { quota: Quota { bundles_per_second: 5_001, ..Quota::default() }, ..grant(&[]) };
    assert_eq!(book.narrow(&name("a"), fast, AT), Err(GrantError::Widens), "the quota counts");
    let change = book.narrow(&name("a"), grant(&["read:logs"]), AT).unwrap();
    book.apply(&change);
    assert_eq!(book.get(&name("a")).unwrap().valid_from, RegistrySequence(2));
    let change = book.regrant(&name("a"), wide.clone(), AT).unwrap();
    book.apply(&change);
    let view = book.get(&name("a")).unwrap();
    assert_eq!((view.valid_from, view.grant.as_ref()), (RegistrySequence(3), &wide));
    assert_eq!(book.regrant(&name("x"), wide, AT), Err(GrantError::Unknown));
}

#[test]
fn to_take_an_agents_own_authority_narrows_and_to_give_it_back_widens() {
    let mut book = enrolled(&[("a", 1)]);
    let free = grant(&["read:logs"]);
    let bound = Grant { delegated_only: true, ..free.clone() };
    let change = book.narrow(&name("a"), bound.clone(), AT).unwrap();
    book.apply(&change);
    let view = book.get(&name("a")).unwrap();
    assert_eq!((view.valid_from, view.grant.as_ref()), (RegistrySequence(2), &bound));
    assert_eq!(book.narrow(&name("a"), free.clone(), AT), Err(GrantError::Widens));
    assert_eq!(book.narrow(&name("a"), grant(&[]), AT), Err(GrantError::Widens), "even with fewer rights");
    let change = book.regrant(&name("a"), free.clone(), AT).unwrap();
    book.apply(&change);
    let view = book.get(&name("a")).unwrap();
    assert_eq!((view.valid_from, view.grant.as_ref()), (RegistrySequence(3), &free));
}

#[test]
fn t_a35_silence_is_noticed_after_two_intervals_and_no_stranger_can_break_it() {
    let mut book = enrolled(&[("a", 1), ("b", 2), ("never", 3)]);
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    book.login(&login(holder("b", 2), 2), secs(0), AT).unwrap();
    for now in 1..=200 {
        assert_eq!(book.heartbeat(&name("b"), session(2), secs(now), AT), Beat::Renewed);
        assert_eq!(book.heartbeat(&name("a"), session(2), secs(now), AT), Beat::Ignored, "b's session");
        let silent = book.tick(secs(now));
        assert_eq!(silent, if now > 60 { vec![name("a")] } else { vec![] }, "{now}");
    }
    revoke(&mut book, "a", RevocationCause::Silent);
    assert_eq!(book.heartbeat(&name("a"), session(1), secs(201), AT), Beat::Ignored, "out is out");
    assert_eq!(book.tick(secs(201)), vec![]);
}

#[test]
fn a_goodbye_ends_the_lease_and_a_lost_link_does_not() {
    let mut book = enrolled(&[("a", 1), ("b", 2)]);
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    book.login(&login(holder("b", 2), 2), secs(0), AT).unwrap();
    assert_eq!(book.goodbye(&name("a"), session(9), AT), Beat::Ignored, "not its session");
    assert_eq!(book.goodbye(&name("a"), session(1), AT), Beat::Renewed);
    book.link_lost(&name("b"), session(2));
    assert_eq!((state(&book, "a"), state(&book, "b")), (State::Offline, State::Offline));
    assert_eq!(tick_through(&mut book, 1, 500), Some((61, vec![name("b")])));
}

#[test]
fn t_f18_a_pause_gives_every_lease_one_deadline_of_grace() {
    let mut book = enrolled(&[("a", 1), ("b", 2)]);
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    book.login(&login(holder("b", 2), 2), secs(0), AT).unwrap();
    assert_eq!(tick_through(&mut book, 1, 50), None);
    assert_eq!(book.tick(secs(110)), vec![], "both are beyond their deadline, but so was the node");
    assert_eq!(book.heartbeat(&name("b"), session(2), secs(112), AT), Beat::Renewed);
    assert_eq!(tick_through(&mut book, 111, 400), Some((171, vec![name("a")])));
    assert_eq!(book.tick(secs(100)), vec![], "a clock that goes back does no harm");
}

#[test]
fn t_f18_with_short_heartbeats_a_short_pause_of_the_node_puts_nobody_out() {
    for interval in [100, 500, 1_000, 1_499, 3_000, 10_000].map(Duration::from_millis) {
        let rules = BookRules { interval, ..BookRules::default() };
        for pause in (1..=40).map(|tenths| rules.interval.max(Duration::from_secs(1)) * tenths / 10) {
            let mut book = Book::new(rules);
            let enrolled = book.enrol(holder("a", 1), grant(&[]), AT).unwrap();
            book.apply(&enrolled);
            book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
            // It speaks whenever that is due; what it says while the node sleeps is heard after the first tick.
            let (mut now, mut spoken) = (Duration::ZERO, Duration::ZERO);
            while now < interval * 5 {
                now += rules.tick();
                if now >= spoken + interval {
                    book.heartbeat(&name("a"), session(1), now, AT);
                    spoken = now;
                }
                assert_eq!(book.tick(now), vec![], "{interval:?}");
            }
            now += rules.tick() + pause;
            assert_eq!(book.tick(now), vec![], "{interval:?} {pause:?}");
            // Silence is noticed all the same.
            let silent = (0..100).map(|_| {
                now += rules.tick();
                book.tick(now)
            });
            assert!(silent.into_iter().any(|silent| !silent.is_empty()), "{interval:?} {pause:?}");
        }
    }
}

#[test]
fn t_f26_a_gap_of_three_seconds_is_no_pause() {
    let mut book = enrolled(&[("a", 1)]);
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    let silent = (1..).map(|n| n * 3).find(|now| !book.tick(secs(*now)).is_empty());
    assert_eq!(silent, Some(63));
}

#[test]
fn a_restart_keeps_everything_and_gives_running_leases_grace() {
    let mut book = enrolled(&[("leased", 1), ("left", 2), ("never", 3), ("burnt", 4)]);
    book.login(&login(holder("leased", 1), 1), secs(0), AT).unwrap();
    book.login(&login(holder("left", 2), 2), secs(0), AT).unwrap();
    book.goodbye(&name("left"), session(2), AT);
    revoke(&mut book, "burnt", RevocationCause::Compromised);
    let mut again = Book::restore(contents(&book), BookRules::default(), secs(0)).unwrap();
    assert_eq!(contents(&again), contents(&book));
    assert_eq!(again.enrol(holder("x", 4), grant(&[]), AT), Err(EnrolError::BurntKey));
    assert_eq!(tick_through(&mut again, 1, 500), Some((61, vec![name("leased")])));
}

pub(super) fn contents(book: &Book) -> Contents {
    Contents {
        sequence: book.sequence(),
        agents: book.list().filter_map(|view| book.record(&view.holder.name)).collect(),
        burnt: book.burnt.iter().map(|(key, name)| Burnt { key: *key, name: *name }).collect(),
        tokens: book.revoked_tokens().collect(),
        invitations: book.invitations().cloned().collect(),
        trust: book.trusted().mark,
    }
}

#[test]
fn a_store_that_contradicts_itself_is_refused() {
    let mut book = enrolled(&[("a", 1), ("b", 2)]);
    revoke(&mut book, "b", RevocationCause::Operator);
    let good = contents(&book);
    let restore = |edit: fn(&mut Contents)| {
        let mut contents = good.clone();
        edit(&mut contents);
        Book::restore(contents, BookRules::default(), secs(0)).map(|_| ()).unwrap_err()
    };
    assert_eq!(restore(|c| c.agents.push(c.agents[0].clone())), RestoreError::Duplicate(name("a")));
    assert_eq!(
        restore(|c| c.burnt.push(Burnt { key: key(1), name: name("a") })),
        RestoreError::BurntKey(name("a"))
    );
    assert_eq!(restore(|c| c.burnt.clear()), RestoreError::NotBurnt(name("b")));
    assert_eq!(restore(|c| c.sequence = RegistrySequence(1)), RestoreError::Future(name("b")));
    let greedy = |c: &mut Contents| {
        let delegatable = ["x:y".parse().unwrap()].into();
        c.agents[0].grant = Grant { delegatable, ..Grant::default() }.into();
    };
    assert_eq!(restore(greedy), RestoreError::Grant(name("a")));
}

#[test]
fn a_second_link_displaces_the_first_and_a_fight_ends_both() {
    let mut book = enrolled(&[("a", 1)]);
    let mut join = |number: u8, now: u64| book.login(&login(holder("a", 1), number), secs(now), AT);
    assert_eq!(join(1, 0).unwrap(), Admitted { displaced: None, notice: None });
    for number in 2..=4 {
        let admitted = join(number, u64::from(number)).unwrap();
        assert_eq!(admitted.displaced, Some(session(number - 1)));
        let (older, newer) = (remote(u16::from(number) - 1), remote(u16::from(number)));
        assert_eq!(admitted.notice.unwrap().kind, ChangeKind::Displaced { name: name("a"), older, newer });
    }
    let Err(LoginError::DisplacedTooOften { older, notice: Some(notice) }) = join(5, 5) else { panic!() };
    assert_eq!((older, notice.kind.is_numbered()), (session(4), false));
    assert!(matches!(notice.kind, ChangeKind::DisplacedTooOften { .. }));
    assert_eq!(join(6, 6).unwrap().displaced, None, "both are closed: the next is no displacement");
    let repeated = join(7, 7).unwrap_err();
    assert_eq!(
        repeated,
        LoginError::DisplacedTooOften { older: session(6), notice: None },
        "told once a minute"
    );
    assert_eq!(join(8, 8).unwrap().displaced, None);
    assert_eq!(join(9, 70).unwrap().displaced, Some(session(8)), "a minute later it may again");
    assert_eq!(book.sequence(), RegistrySequence(1), "links are not numbered");
}

#[test]
fn a_renewal_displaces_nobody() {
    let mut book = enrolled(&[("a", 1)]);
    book.login(&login(holder("a", 1), 1), secs(0), AT).unwrap();
    for number in 2..=20 {
        let renewal = Login { renews: Some(session(number - 1)), ..login(holder("a", 1), number) };
        assert_eq!(book.login(&renewal, secs(1), AT).unwrap().displaced, None);
    }
    let foreign = Login { renews: Some(session(99)), ..login(holder("a", 1), 21) };
    assert_eq!(book.login(&foreign, secs(1), AT).unwrap().displaced, Some(session(20)));
}

#[test]
fn a_login_needs_the_books_key() {
    let mut book = enrolled(&[("a", 1)]);
    assert_eq!(book.login(&login(holder("a", 2), 1), secs(0), AT), Err(LoginError::WrongKey));
    assert_eq!(book.login(&login(holder("b", 1), 1), secs(0), AT), Err(LoginError::Unknown));
    revoke(&mut book, "a", RevocationCause::Operator);
    let refused = book.login(&login(holder("a", 1), 1), secs(0), AT);
    assert_eq!(refused, Err(LoginError::Revoked(RevocationCause::Operator)));
}

#[test]
fn a_withdrawn_change_keeps_its_number_and_changes_nobody() {
    let mut book = enrolled(&[("a", 1)]);
    let lost = book.enrol(holder("b", 2), grant(&[]), AT).unwrap();
    let withdrawn = book.withdraw(&lost, name("b"), AT);
    book.apply(&withdrawn);
    assert_eq!((book.sequence(), book.get(&name("b"))), (RegistrySequence(3), None));
    assert_eq!(
        withdrawn.kind,
        ChangeKind::Withdrawn { of: RegistrySequence(2), name: name("b"), invitations: vec![] }
    );
}
