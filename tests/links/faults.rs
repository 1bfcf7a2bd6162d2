//! Links that come to nothing at the last step, and links on which a task of the node's own fails: each ends, the log
//! says why, no route is left behind, and every message of it is accounted for.

use std::time::Duration;

use testudo_bus::client::{Client, ClientIdentity, SendError};
use testudo_rules::audit::LinkChange;
use testudo_wire::frame::{CloseReason, FromAgent, Present};
use tokio::time::Instant;

use crate::support::mallory::{Mallory, closed, greeting};
use crate::support::swarm::name;
use crate::support::world::message;
use crate::support::{World, pass, sim, until};

/// What the log says of peers that were turned away, and of links that ended.
fn reasons(world: &World) -> Vec<String> {
    let ledger = world.ledger();
    let of = |what: &LinkChange| match what {
        LinkChange::Refused { reason } | LinkChange::Closed { reason } => Some(reason.to_string()),
        LinkChange::Certified { .. }
        | LinkChange::Displaced { .. }
        | LinkChange::DisplacedTooOften { .. }
        | LinkChange::Opened
        | LinkChange::Subscribed { .. }
        | LinkChange::SubscriptionRefused { .. }
        | LinkChange::SubscriptionWithdrawn { .. }
        | LinkChange::Unsubscribed { .. } => None,
    };
    ledger.links().filter_map(|link| of(&link.what)).collect()
}

async fn comes_and_goes(world: &World, identity: ClientIdentity) {
    let agent = world.dial(identity).await.unwrap();
    agent.client.tell(message("reader", "read:logs", "here I am")).await.unwrap();
    agent.client.goodbye().await;
}

#[test]
fn who_does_not_take_its_welcome_is_turned_away_and_may_come_again_at_once() {
    sim(async {
        let world = World::new(31);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let identity = world.enrol("agent", &["read:logs"], &[]).await;
        // Stopped before the welcome; and open, but with no room for one.
        for (window, says) in [(64, "the control stream broke"), (1, "it does not read its welcome")] {
            let (connection, _control, mut answers) = greeting(&world, &identity, window, None).await;
            let began = Instant::now();
            if window > 1 {
                answers.stop(0_u32.into()).unwrap();
            }
            assert_eq!(closed(&connection).await, CloseReason::Protocol);
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
            let said = reasons(&world);
            assert!(said.iter().any(|reason| reason == says), "{says:?} is not in {said:?}");
            assert!(!world.node.linked().contains(&name("agent")), "a route to nowhere");
            comes_and_goes(&world, identity.clone()).await;
            assert_eq!(reader.next().await.unwrap().body(), "here I am");
        }
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (2, 2), "{account:?}");
        let displaced = |what: &LinkChange| matches!(what, LinkChange::Displaced { .. });
        assert_eq!(ledger.links().filter(|link| displaced(&link.what)).count(), 0, "nobody was in its way");
    });
}

#[test]
fn who_stops_listening_to_its_control_stream_loses_its_link() {
    sim(async {
        let world = World::new(32);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let identity = world.enrol("agent", &["read:logs"], &[]).await;
        let (connection, mut control, mut answers) = greeting(&world, &identity, 64 * 1024, None).await;
        until("it is linked", || world.node.linked().contains(&name("agent"))).await;
        answers.stop(0_u32.into()).unwrap();
        pass(Duration::from_millis(10)).await;
        // Whatever it is told now finds the stream stopped.
        let token = identity.token.seal().unwrap();
        let show = FromAgent::Present(Present { token: token.bytes().to_vec() });
        let shown = testudo_bus::stream::write_frame(&mut control, show.encode().unwrap()).await;
        assert!(shown.is_ok());
        assert_eq!(closed(&connection).await, CloseReason::Protocol);
        comes_and_goes(&world, identity).await;
        assert_eq!(reader.next().await.unwrap().body(), "here I am");
        world.end().await;
    });
}

fn has_ended(client: &Client) -> bool {
    futures_util::FutureExt::now_or_never(client.closed()).is_some()
}

/// The clock panics for whoever is the n-th to look at it: the guard twice, then the writer of the receiver's link.
#[test]
fn a_writer_that_panics_takes_its_link_along_and_the_sender_hears_of_its_message() {
    sim(async {
        let world = World::new(33);
        let reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let identity = (*reader.client.identity()).clone();
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let (panics, client) = (world.swarm.env.clone(), sender.client.clone());
        let asked = tokio::spawn(async move {
            panics.panic_at(3);
            client.request(message("reader", "read:logs", "never to arrive")).await
        });
        let ended = Instant::now();
        until("the link ends", || has_ended(&reader.client)).await;
        assert!(ended.elapsed() < Duration::from_secs(1), "nobody waits for it: {:?}", ended.elapsed());
        assert!(world.swarm.env.has_panicked() && world.node.metrics().guard_faults() == 0);
        assert!(!has_ended(&sender.client), "nobody else pays for it");
        let heard = asked.await.unwrap().unwrap_err();
        assert!(matches!(heard, SendError::Unknown | SendError::Refused { .. }), "{heard:?}");
        let mut reader = world.dial(identity).await.unwrap();
        sender.client.tell(message("reader", "read:logs", "once more")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "once more");
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (2, 1), "{account:?}");
    });
}

/// The reader of the control stream looks at the clock when it is shown a token.
#[test]
fn a_reader_that_panics_takes_its_link_along_with_its_route() {
    sim(async {
        let world = World::new(34);
        let identity = world.enrol("agent", &["read:logs"], &["read:logs"]).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let mut mallory = Mallory::dial(&world, identity.clone()).await;
        sender.client.post(message("agent", "read:logs", "under way")).await.unwrap();
        assert!(mallory.take().await.is_some());
        let token = identity.token.seal().unwrap();
        world.swarm.env.panic_at(1);
        mallory.say(FromAgent::Present(Present { token: token.bytes().to_vec() })).await;
        assert_eq!(mallory.closed().await, CloseReason::Protocol);
        assert!(world.swarm.env.has_panicked());
        until("the route is gone", || !world.node.linked().contains(&name("agent"))).await;
        until("its message is accounted for", || world.node.metrics().account().in_flight == 0).await;
        until("its sender hears of it", || sender.client.lost() == 1).await;
        let said = reasons(&world);
        assert!(said.iter().any(|reason| reason == "the node failed on this link"), "{said:?}");
        let mut again = world.dial(identity).await.unwrap();
        sender.client.tell(message("agent", "read:logs", "once more")).await.unwrap();
        assert_eq!(again.next().await.unwrap().body(), "once more");
        let (account, _) = world.end().await;
        assert_eq!((account.delivered, account.failed), (1, 1), "{account:?}");
    });
}

/// What runs beside the actors, such as the renewal of the node's own certificate, is missed when it is gone.
#[test]
fn a_task_of_the_node_that_has_panicked_shows_in_its_health() {
    sim(async {
        let world = World::new(35);
        assert!(world.node.actors_live());
        world.swarm.env.panic_at(1);
        pass(Duration::from_secs(24 * 60 * 60)).await;
        assert!(world.swarm.env.has_panicked());
        assert!(!world.node.actors_live());
    });
}

/// Nobody makes the log durable any more: its health says so twice, and nothing is delivered.
#[test]
fn t_f06_the_end_of_the_audit_logs_task_shows_in_the_health_of_the_actors() {
    sim(async {
        let world = World::new(36);
        let sync = tokio::spawn(world.node.audit().clone().run_sync());
        pass(Duration::from_secs(1)).await;
        assert!(world.node.actors_live() && world.node.audit().health().is_working());
        sync.abort();
        assert!(sync.await.unwrap_err().is_cancelled());
        assert!(!world.node.actors_live() && !world.node.audit().health().is_working());
    });
}
