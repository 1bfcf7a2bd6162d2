//! Agents that panic: what their askers hear, what becomes of them, and that nobody else is harmed.

use std::time::Duration;

use futures_util::future::join_all;
use testudo::agents::{Handlers, HostOptions, Served, Stopped};
use testudo::embedded::{Role, Swarm};
use testudo::operator::{Answer, Request};
use testudo::{DialError, connect, server};
use testudo_rules::audit::RegistryChange;
use testudo_wire::Refusal;
use testudo_wire::standing::RevocationCause;
use tokio::time::timeout;

use super::kit::{agent, ask, caller, grant, hosted, hosted_as, refused, remote, stop};
use crate::support::{World, pass, sim};

/// Gives back what it is given, and fails over every tenth.
fn fragile() -> Served {
    let echo = |n: u64, _| async move {
        assert_ne!(n % 10, 0, "the test's own fault");
        Ok(n)
    };
    Handlers::new().on("echo:number", echo).build().unwrap()
}

fn steady() -> Served {
    Handlers::new().on("echo:number", |n: u64, _| async move { Ok(n) }).build().unwrap()
}

#[test]
fn t_a58_one_message_in_ten_panics_and_no_other_is_lost() {
    sim(async {
        let world = World::new(81);
        let serves = grant(&[], &["echo:number"]);
        let patient = HostOptions { rebuilds: 100, ..HostOptions::default() };
        let broken = hosted(&world, "fragile", &serves, fragile, patient).await;
        let neighbour = hosted(&world, "steady", &serves, steady, HostOptions::default()).await;
        let asker = caller(&world, "asker", &["echo:number"]).await;

        let bus = &asker.bus;
        let asked = (1..=200).map(|n| async move {
            (n, ask(bus, "fragile", "echo:number", n).await, ask(bus, "steady", "echo:number", n).await)
        });
        for (n, of_fragile, of_steady) in join_all(asked).await {
            assert_eq!(of_steady.unwrap(), n);
            match n % 10 {
                0 => assert_eq!(remote(of_fragile), "agent-fault"),
                _ => assert_eq!(of_fragile.unwrap(), n),
            }
        }
        assert_eq!((broken.faults(), neighbour.faults()), (20, 0));
        stop([broken, neighbour]).await;
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (800, 800), "400 questions, 400 answers");
    });
}

#[test]
fn an_agent_is_back_within_ten_milliseconds_of_its_panic() {
    sim(async {
        let world = World::new(82);
        let serves = grant(&[], &["echo:number"]);
        let host = hosted(&world, "fragile", &serves, fragile, HostOptions::default()).await;
        let asker = caller(&world, "asker", &["echo:number"]).await;
        let fault = ask(&asker.bus, "fragile", "echo:number", 10);
        let next = ask(&asker.bus, "fragile", "echo:number", 11);
        // Sent together: the second is handled by the agent that was built after the first.
        let since = tokio::time::Instant::now();
        let (fault, next) = tokio::join!(fault, next);
        assert_eq!((remote(fault).as_str(), next.unwrap(), host.faults()), ("agent-fault", 11, 1));
        // There and back over the network of this test takes four of them.
        assert!(since.elapsed() <= Duration::from_millis(14), "{:?}", since.elapsed());
        stop([host]).await;
        world.end().await;
    });
}

#[test]
fn an_agent_that_fails_too_often_is_revoked_reported_and_reinstated_with_new_tokens() {
    sim(async {
        let world = World::new(83);
        let serves = grant(&[], &["echo:number"]);
        let identity = world.swarm.enrol(&world.node, "fragile", &serves).await;
        let host = hosted_as(&world, identity.clone(), fragile, HostOptions::default()).await;
        let neighbour = hosted(&world, "steady", &serves, steady, HostOptions::default()).await;
        let asker = caller(&world, "asker", &["echo:number"]).await;
        for _ in 0..6 {
            assert_eq!(remote(ask(&asker.bus, "fragile", "echo:number", 10).await), "agent-fault");
        }
        assert_eq!(host.stopped().await, Stopped::TooManyFaults);
        assert_eq!(refused(ask(&asker.bus, "fragile", "echo:number", 1).await), Refusal::Unroutable);
        assert_eq!(
            ask(&asker.bus, "steady", "echo:number", 1).await.unwrap(),
            1,
            "the neighbour is unharmed"
        );

        let back = world.node.registry().reinstate(agent("fragile")).await.unwrap();
        let renewed = world.swarm.identity(identity.key.clone(), identity.name, &serves, back);
        let again = hosted_as(&world, renewed, fragile, HostOptions::default()).await;
        assert_eq!(ask(&asker.bus, "fragile", "echo:number", 1).await.unwrap(), 1);
        stop([again, neighbour]).await;
        let (_, ledger) = world.end().await;
        let failed = RegistryChange::Revoked(RevocationCause::Failed);
        let changes = [RegistryChange::Enrolled, failed, RegistryChange::Reinstated];
        assert_eq!(ledger.changes(agent("fragile")), changes);
    });
}

#[test]
fn every_asker_of_an_agent_that_stops_hears_so() {
    sim(async {
        let world = World::new(84);
        let slow = Handlers::new().on("echo:number", |n: u64, _| async move {
            pass(Duration::from_millis(10)).await;
            Ok(n)
        });
        let (slow, serves) = (slow.build().unwrap(), grant(&[], &["echo:number"]));
        let host = hosted(&world, "slow", &serves, move || slow.clone(), HostOptions::default()).await;
        let asker = caller(&world, "asker", &["echo:number"]).await;
        let stopping = async {
            pass(Duration::from_millis(35)).await;
            host.stop();
            host.stopped().await
        };
        let asked = join_all((0..20).map(|n| ask(&asker.bus, "slow", "echo:number", n)));
        let (answers, why) = tokio::join!(asked, stopping);
        let (done, turned_away): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), why), (4, Stopped::Asked), "the one in hand may finish");
        for asked in turned_away {
            assert_eq!(remote(asked), "agent-stopped");
        }
        world.end().await;
    });
}

#[test]
fn the_operator_brings_a_failed_agent_of_an_embedded_swarm_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = async {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("swarm");
        let swarm = Swarm::builder("kept").data(&folder).start().await.unwrap();
        let identity = swarm.enrol("fragile", Role::new().serve("echo:number")).await.unwrap();
        let strict = HostOptions { rebuilds: 0, ..HostOptions::default() };
        let host = connect(&identity).await.unwrap().host(fragile, strict).await.unwrap();
        let asker = swarm.connect("asker", Role::new().allow("echo:number")).await.unwrap();
        assert_eq!(remote(ask(&asker.bus(), "fragile", "echo:number", 10).await), "agent-fault");
        assert_eq!(host.stopped().await, Stopped::TooManyFaults);
        assert!(matches!(connect(&identity).await, Err(DialError::Revoked)));

        let name = agent("fragile");
        let answer = server::ask(&folder.join("data"), &Request::AgentReinstate { name }).await.unwrap();
        assert!(matches!(answer, Answer::Changed { .. }), "{answer:?}");
        let renewed = swarm.renew(&identity).await.unwrap();
        connect(&renewed).await.unwrap().host(fragile, strict).await.unwrap();
        assert_eq!(ask(&asker.bus(), "fragile", "echo:number", 1).await.unwrap(), 1);
        assert!(swarm.shut_down().await.unwrap().is_balanced());
    };
    runtime.block_on(async { timeout(Duration::from_secs(20), test).await.unwrap() });
}
