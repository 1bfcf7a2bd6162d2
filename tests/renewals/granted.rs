//! A grant that is changed while its agent runs: what is taken is gone at once, what is given is there as soon as the agent
//! has a token for it, which it fetches by itself; what was under way goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use testudo_bus::client::{Arrivals, ClientIdentity, DialError, Ended, Member, SendError};
use testudo_rules::audit::LinkChange;
use testudo_wire::amend::{Amendment, Lists};
use testudo_wire::{Capability, ContentType, Refusal, Resource};

use crate::support::swarm::{capability, name};
use crate::support::world::message;
use crate::support::{World, pass, sim};

const SECOND: Duration = Duration::from_secs(1);

async fn joined(world: &World, who: &str, right: &[&str], serve: &[&str]) -> (Member, Arrivals) {
    rejoined(world, &Arc::new(world.enrol(who, right, serve).await)).await.unwrap()
}

async fn rejoined(world: &World, identity: &Arc<ClientIdentity>) -> Result<(Member, Arrivals), Ended> {
    let (_, endpoint) = world.endpoint();
    let env = world.swarm.env.another();
    let (member, arrivals) =
        Member::join(move || Ok(endpoint.clone()), world.address, identity.clone(), None, env);
    member.connected().await?;
    Ok((member, arrivals))
}

fn set(texts: &[&str]) -> BTreeSet<Capability> {
    texts.iter().map(|text| capability(text)).collect()
}

fn rights(add: &[&str], remove: &[&str]) -> Amendment {
    let lists = |texts| Lists { right: set(texts), ..Lists::default() };
    Amendment { add: lists(add), remove: lists(remove), ..Amendment::default() }
}

async fn amend(world: &World, who: &str, amendment: Amendment) {
    world.node.registry().amend(name(who), amendment).await.unwrap();
}

fn refused(answer: Result<impl std::fmt::Debug, SendError>) -> Refusal {
    match answer {
        Err(SendError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_right_that_is_given_is_there_within_a_second_again_and_again_and_open_requests_go_on() {
    sim(async {
        let world = World::new(61);
        let (reader, mut asked) =
            joined(&world, "reader", &["write:nothing"], &["read:logs", "write:logs", "read:mail"]).await;
        let (member, _arrivals) = joined(&world, "member", &["read:logs"], &[]).await;
        assert_eq!(refused(member.tell(message("reader", "write:logs", "x")).await), Refusal::Unauthorised);
        let asking = member.clone();
        let open = tokio::spawn(async move { asking.request(message("reader", "read:logs", "early")).await });
        let early = asked.next().await.unwrap();
        let first = member.session();
        // Twice within the minute in which a node certifies once.
        for more in ["write:logs", "read:mail"] {
            amend(&world, "member", rights(&[more], &[])).await;
            pass(SECOND).await;
            member.tell(message("reader", more, "now it may")).await.unwrap();
            member.tell(message("reader", "read:logs", "as before")).await.unwrap();
        }
        reader.reply(&early, ContentType::text(), "late").await.unwrap();
        assert_eq!(open.await.unwrap().unwrap().body(), "late");
        assert_eq!(member.lost(), 0);
        assert!(member.session().is_some() && first.is_some());
        let displaced =
            world.ledger().links().filter(|l| matches!(l.what, LinkChange::Displaced { .. })).count();
        assert_eq!(displaced, 0, "its links were renewed");
        world.end().await;
    });
}

#[test]
fn a_right_that_is_taken_is_gone_at_once_and_the_agent_stays() {
    sim(async {
        let world = World::new(62);
        let (reader, _asked) =
            joined(&world, "reader", &["subscribe:news"], &["read:logs", "read:mail"]).await;
        let (member, _arrivals) = joined(&world, "member", &["read:logs", "read:mail"], &[]).await;
        let news = Resource::parse("news").unwrap();
        reader.subscribe(news).await.unwrap();
        amend(&world, "member", rights(&[], &["read:mail"])).await;
        // With the old token as with the new one.
        let at_once = refused(member.tell(message("reader", "read:mail", "x")).await);
        assert!(matches!(at_once, Refusal::Revoked | Refusal::Unauthorised), "{at_once}");
        amend(&world, "reader", rights(&[], &["subscribe:news"])).await;
        pass(SECOND).await;
        assert_eq!(refused(member.tell(message("reader", "read:mail", "x")).await), Refusal::Unauthorised);
        member.tell(message("reader", "read:logs", "what is left")).await.unwrap();
        assert!(reader.topics().is_empty(), "asked again at the change");
        amend(&world, "reader", rights(&["subscribe:news"], &[])).await;
        reader.subscribe(news).await.unwrap();
        // What it serves is the registry's alone: no token has to come first.
        let unserve = Lists { serve: set(&["read:logs"]), ..Lists::default() };
        amend(&world, "reader", Amendment { remove: unserve, ..Amendment::default() }).await;
        pass(SECOND).await;
        assert_eq!(refused(member.tell(message("reader", "read:logs", "x")).await), Refusal::Unroutable);
        world.end().await;
    });
}

#[test]
fn changes_that_come_close_together_cost_no_link() {
    sim(async {
        let world = World::new(66);
        let (_reader, _asked) = joined(&world, "reader", &["write:nothing"], &["read:logs"]).await;
        let (member, _arrivals) = joined(&world, "member", &["read:logs"], &[]).await;
        for gap in 0..40 {
            for more in [&["write:a"], &["write:b"]] {
                amend(&world, "member", rights(more, &[])).await;
                pass(Duration::from_micros(500 * gap)).await;
                amend(&world, "member", rights(&[], more)).await;
            }
            pass(SECOND).await;
            member.tell(message("reader", "read:logs", "x")).await.unwrap();
        }
        let ledger = world.ledger();
        // No link but the second of each renewal, and none that had to ask for a token alone.
        let bad = |l: &&testudo_rules::audit::LinkEvent| match &l.what {
            LinkChange::Closed { reason } => {
                !["renewed on another link", "closed"].contains(&reason.as_str())
            }
            LinkChange::Displaced { .. } | LinkChange::DisplacedTooOften { .. } => true,
            LinkChange::Certified { .. }
            | LinkChange::Opened
            | LinkChange::Refused { .. }
            | LinkChange::Subscribed { .. }
            | LinkChange::SubscriptionRefused { .. }
            | LinkChange::SubscriptionWithdrawn { .. }
            | LinkChange::Unsubscribed { .. } => false,
        };
        let lost: Vec<_> = ledger.links().filter(bad).map(|l| format!("{:?}", l.what)).collect();
        assert!(lost.is_empty() && member.lost() == 0, "{lost:?}");
        world.end().await;
    });
}

/// Whoever asks for no new token is bound all the same.
#[test]
fn a_quota_that_is_lowered_binds_a_link_that_is_open() {
    sim(async {
        let world = World::new(65);
        let agent = world.agent("agent", &["read:logs"], &[]).await;
        let slow = Amendment { bundles_per_second: Some(1), ..Amendment::default() };
        amend(&world, "agent", slow).await;
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(refused(agent.client.tell(message("agent", "read:logs", "x")).await));
        }
        assert_eq!(said, [Refusal::Revoked, Refusal::OverQuota, Refusal::OverQuota]);
        world.end().await;
    });
}

/// A token that is void because its holder is out is not asked for anew.
#[test]
fn a_member_that_is_revoked_asks_for_nothing() {
    sim(async {
        let world = World::new(63);
        let (member, _arrivals) = joined(&world, "member", &["read:logs"], &[]).await;
        let cause = testudo_wire::standing::RevocationCause::Operator;
        world.node.registry().revoke(name("member"), cause).await.unwrap();
        assert!(matches!(member.ended().await, Ended::Refused(_)));
        let certified =
            world.ledger().links().filter(|l| matches!(l.what, LinkChange::Certified { .. })).count();
        assert_eq!(certified, 0);
        world.end().await;
    });
}

#[test]
fn a_member_that_was_away_when_its_grant_changed_comes_back_with_a_token_for_it() {
    sim(async {
        let world = World::new(64);
        let (_reader, _asked) =
            joined(&world, "reader", &["write:nothing"], &["read:logs", "write:logs"]).await;
        let identity = Arc::new(world.enrol("member", &["read:logs"], &[]).await);
        amend(&world, "member", rights(&["write:logs"], &[])).await;
        let (member, _arrivals) = rejoined(&world, &identity).await.unwrap();
        for right in ["read:logs", "write:logs"] {
            member.tell(message("reader", right, "now it may")).await.unwrap();
        }
        assert!(member.identity().token.bytes() != identity.token.bytes(), "to be kept");
        member.goodbye().await;
        // Voided by its id is not outdated: an operator gives another, or nobody.
        let newest = member.identity();
        let meaning = newest.token.verify(&newest.tokens()).unwrap();
        let id = meaning.chain().next().unwrap().id;
        world.node.registry().revoke_token(id).await.unwrap();
        pass(61 * SECOND).await;
        let refused = rejoined(&world, &newest).await;
        assert!(matches!(&refused, Err(Ended::Refused(why)) if matches!(**why, DialError::Revoked)));
        // Nor is who is out.
        let cause = testudo_wire::standing::RevocationCause::Operator;
        world.node.registry().revoke(name("member"), cause).await.unwrap();
        assert!(rejoined(&world, &identity).await.is_err());
        let ledger = world.ledger();
        let certified = ledger.links().filter(|l| matches!(l.what, LinkChange::Certified { .. })).count();
        assert_eq!(certified, 1);
        world.end().await;
    });
}
