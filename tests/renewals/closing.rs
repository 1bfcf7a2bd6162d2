//! Links that were renewed and still drain when the node has to stop: they hear why, end with the others, and what was
//! under way on them is accounted for.

use std::time::Duration;

use testudo_rules::audit::Cause;
use testudo_wire::frame::{CloseReason, Seen};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{RegistrySequence, SessionId};
use tokio::time::Instant;

use super::by_hand::certified;
use crate::support::mallory::{Mallory, closed, greeting};
use crate::support::swarm::name;
use crate::support::world::message;
use crate::support::{World, pass, sim, until};

/// An agent with a message that it does not acknowledge on its older link, and the link that renewed that one.
async fn draining(world: &World) -> (Mallory, Mallory) {
    let identity = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
    let mut older = Mallory::dial(world, identity).await;
    let sender = world.agent("sender", &["read:logs"], &[]).await;
    sender.client.post(message("mallory", "read:logs", "never acknowledged")).await.unwrap();
    older.take().await.unwrap();
    let identity = certified(&mut older).await;
    let session = Some(older.link.welcome.seen.session);
    let newer = Mallory::dial_renewing(world, identity, session).await;
    assert!(older.link.connection.close_reason().is_none(), "it drains");
    (older, newer)
}

#[test]
fn t_a75_on_an_old_copy_of_its_disk_a_node_serves_no_draining_link_either() {
    sim(async {
        let world = World::new(41);
        let (older, newer) = draining(&world).await;
        let witness = world.enrol("witness", &["read:logs"], &[]).await;
        let (session, now) = (SessionId::new([7; 16]), older.link.welcome.seen.time);
        let (node, key) = (&world.swarm.node_key, witness.key.public());
        let ahead = Seen::sign(node, &world.swarm.id, &key, session, RegistrySequence(99), now);
        let began = Instant::now();
        let env = world.swarm.env.another();
        assert!(world.dial_with(witness, Some(ahead), env).await.is_err());
        for link in [&older, &newer] {
            assert_eq!(link.closed().await, CloseReason::StaleRegistry);
        }
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        until("all is accounted for", || world.node.metrics().account().in_flight == 0).await;
        world.end().await;
    });
}

#[test]
fn a_node_that_ends_takes_five_seconds_at_most_and_tells_draining_links_too() {
    sim(async {
        let world = World::new(42);
        let (older, newer) = draining(&world).await;
        let began = Instant::now();
        let metrics = world.node.metrics().clone();
        let ending = tokio::spawn(async move {
            let (account, _) = world.end().await;
            (account, began.elapsed())
        });
        let heard = [older.closed().await, newer.closed().await];
        // The older one had its five seconds half behind it.
        assert_eq!(heard, [CloseReason::Shutdown, CloseReason::Shutdown]);
        let (account, took) = ending.await.unwrap();
        assert!(took <= Duration::from_secs(5), "{took:?}");
        assert_eq!((account.submitted, account.failed, account.in_flight), (1, 1, 0), "{account:?}");
        assert_eq!(metrics.failures(), [(Cause::Shutdown.as_str(), 1)]);
    });
}

#[test]
fn t_a37_a_revoked_agent_loses_its_draining_link_at_once() {
    sim(async {
        let world = World::new(43);
        let (older, newer) = draining(&world).await;
        world.node.registry().revoke(name("mallory"), RevocationCause::Operator).await.unwrap();
        for link in [&older, &newer] {
            let reason = CloseReason::Revoked(RevocationCause::Operator);
            assert_eq!(link.closed().await, reason);
        }
        pass(Duration::from_millis(50)).await;
        assert!(!world.node.linked().contains(&name("mallory")));
        world.end().await;
    });
}

#[test]
fn a_renewing_link_that_takes_no_welcome_ends_the_older_one_and_the_agent_comes_back() {
    sim(async {
        let world = World::new(44);
        let identity = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
        let mut older = Mallory::dial(&world, identity).await;
        let identity = certified(&mut older).await;
        let session = Some(older.link.welcome.seen.session);
        let (connection, _control, mut answers) = greeting(&world, &identity, 64, session).await;
        answers.stop(0_u32.into()).unwrap();
        assert_eq!(closed(&connection).await, CloseReason::Protocol);
        // The registry counts the other by now: left open, its agent would be called silent.
        assert_eq!(older.closed().await, CloseReason::Lagging);
        until("its route is gone", || !world.node.linked().contains(&name("mallory"))).await;
        let again = Mallory::dial(&world, identity).await;
        assert!(world.node.linked().contains(&name("mallory")));
        assert!(again.link.connection.close_reason().is_none());
        world.end().await;
    });
}
