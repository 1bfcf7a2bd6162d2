//! Agents without manners do anything at random; at every step the account balances, and at the end it agrees with the log.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use quinn::SendStream;
use support::mallory::Mallory;
use support::mallory::talk::{Given, on_lane, topic};
use support::{World, pass, sim};
use testudo_bus::client::ClientIdentity;
use testudo_bus::stream::write_frame;
use testudo_wire::frame::{Acknowledge, Cancel, Credit, FromAgent, RefusedDelivery, Subscription};
use testudo_wire::{Header, ReceiptWish, Refusal, Ttl};
use tokio::time::timeout;

const NAMES: [&str; 5] = ["a0", "a1", "a2", "a3", "a4"];

/// xorshift64*: the same seed gives the same riot.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let sides = list.len() as u64;
        (sides > 0).then(|| &list[usize::try_from(self.roll(sides)).unwrap()])
    }
}

/// One rioter: its link, its lane, and what it was given.
struct Rioter {
    peer: Mallory,
    lane: Option<SendStream>,
    given: Vec<Given>,
}

impl Rioter {
    async fn enter(world: &World, identity: ClientIdentity) -> Self {
        Self { peer: Mallory::dial(world, identity).await, lane: None, given: Vec::new() }
    }

    /// Says it if anybody listens.
    async fn say(&mut self, frame: FromAgent) {
        let _ = write_frame(&mut self.peer.link.control, frame.encode().unwrap()).await;
    }

    /// Sends it if there is room; a link with half a bundle is of no use.
    async fn post(&mut self, headers: &[Header]) {
        let bundle = self.peer.bundle(headers).bytes().to_vec();
        let sending = write_frame(&mut self.peer.link.data, bundle);
        if !matches!(timeout(Duration::from_millis(300), sending).await, Ok(Ok(()))) {
            self.peer.link.connection.close(0_u32.into(), b"");
        }
    }

    async fn post_on_lane(&mut self, header: Header) {
        if self.lane.is_none() {
            let Ok(mut lane) = self.peer.link.connection.open_uni().await else { return };
            let _ = lane.write_all(&[1]).await;
            self.lane = Some(lane);
        }
        let bundle = self.peer.bundle(&[on_lane(1, header)]).bytes().to_vec();
        let _ = timeout(Duration::from_millis(300), write_frame(self.lane.as_mut().unwrap(), bundle)).await;
    }

    async fn read(&mut self) {
        while let Ok(Some(given)) = timeout(Duration::from_millis(5), self.peer.given()).await {
            self.given.push(given);
        }
    }

    /// Acknowledges some of what it has, and refuses some of that.
    async fn acknowledge(&mut self, dice: &mut Dice) {
        let Some(upto) = dice.pick(&self.given).map(Given::number) else { return };
        let refused = self.given.iter().filter(|given| given.number() <= upto && dice.roll(4) == 0);
        let (position, refusal) = (0, Refusal::Stale);
        let refused = refused.map(|given| RefusedDelivery { delivery: given.number(), position, refusal });
        let refused = refused.take(100).collect();
        self.say(FromAgent::Acknowledge(Acknowledge { lane: 0, upto, refused })).await;
        self.given.retain(|given| given.number() > upto);
    }

    async fn sign(&mut self, dice: &mut Dice) {
        let Some(given) = dice.pick(&self.given) else { return };
        let receipt = self.peer.receipt(0, given);
        self.say(FromAgent::Received(receipt)).await;
    }
}

/// A message that is right, to somebody.
fn any(peer: &mut Mallory, dice: &mut Dice) -> Header {
    let to = *dice.pick(&NAMES).unwrap();
    let mut header = match dice.roll(4) {
        0 => peer.publication(if dice.roll(2) == 0 { "t0" } else { "t1" }),
        1 => peer.served("read:logs"),
        2 => peer.plain(to, "read:logs"),
        _ => peer.request(to, "read:logs"),
    };
    if header.receipt == ReceiptWish::None && dice.roll(2) == 0 {
        header.receipt = ReceiptWish::Accepted;
    }
    header.ttl = Ttl::from_millis(1 + u32::try_from(dice.roll(2_000)).unwrap()).unwrap();
    header
}

async fn riot(seed: u64) {
    let world = World::new(seed);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let right = ["read:logs", "publish:t0", "publish:t1", "subscribe:t0", "subscribe:t1"];
    let mut rioters = Vec::new();
    for who in NAMES {
        let identity = world.enrol(who, &right, &["read:logs"]).await;
        rioters.push(Rioter::enter(&world, identity).await);
    }
    let mut requests: Vec<Header> = Vec::new();
    for step in 0..600 {
        let at = usize::try_from(dice.roll(NAMES.len() as u64)).unwrap();
        if rioters[at].peer.link.connection.close_reason().is_some() {
            pass(Duration::from_millis(100)).await;
            let identity = rioters[at].peer.identity.clone();
            rioters[at] = Rioter::enter(&world, identity).await;
        }
        let rioter = &mut rioters[at];
        let wanted = topic(if dice.roll(2) == 0 { "t0" } else { "t1" });
        let request = dice.pick(&requests).copied();
        match (dice.roll(16), request) {
            (0 | 1, _) => rioter.say(FromAgent::Subscribe(Subscription { topic: wanted })).await,
            (2, _) => rioter.say(FromAgent::Unsubscribe(Subscription { topic: wanted })).await,
            (3..=6, _) => {
                let many = 1 + dice.roll(6);
                let headers: Vec<_> = (0..many).map(|_| any(&mut rioter.peer, &mut dice)).collect();
                rioter.post(&headers).await;
                requests.extend(headers.iter().filter(|header| header.receipt == ReceiptWish::Reply));
            }
            (7, _) => {
                let header = any(&mut rioter.peer, &mut dice);
                rioter.post_on_lane(header).await;
            }
            (8 | 9, Some(request)) => {
                let index = u32::try_from(dice.roll(3)).unwrap();
                let part = (dice.roll(2) == 0).then_some((index, dice.roll(2) == 0));
                let answer = rioter.peer.answer(&request, part);
                rioter.post(&[answer]).await;
            }
            (10, Some(request)) => {
                rioter.say(FromAgent::Cancel(Cancel { request: request.message })).await;
            }
            (11, Some(Header { message, .. })) => {
                rioter.say(FromAgent::Credit(Credit { request: message, bytes: dice.roll(1 << 40) })).await;
            }
            (12 | 13, _) => {
                rioter.read().await;
                rioter.acknowledge(&mut dice).await;
            }
            (14, _) => {
                rioter.read().await;
                if dice.roll(8) == 0 {
                    rioter.sign(&mut dice).await;
                }
            }
            _ if dice.roll(6) == 0 => rioter.peer.link.connection.close(0_u32.into(), b""),
            _ => pass(Duration::from_millis(dice.roll(100))).await,
        }
        let account = world.node.metrics().account();
        assert!(account.is_balanced(), "seed {seed}, step {step}: {account:?}");
    }
    let account = world.node.metrics().account();
    assert!(account.delivered > 100 && account.failed > 50, "a riot: {account:?}");
    for rioter in &rioters {
        rioter.peer.link.connection.close(0_u32.into(), b"");
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.node.metrics().subscriptions(), 0);
    world.end().await;
}

#[test]
fn a_riot_is_accounted_for_to_the_last_copy() {
    for seed in 1..=8 {
        sim(riot(seed));
    }
}
