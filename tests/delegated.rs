//! Agents without authority of their own, and agents whose host gave up, on a whole node and a paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use support::swarm::{grant, name};
use support::world::message;
use support::{World, sim};
use testudo_bus::client::{DialError, SendError};
use testudo_rules::audit::RegistryChange;
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::{Grant, RevocationCause};
use testudo_wire::{ContentType, Refusal};

fn refused(refusal: Refusal) -> SendError {
    SendError::Refused { refusal, rules: Vec::new() }
}

#[test]
fn a_tool_without_authority_of_its_own_acts_for_its_caller_and_answers() {
    sim(async {
        let world = World::new(31);
        let bound = Grant { delegated_only: true, ..grant(&["read:logs"], &["sum:logs"]) };
        let tool = world.swarm.enrol(&world.node, "tool", &bound).await;
        let boss = world.enrol("boss", &["read:logs", "sum:logs"], &[]).await;
        let handed = world.swarm.delegated(&boss, &tool, "read:logs").seal().unwrap();
        let in_a_circle = world.swarm.delegated(&tool, &tool, "read:logs").seal().unwrap();
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let mut tool = world.dial(tool).await.unwrap();
        let boss = world.dial(boss).await.unwrap();

        let mut ask = message("reader", "read:logs", "on my own");
        assert_eq!(tool.client.tell(ask.clone()).await, Err(refused(Refusal::Unauthorised)));
        ask.token = Some(tool.client.present(&in_a_circle).await.unwrap());
        assert_eq!(tool.client.tell(ask).await, Err(refused(Refusal::Unauthorised)), "handed to itself");

        let answering = tokio::spawn(async move {
            let request = tool.next().await.unwrap();
            let mut ask = message("reader", "read:logs", "on behalf of boss");
            ask.token = Some(tool.client.present(&handed).await.unwrap());
            tool.client.tell(ask).await.unwrap();
            tool.client.reply(&request, ContentType::text(), "done").await.unwrap();
            tool
        });
        let answer = boss.client.request(message("tool", "sum:logs", "please")).await.unwrap();
        assert_eq!(answer.body(), "done", "replies need no authority");
        assert_eq!(reader.next().await.unwrap().body(), "on behalf of boss", "and nothing before it");
        drop(answering.await.unwrap());
        world.end().await;
    });
}

#[test]
fn an_agent_that_gives_up_is_out_with_what_it_delegated_until_it_is_reinstated() {
    sim(async {
        let world = World::new(32);
        let helper = world.enrol("helper", &["write:nothing"], &[]).await;
        let identity = world.enrol("fragile", &["read:logs"], &[]).await;
        let delegated = world.swarm.delegated(&identity, &helper, "read:logs").seal().unwrap();
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let fragile = world.dial(identity.clone()).await.unwrap();
        let helper = world.dial(helper).await.unwrap();
        let mut under = message("reader", "read:logs", "on behalf");
        under.token = Some(helper.client.present(&delegated).await.unwrap());
        helper.client.tell(under.clone()).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "on behalf");

        let registry = world.node.registry();
        registry.fail(name("fragile"), helper.client.session()).await.expect_err("not its link");
        registry.fail(name("fragile"), fragile.client.session()).await.unwrap();
        let failed = RevocationCause::Failed;
        let closed = fragile.client.closed().await;
        assert!(
            matches!(closed, DialError::Closed(CloseReason::Revoked(cause)) if cause == failed),
            "{closed}"
        );
        assert_eq!(helper.client.tell(under).await, Err(refused(Refusal::Revoked)));
        assert!(matches!(world.dial(identity.clone()).await, Err(DialError::Revoked)));

        let back = registry.reinstate(name("fragile")).await.unwrap();
        let rights = grant(&["read:logs"], &[]);
        let renewed = world.swarm.identity(identity.key, identity.name, &rights, back);
        let fragile = world.dial(renewed).await.unwrap();
        fragile.client.tell(message("reader", "read:logs", "back")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "back");
        let (_, ledger) = world.end().await;
        let changes = [RegistryChange::Enrolled, RegistryChange::Revoked(failed), RegistryChange::Reinstated];
        assert_eq!(ledger.changes(name("fragile")), changes);
    });
}
