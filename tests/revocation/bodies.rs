//! A large body is half written when its sender, or what it was sent under, is revoked: not a byte of the rest leaves
//! the node, on any lane, whether its receiver reads or not.

use std::time::Duration;

use testudo_bus::node::Bodies;
use testudo_rules::token;
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Bundle, Header, Limits, ReceiptWish, TokenId};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::mallory::Mallory;
use crate::support::mallory::talk::{give, on_lane};
use crate::support::swarm::name;
use crate::support::world::message;
use crate::support::{World, pass, sim, until};
use crate::{Taken, take_away};

const MIB: usize = 1024 * 1024;
const BODY: usize = 16 * MIB;

/// A node that takes bodies of 16 MiB.
fn world(seed: u64) -> World {
    let bodies = Bodies { bytes_max: Bodies::MAX, ..Bodies::default() };
    World::carrying(seed, bodies)
}

/// Reads whatever comes on the first lane, until the stream ends one way or another.
fn read(receiver: &Mallory) -> JoinHandle<usize> {
    let connection = receiver.link.connection.clone();
    tokio::spawn(async move {
        let Ok(mut lane) = connection.accept_uni().await else { return 0 };
        let mut bytes = 0;
        while let Ok(Some(chunk)) = lane.read_chunk(usize::MAX, true).await {
            bytes += chunk.bytes.len();
        }
        bytes
    })
}

/// What is sent under: the sender's own token, or one that `boss` handed on.
async fn token(world: &World, sender: &mut Mallory, taken: Taken) -> (TokenId, token::Token) {
    let boss = world.enrol("boss", &["read:logs"], &[]).await;
    match taken {
        Taken::Sender | Taken::Token | Taken::Right | Taken::Served | Taken::Authority => {
            (sender.token, sender.identity.token.clone())
        }
        Taken::Delegator | Taken::Delegation => {
            let delegated = world.swarm.delegated(&boss, &sender.identity, "read:logs");
            let sealed = delegated.seal().unwrap();
            assert_eq!(sender.present(&sealed).await, None);
            (sealed.id(), delegated)
        }
    }
}

fn body(sender: &mut Mallory, lane: u8, token: TokenId) -> Bundle {
    let plain = sender.plain("receiver", "read:logs");
    let header = Header { token, receipt: ReceiptWish::None, ..on_lane(lane, plain) };
    let text: Vec<u8> = (0..BODY).map(|at| b"abcdefgh \n"[at % 10]).collect();
    sender.with_body(header, &text, &Limits::of_lanes(BODY))
}

async fn scenario(taken: Taken, lane: u8, reads: bool) {
    let world = world(u64::from(lane));
    let receiver = world.enrol("receiver", &["write:nothing"], &["read:logs"]).await;
    let receiver = Mallory::dial(&world, receiver).await;
    let sender = world.enrol("sender", &["read:logs"], &[]).await;
    let mut sender = Mallory::dial(&world, sender).await;
    let (id, under) = token(&world, &mut sender, taken).await;
    let others = world.agent("others", &["read:logs"], &[]).await;
    let mut other = world.agent("other", &["write:nothing"], &["read:logs"]).await;
    let bundle = body(&mut sender, lane, id);
    let mut stream = sender.lane(lane).await;
    tokio::spawn(async move { give(&mut stream, bundle.bytes()).await });
    let reading = reads.then(|| read(&receiver));
    let (node, to) = (world.address, receiver.address());
    until("it is half way", || world.net.sent(node, to) > if reads { 2 * MIB } else { 200 * 1024 }).await;
    assert_eq!(world.node.metrics().account().in_flight, 1);

    let ids: Vec<_> = {
        let trust = token::Trust::of(world.swarm.authority.public());
        under.verify(&trust).unwrap().chain().map(|link| link.id).collect()
    };
    let before = Instant::now();
    take_away(&world, taken, &ids).await;
    let (took, at_return) = (before.elapsed(), world.net.sent(node, to));
    assert!(took < Duration::from_millis(100), "{taken:?}: revoke took {took:?}");
    pass(Duration::from_millis(500)).await;
    let after = world.net.sent(node, to) - at_return;
    // Nothing but the word that the link is closed, said again to what was still on its way.
    assert!(after < 64 * 1024, "{taken:?} on lane {lane}: {after} bytes after revoke returned");
    assert_eq!(receiver.closed().await, CloseReason::Lagging, "bytes cannot be taken back");
    if let Some(reading) = reading {
        let got = reading.await.unwrap();
        assert!(got < BODY / 2, "{taken:?}: {got} of {BODY} bytes came");
    }
    until("it is accounted for", || world.node.metrics().account().in_flight == 0).await;
    // Its memory is free again, and nobody else noticed.
    others.client.tell(message("other", "read:logs", "others go on")).await.unwrap();
    assert_eq!(other.next().await.unwrap().body(), "others go on");
    if !matches!(taken, Taken::Served) {
        let receiver = Mallory::dial(&world, receiver.identity.clone()).await;
        assert!(world.node.linked().contains(&name("receiver")));
        drop(receiver);
    }
    let (account, _) = world.end().await;
    assert_eq!((account.submitted, account.delivered, account.failed), (2, 1, 1), "{taken:?} {account:?}");
}

#[test]
fn t_a37_no_byte_of_a_large_body_follows_the_revocation_of_its_sender() {
    sim(async {
        for (lane, reads) in [(1, true), (4, false)] {
            scenario(Taken::Sender, lane, reads).await;
        }
    });
}

#[test]
fn t_a38_nor_that_of_a_token_a_delegation_a_delegator_or_a_right() {
    sim(async {
        let all = [Taken::Token, Taken::Delegation, Taken::Delegator, Taken::Right];
        for (lane, taken) in (1_u8..).zip(all) {
            scenario(taken, lane, true).await;
        }
    });
}

#[test]
fn t_a38_nor_after_its_receiver_is_asked_for_that_no_more() {
    sim(async { scenario(Taken::Served, 2, true).await });
}

/// What is still on its way in, or with the guard, never begins to leave.
#[test]
fn t_a37_a_body_that_is_not_yet_judged_when_its_sender_is_revoked_goes_nowhere() {
    sim(async {
        let world = world(9);
        let receiver = world.enrol("receiver", &["write:nothing"], &["read:logs"]).await;
        let receiver = Mallory::dial(&world, receiver).await;
        let sender = world.enrol("sender", &["read:logs"], &[]).await;
        let mut sender = Mallory::dial(&world, sender).await;
        let token = sender.token;
        let bundle = body(&mut sender, 2, token);
        let (node, from, to) = (world.address, sender.address(), receiver.address());
        let mut stream = sender.lane(2).await;
        tokio::spawn(async move {
            let mut chunks = [testudo_bus::stream::prefix(bundle.bytes().len()), bundle.bytes().clone()];
            let _ = stream.write_all_chunks(&mut chunks).await;
        });
        until("it is half way in", || world.net.sent(from, node) > BODY / 2).await;
        let before = world.net.sent(node, to);
        world.node.registry().revoke(name("sender"), RevocationCause::Operator).await.unwrap();
        pass(Duration::from_secs(2)).await;
        assert!(world.net.sent(node, to) - before < 16 * 1024, "nothing but notices");
        assert!(receiver.link.connection.close_reason().is_none(), "it had no part in it");
        let (account, _) = world.end().await;
        assert_eq!(account.delivered + account.failed + account.dropped, account.submitted, "{account:?}");
        assert_eq!(account.delivered, 0, "{account:?}");
    });
}
