//! Small messages beside bodies of 16 MiB, on a clock that counts waiting and nothing else: the machine's part is measured
//! by `cargo bench --bench fairness`.

use std::time::Duration;

use testudo_bus::client::{Client, Outgoing};
use testudo_bus::node::Bodies;
use testudo_wire::ContentType;
use tokio::time::Instant;

use crate::support::swarm::{capability, name};
use crate::support::world::message;
use crate::support::{World, pass, sim};

const BODY: usize = 16 * 1024 * 1024 - 4096;
const SAMPLES: usize = 150;

/// The 99th percentile of what a small request takes.
async fn p99(client: &Client) -> Duration {
    let mut took = Vec::new();
    for _ in 0..SAMPLES {
        let began = Instant::now();
        client.request(message("receiver", "read:logs", "small")).await.unwrap();
        took.push(began.elapsed());
        pass(Duration::from_micros(300)).await;
    }
    took.sort_unstable();
    took[SAMPLES * 99 / 100]
}

#[test]
fn a_small_request_takes_at_most_twice_as_long_while_bodies_of_16_mib_travel() {
    sim(async {
        let bodies = Bodies { bytes_max: Bodies::MAX, ..Bodies::default() };
        let world = World::carrying(131, bodies);
        let mut receiver = world.agent("receiver", &["write:nothing"], &["read:logs"]).await;
        let answering = tokio::spawn(async move {
            let mut bodies = 0;
            while let Some(delivery) = receiver.inbox.next().await {
                if delivery.wants_reply() {
                    receiver.client.reply(&delivery, ContentType::text(), "answer").await.unwrap();
                } else {
                    assert_eq!(delivery.body().len(), BODY);
                    bodies += 1;
                }
            }
            bodies
        });
        let asker = world.agent("asker", &["read:logs"], &[]).await.client;
        let alone = p99(&asker).await;

        let bulky = world.agent("bulky", &["read:logs"], &[]).await.client;
        let (sending, net) = (bulky.clone(), world.net.clone());
        let sent = tokio::spawn(async move {
            let text: Vec<u8> = (0..BODY).map(|at| b"abcdefgh \n"[at % 10]).collect();
            let mut body = Outgoing::new(name("receiver"), capability("read:logs"), text);
            body.content_type = ContentType::text();
            while sending.tell(body.clone()).await.is_ok() {}
        });
        let (from, before) = (world.address, net.sent_by(world.address));
        let beside = p99(&asker).await;
        let carried = net.sent_by(from) - before;
        assert!(carried > BODY, "only {carried} bytes of bodies travelled meanwhile");
        assert!(beside <= 2 * alone, "{beside:?} beside bodies, {alone:?} without");
        bulky.goodbye().await;
        sent.await.unwrap();
        asker.goodbye().await;
        world.end().await;
        assert!(answering.await.unwrap() > 0);
    });
}
