//! The way in: who is invited joins, once, and works; what was lost or revoked comes back as it should.

use std::sync::atomic::Ordering;
use std::time::Duration;

use testudo::operator::{Answer, Request};
use testudo_bus::join::{AskError, PortState};
use testudo_registry::{InvitationState, VerbError};
use testudo_rules::audit::RegistryChange;
use testudo_wire::join::JoinRefusal;
use testudo_wire::standing::RevocationCause;

use super::kit::{Hall, key};
use super::support::swarm::name;
use super::support::world::message;
use super::support::{pass, sim, until};

#[test]
fn who_is_invited_joins_and_speaks_with_the_rights_of_the_invitation() {
    sim(async {
        let hall = Hall::new(1);
        let mut reader = hall.world.agent("reader", &[], &["read:logs"]).await;
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let joined = hall.ask(&token, &key(50)).await.unwrap();
        assert_eq!((joined.name, joined.node), (name("ada"), hall.world.address));
        let ada = hall.world.dial(hall.identity(&joined, &key(50))).await.unwrap();
        ada.client.tell(message("reader", "read:logs", "hello")).await.unwrap();
        assert!(reader.next().await.is_some());
        assert!(ada.client.tell(message("reader", "write:logs", "x")).await.is_err(), "not granted");
        let ledger = hall.world.ledger();
        let id = token.id;
        assert_eq!(
            ledger.changes(name("ada")),
            [RegistryChange::Invited { id }, RegistryChange::Joined { id }]
        );
        drop(hall.port);
        hall.world.end().await;
    });
}

#[test]
fn the_port_is_open_only_while_somebody_may_join() {
    sim(async {
        let hall = Hall::new(2);
        let mut state = hall.port.state();
        assert_eq!(hall.state(), PortState::Closed);
        let token = hall.invite("ada", &["read:logs"], 60).await;
        assert_eq!(hall.state(), PortState::Open(hall.address));
        let cancel = Request::InvitationCancel { which: "ada".into() };
        assert!(matches!(hall.operator.answer(cancel).await, Answer::Changed { .. }));
        state.wait_for(|state| *state == PortState::Closed).await.unwrap();
        assert!(matches!(hall.ask(&token, &key(50)).await, Err(AskError::Unreachable(_))), "no socket");
        // Spent, it stays open until its end, for an answer that was lost.
        let token = hall.invite("ada", &["read:logs"], 60).await;
        hall.ask(&token, &key(50)).await.unwrap();
        pass(Duration::from_secs(55)).await;
        assert_eq!(hall.ask(&token, &key(50)).await.unwrap().name, name("ada"));
        pass(Duration::from_secs(10)).await;
        assert_eq!(hall.state(), PortState::Closed);
        assert!(matches!(hall.ask(&token, &key(50)).await, Err(AskError::Unreachable(_))));
        // It opens again, and says so by name to who is late.
        hall.invite("bob", &["read:logs"], 60).await;
        assert_eq!(hall.refused(&token, &key(50)).await, JoinRefusal::Expired);
    });
}

#[test]
fn an_invitation_is_good_for_one_key_which_may_ask_again() {
    sim(async {
        let hall = Hall::new(3);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let first = hall.ask(&token, &key(50)).await.unwrap();
        let again = hall.ask(&token, &key(50)).await.unwrap();
        assert_eq!((first.name, &first.ca, first.authority), (again.name, &again.ca, again.authority));
        assert_eq!(hall.refused(&token, &key(51)).await, JoinRefusal::Used);
        hall.world.dial(hall.identity(&first, &key(50))).await.unwrap();
        hall.world.dial(hall.identity(&again, &key(50))).await.unwrap();
        assert_eq!(hall.turned_away(), ["the invitation for ada was used by another key"]);
    });
}

#[test]
fn two_keys_at_once_and_one_of_them_gets_in() {
    sim(async {
        let hall = Hall::new(4);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let (one, other) = (key(50), key(51));
        let (one, other) = tokio::join!(hall.ask(&token, &one), hall.ask(&token, &other));
        let used = |end: &Result<_, AskError>| matches!(end, Err(AskError::Refused(JoinRefusal::Used)));
        assert!((one.is_ok() && used(&other)) || (other.is_ok() && used(&one)), "{one:?} {other:?}");
    });
}

#[test]
fn a_revoked_name_comes_back_with_a_new_key_only() {
    for cause in [RevocationCause::Operator, RevocationCause::Compromised] {
        sim(async move {
            let hall = Hall::new(5);
            let token = hall.invite("ada", &["read:logs"], 3600).await;
            let old = hall.ask(&token, &key(50)).await.unwrap();
            let out = Request::AgentRevoke { name: name("ada"), cause };
            hall.operator.answer(out).await;
            assert_eq!(hall.refused(&token, &key(50)).await, JoinRefusal::Key, "no answer to a burnt key");
            let next = hall.invite("ada", &["read:mail"], 3600).await;
            assert_eq!(hall.refused(&next, &key(50)).await, JoinRefusal::Key);
            let new = hall.ask(&next, &key(51)).await.unwrap();
            hall.world.dial(hall.identity(&new, &key(51))).await.unwrap();
            assert!(
                hall.world.dial(hall.identity(&old, &key(50))).await.is_err(),
                "the burnt key stays burnt"
            );
            let again = hall.try_invite("ada", &["read:logs"], 3600, key(9)).await.unwrap_err();
            assert!(again.contains("the name is taken"), "{again}");
        });
    }
}

#[test]
fn a_silent_agents_name_is_held_and_cannot_be_taken_over_by_an_invitation() {
    sim(async {
        let hall = Hall::new(6);
        hall.world.enrol("ada", &["read:logs"], &[]).await;
        hall.world.node.registry().revoke(name("ada"), RevocationCause::Silent).await.unwrap();
        let refused = hall.try_invite("ada", &["read:logs"], 60, key(9)).await.unwrap_err();
        assert!(refused.contains("agent reinstate"), "{refused}");
        assert_eq!(hall.state(), PortState::Closed);
    });
}

#[test]
fn a_grant_that_shrinks_before_a_repeated_answer_is_the_one_that_is_answered() {
    sim(async {
        let hall = Hall::new(7);
        let token = hall.invite("ada", &["read:logs", "read:mail"], 3600).await;
        hall.ask(&token, &key(50)).await.unwrap();
        let less = super::support::swarm::grant(&["read:logs"], &[]);
        hall.world.node.registry().narrow(name("ada"), less.clone()).await.unwrap();
        let again = hall.ask(&token, &key(50)).await.unwrap();
        let identity = hall.identity(&again, &key(50));
        let meaning = identity.token.verify(&identity.authority).unwrap();
        assert_eq!(meaning.rights(), &less.right);
    });
}

#[test]
fn the_wall_clock_ends_an_invitation_even_when_it_is_set() {
    sim(async {
        let hall = Hall::new(8);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        hall.world.swarm.env.skew(3_600_000);
        until("the port is closed", || hall.state() == PortState::Closed).await;
        assert!(matches!(hall.ask(&token, &key(50)).await, Err(AskError::Unreachable(_))));
        let states = hall.world.node.registry().invitations().await.unwrap();
        assert_eq!(states[0].1, InvitationState::Expired);
    });
}

#[test]
fn outstanding_invitations_are_bounded() {
    sim(async {
        let hall = Hall::new(9);
        for n in 0..64 {
            hall.invite(&format!("a{n}"), &["read:logs"], 3600).await;
        }
        let full = hall.try_invite("more", &["read:logs"], 3600, key(9)).await.unwrap_err();
        assert!(full.contains("too many invitations"), "{full}");
        let twice = hall.try_invite("a1", &["read:logs"], 3600, key(9)).await.unwrap_err();
        assert!(twice.contains("outstanding"), "{twice}");
        let long = hall.try_invite("more", &["read:logs"], 8 * 24 * 3600, key(9)).await.unwrap_err();
        assert!(long.contains("--ttl"), "{long}");
        let nobody: Result<_, VerbError<_>> =
            hall.world.node.registry().uninvite(testudo_wire::InvitationId::new([0; 16])).await;
        assert!(nobody.is_err());
    });
}

#[test]
fn a_port_that_could_not_be_had_is_had_when_it_is_free() {
    sim(async {
        let hall = Hall::new(10);
        hall.is_taken.store(true, Ordering::Relaxed);
        let refused = hall.try_invite("ada", &["read:logs"], 3600, key(9)).await.unwrap_err();
        assert!(refused.contains("cannot be opened") && refused.contains("set node.join"), "{refused}");
        assert_eq!(hall.world.node.registry().invitations().await, Ok(vec![]), "nobody holds it");
        hall.is_taken.store(false, Ordering::Relaxed);
        until("it is forgotten", || hall.state() == PortState::Closed).await;
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        hall.ask(&token, &key(50)).await.unwrap();
    });
}
