//! A link ends with a certificate, and an identity can be too old to renew.

use std::time::Duration;

use testudo_bus::client::{Client, DialError};
use testudo_bus::env::Env as _;
use testudo_wire::SpiffeId;
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::RevocationCause;
use tokio::time::Instant;

use crate::support::swarm::name;
use crate::support::{World, pass, sim};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Held for 25 hours: the node ends the link with the agent's certificate, and an agent whose own lasts longer ends
/// it with the node's. Neither waits for a message to come along.
#[test]
fn t_a12_a_link_outlives_neither_certificate() {
    sim(async {
        let world = World::new(1);
        let daily = world.agent("daily", &["read:logs"], &[]).await;
        let mut identity = world.enrol("weekly", &["read:logs"], &[]).await;
        let id = SpiffeId::Agent(world.swarm.id, identity.name);
        let key = identity.key.public();
        identity.chain = vec![world.swarm.ca.issue(&id, &key, 7 * 24 * HOUR, &*world.swarm.env).unwrap()];
        let began = Instant::now();
        let weekly = world.dial(identity.clone()).await.unwrap();
        let ended = |client: Client| tokio::spawn(async move { (client.closed().await, Instant::now()) });
        let (daily, weekly) = (ended(daily.client.clone()), ended(weekly.client.clone()));
        pass(25 * HOUR).await;
        let (why, at) = daily.await.unwrap();
        assert!(matches!(why, DialError::Closed(CloseReason::CertificateExpired)), "{why}");
        assert!(at.duration_since(began) <= 24 * HOUR + SECOND / 2, "{:?}", at.duration_since(began));
        let (why, at) = weekly.await.unwrap();
        assert!(matches!(why, DialError::Link(_)), "its own end closed it: {why}");
        assert!(at.duration_since(began) <= 24 * HOUR + SECOND, "{:?}", at.duration_since(began));
        assert_eq!(world.node.linked(), []);
        let until = world.node.certificate().not_after;
        assert!(until > world.swarm.env.now().after(8 * HOUR), "the node has a new one");
        world.end().await;
    });
}

#[test]
fn t_a12_a_revoked_agent_gets_no_certificate_and_no_link_in_its_last_second() {
    sim(async {
        let world = World::new(2);
        let agent = world.agent("leaver", &["read:logs"], &[]).await;
        let identity = std::sync::Arc::new(agent.client.certify().await.unwrap());
        world.node.registry().revoke(name("leaver"), RevocationCause::Operator).await.unwrap();
        let began = Instant::now();
        let why = agent.client.closed().await;
        assert!(matches!(why, DialError::Closed(CloseReason::Revoked(RevocationCause::Operator))), "{why}");
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
        let (_, endpoint) = world.endpoint();
        assert!(agent.client.renew(&endpoint, identity.clone()).await.is_err());
        let env = world.swarm.env.another();
        let dialled = testudo_bus::client::dial(&endpoint, world.address, &identity, None, env).await;
        assert!(matches!(dialled, Err(DialError::Revoked)), "{dialled:?}");
        world.end().await;
    });
}

#[test]
fn an_identity_that_was_away_for_too_long_is_told_what_to_do() {
    sim(async {
        let world = World::new(3);
        let identity = world.enrol("sleeper", &["read:logs"], &[]).await;
        pass(25 * HOUR).await;
        let why = world.dial(identity).await.map(drop).unwrap_err();
        assert!(matches!(why, DialError::Expired), "{why}");
        assert!(why.to_string().contains("testudo agent renew"), "{why}");
        world.end().await;
    });
}
