//! Revocation under load: once `revoke` has returned, no byte more is handed over (promise 1) and no handler
//! starts later than 100 ms after (promise 2).

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "revocation/bodies.rs"]
mod bodies;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::mallory::Narrow;
use support::swarm::{grant, name};
use support::world::{Agent, message};
use support::{World, pass, sim, until};
use testudo_bus::client::{Client, ClientIdentity, DialError, SendError};
use testudo_bus::roots::{Change, RollError};
use testudo_rules::token;
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::RevocationCause;
use testudo_wire::trust::SignedStatement;
use testudo_wire::{Refusal, TokenFactId, TokenId};
use tokio::time::Instant;

/// What is taken away while messages flow.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Sender,
    Delegator,
    Token,
    Delegation,
    Right,
    /// The receiver is to be asked for this no more.
    Served,
    Authority,
}

/// When handlers started, as the receiver saw it.
type Starts = Arc<Mutex<Vec<Instant>>>;

/// A handler that needs three milliseconds for each message, so that its queue is never empty.
fn handle(mut reader: Agent) -> Starts {
    let starts = Starts::default();
    let seen = starts.clone();
    tokio::spawn(async move {
        while reader.inbox.next().await.is_some() {
            seen.lock().unwrap().push(Instant::now());
            pass(Duration::from_millis(3)).await;
        }
    });
    starts
}

/// Posts three messages a millisecond for as long as the link lives.
fn flood(client: Client, token: Option<TokenId>) {
    tokio::spawn(async move {
        let mut letter = message("reader", "read:logs", "again and again");
        letter.token = token;
        while client.post(letter.clone()).await.is_ok() {
            for _ in 0..2 {
                let _ = client.post(letter.clone()).await;
            }
            pass(Duration::from_millis(1)).await;
        }
    });
}

/// Messages given to receivers' streams so far.
fn handed_over(world: &World) -> u64 {
    let metrics = world.node.metrics();
    let refused: u64 = metrics.refusals().iter().map(|(_, n)| n).sum();
    let account = metrics.account();
    assert!(account.is_balanced(), "{account:?}");
    account.delivered + account.in_flight + (account.failed - refused)
}

fn block_ids(world: &World, token: &token::Token) -> Vec<TokenFactId> {
    let trust = token::Trust::of(world.swarm.authority.public());
    token.verify(&trust).unwrap().chain().map(|link| link.id).collect()
}

/// The sender, who sends under a token that `boss` delegated, or under its own.
async fn sender(world: &World, taken: Taken) -> (Client, Option<TokenId>, ClientIdentity, Vec<TokenFactId>) {
    let identity = world.enrol("sender", &["read:logs"], &[]).await;
    let boss = world.enrol("boss", &["read:logs", "read:mail"], &[]).await;
    let agent = world.dial(identity.clone()).await.unwrap();
    match taken {
        Taken::Sender | Taken::Token | Taken::Right | Taken::Served | Taken::Authority => {
            let ids = block_ids(world, &identity.token);
            (agent.client, None, identity, ids)
        }
        Taken::Delegator | Taken::Delegation => {
            let delegated = world.swarm.delegated(&boss, &identity, "read:logs");
            let token = agent.client.present(&delegated.seal().unwrap()).await.unwrap();
            (agent.client, Some(token), identity, block_ids(world, &delegated))
        }
    }
}

async fn roll(world: &World, change: Change) -> Result<SignedStatement, RollError> {
    world.node.office().roll(change, true, &world.swarm.kept, &*world.swarm.env).await
}

async fn take_away(world: &World, taken: Taken, ids: &[TokenFactId]) {
    let registry = world.node.registry();
    let done = match taken {
        Taken::Sender => registry.revoke(name("sender"), RevocationCause::Operator).await.is_ok(),
        Taken::Delegator => registry.revoke(name("boss"), RevocationCause::Compromised).await.is_ok(),
        Taken::Token | Taken::Delegation => registry.revoke_token(*ids.last().unwrap()).await.is_ok(),
        Taken::Right => registry.narrow(name("sender"), grant(&[], &[])).await.is_ok(),
        Taken::Served => registry.narrow(name("receiver"), grant(&["write:nothing"], &[])).await.is_ok(),
        Taken::Authority => roll(world, Change::RetireAuthorities).await.is_ok(),
    };
    assert!(done, "{taken:?}");
}

async fn scenario(taken: Taken, seed: u64) {
    let world = World::new(seed);
    let starts = handle(world.agent("reader", &["write:nothing"], &["read:logs"]).await);
    let (client, token, identity, ids) = sender(&world, taken).await;
    if matches!(taken, Taken::Authority) {
        roll(&world, Change::AddAuthority).await.unwrap();
    }
    flood(client.clone(), token);
    pass(Duration::from_millis(20 + seed * 7919 % 211)).await;
    take_away(&world, taken, &ids).await;
    let (handed, returned) = (handed_over(&world), Instant::now());
    assert!(handed > 20, "{taken:?}, seed {seed}: only {handed} had been handed over");

    pass(Duration::from_millis(300)).await;
    assert_eq!(handed_over(&world), handed, "{taken:?}, seed {seed}: handed over after revoke returned");
    let last = starts.lock().unwrap().last().copied().unwrap();
    let late = last.saturating_duration_since(returned);
    assert!(late <= Duration::from_millis(100), "{taken:?}, seed {seed}: a handler started {late:?} after");

    match taken {
        Taken::Sender => {
            let closed = client.closed().await;
            let revoked = CloseReason::Revoked(RevocationCause::Operator);
            assert!(matches!(closed, DialError::Closed(reason) if reason == revoked), "{closed}");
            assert!(matches!(world.dial(identity).await, Err(DialError::Revoked)));
            world.node.registry().reinstate(name("sender")).await.expect_err("its key is burnt");
        }
        Taken::Authority => {
            let refused = client.tell(message("reader", "read:logs", "once more")).await;
            let void = SendError::Refused { refusal: Refusal::Unauthorised, rules: Vec::new() };
            assert_eq!(refused.unwrap_err(), void, "{taken:?}, seed {seed}");
        }
        Taken::Delegator | Taken::Token | Taken::Delegation | Taken::Right | Taken::Served => {
            let mut letter = message("reader", "read:logs", "once more");
            letter.token = token;
            let refused = client.tell(letter).await;
            let dead = SendError::Refused { refusal: Refusal::Revoked, rules: Vec::new() };
            assert_eq!(refused.unwrap_err(), dead, "{taken:?}, seed {seed}");
        }
    }
    world.end().await;
}

#[test]
fn t_a37_a_revoked_sender_is_silenced_at_any_moment() {
    sim(async {
        for seed in 0..8 {
            scenario(Taken::Sender, seed).await;
        }
    });
}

#[test]
fn t_a38_a_revoked_delegator_takes_its_delegations_along() {
    sim(async {
        for seed in 0..6 {
            scenario(Taken::Delegator, seed).await;
        }
    });
}

#[test]
fn t_a38_a_revoked_token_or_block_of_one_counts_no_more() {
    sim(async {
        for seed in 0..4 {
            scenario(Taken::Token, seed).await;
            scenario(Taken::Delegation, seed).await;
        }
    });
}

#[test]
fn t_a38_a_narrowed_grant_voids_what_was_minted_before() {
    sim(async {
        for seed in 0..4 {
            scenario(Taken::Right, seed).await;
        }
    });
}

#[test]
fn f27_what_a_retired_authority_vouches_for_is_silenced_at_any_moment() {
    sim(async {
        for seed in 0..8 {
            scenario(Taken::Authority, seed).await;
        }
    });
}

#[test]
fn t_a37_promise_one_holds_under_loss_and_for_receivers_that_hang() {
    sim(async {
        for seed in 0..6 {
            let world = World::new(seed);
            let reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
            let hanging = world.agent("hanging", &["write:nothing"], &["read:logs"]).await;
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            flood(sender.client.clone(), None);
            let big = "x".repeat(60_000);
            world.net.lose(100);
            if seed % 2 == 0 {
                world.net.cut(hanging.address, world.address);
            }
            for _ in 0..5 {
                sender.client.post(message("hanging", "read:logs", &big)).await.unwrap();
            }
            pass(Duration::from_millis(100 + seed * 7919 % 101)).await;
            let before = Instant::now();
            world.node.registry().revoke(name("sender"), RevocationCause::Operator).await.unwrap();
            let handed = handed_over(&world);
            assert!(before.elapsed() < Duration::from_secs(1), "a hanging receiver delays it by 50 ms");
            pass(Duration::from_secs(20)).await;
            assert_eq!(handed_over(&world), handed, "seed {seed}");
            world.net.lose(0);
            drop((reader, hanging));
            world.end().await;
        }
    });
}

#[test]
fn t_a37_a_revoked_receiver_gets_nothing_more_and_others_go_on() {
    sim(async {
        let world = World::new(1);
        let out = world.agent("out", &["write:nothing"], &["read:logs"]).await;
        let starts = handle(world.agent("reader", &["write:nothing"], &["read:logs"]).await);
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let gone = out.client.clone();
        let starts_out = handle(out);
        flood(sender.client.clone(), None);
        for _ in 0..50 {
            sender.client.post(message("out", "read:logs", "body")).await.unwrap();
            pass(Duration::from_millis(1)).await;
        }
        world.node.registry().revoke(name("out"), RevocationCause::Compromised).await.unwrap();
        let (returned, before) = (Instant::now(), starts.lock().unwrap().len());
        let refused = sender.client.tell(message("out", "read:logs", "too late")).await;
        let unroutable = SendError::Refused { refusal: Refusal::Unroutable, rules: Vec::new() };
        assert_eq!(refused, Err(unroutable));
        let reason = CloseReason::Revoked(RevocationCause::Compromised);
        assert!(matches!(gone.closed().await, DialError::Closed(closed) if closed == reason));
        pass(Duration::from_secs(1)).await;
        let last = starts_out.lock().unwrap().last().copied().unwrap();
        let late = last.saturating_duration_since(returned);
        assert!(late <= Duration::from_millis(100), "a handler of the revoked agent started {late:?} after");
        until("the others go on", || starts.lock().unwrap().len() > before + 100).await;
        sender.client.goodbye().await;
        world.end().await;
    });
}

#[test]
fn t_a37_what_waits_behind_a_blocked_writer_is_dropped_and_the_rest_goes_on() {
    sim(async {
        let world = World::new(2);
        let narrow = world.enrol("narrow", &["write:nothing"], &["read:logs"]).await;
        let mut narrow = Narrow::dial(&world, &narrow, 32 * 1024).await;
        let good = world.agent("good", &["read:logs"], &[]).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let big = "x".repeat(60_000);
        for _ in 0..2 {
            good.client.tell(message("narrow", "read:logs", &big)).await.unwrap();
        }
        for _ in 0..5 {
            sender.client.tell(message("narrow", "read:logs", "never to arrive")).await.unwrap();
        }
        assert_eq!(world.node.metrics().account().queued, 6, "one is being written");
        world.node.registry().revoke(name("sender"), RevocationCause::Operator).await.unwrap();
        let mut taken = Vec::new();
        while let Some(frame) = narrow.take().await {
            assert!(!frame.windows(5).any(|bytes| bytes == b"never"), "it arrived");
            taken.push(frame.len());
        }
        assert_eq!(taken.len(), 2, "what the other one sent");
        assert!(world.node.linked().contains(&name("narrow")), "nobody else pays for it");
        let (account, _) = world.end().await;
        assert_eq!((account.dropped, account.delivered), (5, 0), "{account:?}");
    });
}

#[test]
fn f27_what_waits_under_a_retired_authority_is_dropped_and_its_sender_hears_why() {
    sim(async {
        let world = World::new(5);
        roll(&world, Change::AddAuthority).await.unwrap();
        let narrow = world.enrol("narrow", &["write:nothing"], &["read:logs"]).await;
        let mut narrow = Narrow::dial(&world, &narrow, 32 * 1024).await;
        // This one has its token by the newer authority, the other one by the older.
        let good = world.agent("good", &["read:logs"], &[]).await;
        let renewed = Arc::new(good.client.certify().await.unwrap());
        good.client.renew(&world.endpoint().1, renewed).await.unwrap();
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let big = "x".repeat(60_000);
        for _ in 0..2 {
            good.client.tell(message("narrow", "read:logs", &big)).await.unwrap();
        }
        for _ in 0..5 {
            sender.client.tell(message("narrow", "read:logs", "never to arrive")).await.unwrap();
        }
        assert_eq!(world.node.metrics().account().queued, 6, "one is being written");
        let taking = async {
            // The registry has it by now; the rest of the roll waits for who does not listen.
            pass(Duration::from_millis(200)).await;
            let mut taken = 0;
            while let Some(frame) = narrow.take().await {
                assert!(!frame.windows(5).any(|bytes| bytes == b"never"), "it arrived");
                taken += 1;
            }
            taken
        };
        let (done, taken) = tokio::join!(roll(&world, Change::RetireAuthorities), taking);
        done.unwrap();
        assert_eq!(taken, 2, "what the other one sent");
        assert_eq!(world.node.metrics().drops(), [("revoked", 5)]);
        assert_eq!(sender.client.refused().get(&Refusal::Revoked), Some(&5));
        assert!(sender.client.is_open(), "it is not the agent that is out");
        let (account, _) = world.end().await;
        assert_eq!((account.dropped, account.queued, account.in_flight), (5, 0, 0), "{account:?}");
    });
}

#[test]
fn t_a37_a_writer_that_is_stuck_in_the_middle_loses_its_link() {
    sim(async {
        let world = World::new(3);
        let narrow = world.enrol("narrow", &["write:nothing"], &["read:logs"]).await;
        let mut narrow = Narrow::dial(&world, &narrow, 32 * 1024).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        sender.client.tell(message("narrow", "read:logs", &"x".repeat(60_000))).await.unwrap();
        world.node.registry().revoke(name("sender"), RevocationCause::Operator).await.unwrap();
        assert_eq!(narrow.take().await, None, "half a message is none");
        let reason = support::mallory::closed(&narrow.connection).await;
        assert_eq!(reason, CloseReason::Lagging);
        world.end().await;
    });
}

#[test]
fn t_a38_a_partition_that_heals_after_a_revocation_brings_nothing_back() {
    sim(async {
        for (seed, heals_after) in [(1, 30), (2, 300), (3, 3_000), (4, 20_000)] {
            let world = World::new(seed);
            let reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
            let (address, starts) = (reader.address, handle(reader));
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            flood(sender.client.clone(), None);
            pass(Duration::from_millis(30)).await;
            world.net.cut(address, world.address);
            pass(Duration::from_millis(50)).await;
            world.node.registry().revoke(name("sender"), RevocationCause::Operator).await.unwrap();
            let returned = Instant::now();
            // What had arrived before may still be in hand: the receiver cannot hear of it.
            let before = {
                pass(Duration::from_millis(heals_after)).await;
                starts.lock().unwrap().len()
            };
            world.net.heal(address, world.address);
            pass(Duration::from_secs(10)).await;
            let late = |at: &Instant| at.duration_since(returned);
            let after: Vec<_> = starts.lock().unwrap()[before..].iter().map(late).collect();
            let limit = Duration::from_millis(100 + heals_after);
            assert!(after.iter().all(|late| *late <= limit), "healed after {heals_after} ms: {after:?}");
            world.end().await;
        }
    });
}
