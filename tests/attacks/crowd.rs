//! What one flooder costs a crowd of honest agents: on a clock that counts waiting and nothing else, so that it is the
//! order of things that is measured and not the machine. `cargo bench --bench fairness` measures the machine.

use std::time::Duration;

use testudo_bus::client::Client;
use testudo_wire::ContentType;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::mallory::Mallory;
use crate::support::swarm::name;
use crate::support::world::message;
use crate::support::{World, pass, sim};
use crate::{deafen, headers, sign};

const CROWD: usize = 50;
const EACH: usize = 4;

/// Answers whatever it is asked, and forgets what it is told.
async fn server(world: &World, who: &str) {
    let mut server = world.agent(who, &["write:nothing"], &["read:logs"]).await;
    tokio::spawn(async move {
        while let Some(delivery) = server.inbox.next().await {
            if delivery.wants_reply() {
                let _ = server.client.reply(&delivery, ContentType::text(), "answer").await;
            }
        }
    });
}

/// The 99th percentile of what everyone's requests to `to` take.
async fn p99(crowd: &[Client], to: &'static str) -> Duration {
    let mut asking = JoinSet::new();
    for (n, client) in crowd.iter().cloned().enumerate() {
        asking.spawn(async move {
            let mut took = Vec::new();
            for round in 0..EACH {
                pass(Duration::from_millis(((n * 7 + round * 13) % 40) as u64)).await;
                let began = Instant::now();
                client.request(message(to, "read:logs", "question")).await.unwrap();
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut all: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    all[all.len() * 99 / 100]
}

#[test]
fn t_a64_a_flooder_costs_fifty_honest_agents_at_most_twice_their_99th_percentile() {
    sim(async {
        let world = World::new(64);
        for who in ["flooded", "other"] {
            server(&world, who).await;
        }
        let mut crowd = Vec::new();
        for n in 0..CROWD {
            crowd.push(world.agent(&format!("good{n}"), &["read:logs"], &[]).await.client);
        }
        let alone = [p99(&crowd, "flooded").await, p99(&crowd, "other").await];

        let identity = world.enrol("mallory", &["read:logs"], &[]).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let hearing = deafen(&mut mallory).await;
        let (connection, env) = (mallory.link.connection.clone(), world.swarm.env.clone());
        let flooding = tokio::spawn(async move {
            loop {
                let mut headers = headers(&mut mallory, "flooded", 100);
                headers.iter_mut().for_each(|header| {
                    header.timestamp = testudo_bus::env::Env::now(&*env);
                });
                mallory.send(sign(&mallory, &headers, &[b'x'; 100]).bytes()).await;
                pass(Duration::from_millis(1)).await;
            }
        });
        pass(Duration::from_millis(100)).await;
        let before = world.node.metrics().account().submitted;
        let beside = [p99(&crowd, "flooded").await, p99(&crowd, "other").await];
        let flood = world.node.metrics().account().submitted - before;
        assert!(flood > 10 * (CROWD * EACH) as u64, "a flood of {flood} messages is none");
        assert!(!flooding.is_finished() && connection.close_reason().is_none(), "the flood went on");
        for (alone, beside) in alone.into_iter().zip(beside) {
            assert!(beside <= 2 * alone, "{beside:?} beside the flood, {alone:?} without");
        }
        assert!(world.node.linked().contains(&name("flooded")));
        flooding.abort();
        drop(connection);
        hearing.abort();
    });
}
