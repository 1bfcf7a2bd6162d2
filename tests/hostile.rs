//! The misbehaving peer: what an enrolled agent with a real link tries, and what it gets.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use support::mallory::{Mallory, Narrow, closed, raw};
use support::swarm::{key_of, name};
use support::world::message;
use support::{World, pass, sim, until};
use testudo_bus::client::{ClientIdentity, SendError};
use testudo_rules::audit::LinkChange;
use testudo_wire::frame::{Acknowledge, CloseReason, FromAgent, FromNode, Heartbeat, Hello};
use testudo_wire::{Bundle, Destination, Envelope, Limits, Refusal, SessionId};

/// A node, a reader and an agent that means harm.
async fn scene(seed: u64) -> (World, support::world::Agent, ClientIdentity) {
    let world = World::new(seed);
    let reader = world.agent("reader", &["write:nothing"], &["read:logs", "read:mail"]).await;
    let mallory = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
    (world, reader, mallory)
}

fn hello() -> FromAgent {
    FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 })
}

/// The node gives up on a peer that sends `first`, and no link comes of it.
async fn ends_with(world: &World, identity: &ClientIdentity, first: &[u8]) -> CloseReason {
    let connection = raw(world, identity).await;
    let (mut control, _answers) = connection.open_bi().await.unwrap();
    control.write_all(first).await.unwrap();
    let reason = closed(&connection).await;
    assert!(!world.node.linked().contains(&identity.name));
    reason
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&testudo_bus::stream::prefix(bytes.len())[..], bytes].concat()
}

#[test]
fn t_a08_nothing_but_a_hello_opens_a_link() {
    sim(async {
        let (world, _reader, mallory) = scene(1).await;
        let beat = Heartbeat::sign(&mallory.key, &mallory.swarm(), &SessionId::new([0; 16]), 1);
        let other_version = FromAgent::Hello(Hello { version: 2, seen: None, renews: None, trust: 0 });
        let first = [
            framed(&FromAgent::Heartbeat(beat).encode().unwrap()),
            framed(&FromAgent::Goodbye.encode().unwrap()),
            framed(&other_version.encode().unwrap()),
            framed(b"GET / HTTP/1.1"),
            framed(b""),
            vec![0xff; 16],
            // Half a hello, then silence.
            framed(&hello().encode().unwrap())[..5].to_vec(),
        ];
        for first in first {
            assert_eq!(ends_with(&world, &mallory, &first).await, CloseReason::Protocol, "{first:?}");
        }
        let silent = raw(&world, &mallory).await;
        let started = tokio::time::Instant::now();
        assert_eq!(closed(&silent).await, CloseReason::Protocol);
        assert!(started.elapsed() < Duration::from_secs(4), "a hello has three seconds");
        world.end().await;
    });
}

#[test]
fn a_second_hello_closes_the_link() {
    sim(async {
        let (world, _reader, mallory) = scene(2).await;
        let mut mallory = Mallory::dial(&world, mallory).await;
        mallory.say(hello()).await;
        assert_eq!(mallory.closed().await, CloseReason::Protocol);
        world.end().await;
    });
}

#[test]
fn t_a35_only_fresh_heartbeats_of_this_agent_and_session_count() {
    sim(async {
        let (world, _reader, identity) = scene(3).await;
        let other = key_of("other");
        for what in ["wrong key", "another session", "replayed", "going back"] {
            let mut mallory = Mallory::dial(&world, identity.clone()).await;
            let (swarm, session) = (identity.swarm(), mallory.link.welcome.seen.session);
            let beat = |counter| Heartbeat::sign(&identity.key, &swarm, &session, counter);
            mallory.say(FromAgent::Heartbeat(beat(5))).await;
            let bad = match what {
                "wrong key" => Heartbeat::sign(&other, &swarm, &session, 6),
                "another session" => Heartbeat::sign(&identity.key, &swarm, &SessionId::new([7; 16]), 6),
                "replayed" => beat(5),
                _ => beat(4),
            };
            mallory.say(FromAgent::Heartbeat(bad)).await;
            assert_eq!(mallory.closed().await, CloseReason::Protocol, "{what}");
        }
        world.end().await;
    });
}

#[test]
fn an_acknowledgement_of_what_was_never_delivered_closes_the_link() {
    sim(async {
        let (world, _reader, mallory) = scene(4).await;
        let mut mallory = Mallory::dial(&world, mallory).await;
        mallory.say(FromAgent::Acknowledge(Acknowledge { lane: 0, upto: 1, refused: Vec::new() })).await;
        assert_eq!(mallory.closed().await, CloseReason::Protocol);
        world.end().await;
    });
}

#[test]
fn t_a21_a_frame_that_claims_four_gigabytes_is_refused_unread() {
    sim(async {
        let (world, _reader, identity) = scene(5).await;
        let mut mallory = Mallory::dial(&world, identity.clone()).await;
        mallory.link.data.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let FromNode::RefusedBundle(refused) = mallory.hear().await else { panic!("something else") };
        assert_eq!(refused.refusal, Refusal::Oversized);
        assert_eq!(mallory.closed().await, CloseReason::Protocol);
        let mut mallory = Mallory::dial(&world, identity).await;
        mallory.link.control.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert_eq!(mallory.closed().await, CloseReason::Protocol, "on the control stream too");
        let (_, ledger) = world.end().await;
        assert_eq!(ledger.refused_bundles(), [Refusal::Oversized]);
    });
}

#[test]
fn t_a06_half_a_frame_has_five_seconds_however_it_drips() {
    sim(async {
        let (world, _reader, identity) = scene(6).await;
        for pause in [Duration::from_secs(60), Duration::from_secs(2)] {
            for on_control in [false, true] {
                let mut mallory = Mallory::dial(&world, identity.clone()).await;
                let started = tokio::time::Instant::now();
                let link = &mut mallory.link;
                let stream = if on_control { &mut link.control } else { &mut link.data };
                stream.write_all(&100_u32.to_be_bytes()).await.unwrap();
                let dripping = async {
                    loop {
                        tokio::time::sleep(pause).await;
                        if stream.write_all(b"x").await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                };
                let reason = tokio::select! {
                    reason = closed(&link.connection) => reason,
                    () = dripping => unreachable!(),
                };
                assert_eq!(reason, CloseReason::Protocol);
                let took = started.elapsed();
                assert!(took < Duration::from_millis(5100), "{took:?}, a byte every {pause:?}");
            }
        }
        world.end().await;
    });
}

#[test]
fn a_pruned_bundle_from_an_agent_is_malformed() {
    sim(async {
        let (world, mut reader, mallory) = scene(7).await;
        let mut mallory = Mallory::dial(&world, mallory).await;
        let headers = [mallory.header("reader", "read:logs"), mallory.header("reader", "read:logs")];
        let whole = mallory.bundle(&headers);
        let pruned = whole.prune(&|at| at == 0).unwrap();
        assert_eq!(mallory.try_send(pruned.bytes()).await, Some(Refusal::Malformed));
        assert_eq!(mallory.try_send(b"no bundle at all").await, Some(Refusal::Malformed));
        assert_eq!(mallory.try_send(b"").await, Some(Refusal::Malformed));
        assert_eq!(mallory.try_send(whole.bytes()).await, None, "and the link goes on");
        assert_eq!(reader.next().await.unwrap().body(), "hello");
        world.end().await;
    });
}

#[test]
fn t_a17_the_same_bundle_again_is_replayed_and_a_bad_signature_hides_that() {
    sim(async {
        let (world, mut reader, mallory) = scene(8).await;
        let mut mallory = Mallory::dial(&world, mallory).await;
        let good = mallory.good("reader", "read:logs");
        assert_eq!(mallory.try_send(good.bytes()).await, None);
        assert_eq!(mallory.try_send(good.bytes()).await, Some(Refusal::Replayed));
        let mut broken = good.bytes().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        let of_duplicate = mallory.try_send(&broken).await;
        let mut fresh = mallory.good("reader", "read:logs").bytes().to_vec();
        *fresh.last_mut().unwrap() ^= 1;
        let of_fresh = mallory.try_send(&fresh).await;
        assert_eq!(of_duplicate, of_fresh, "no oracle");
        assert_eq!(of_fresh, Some(Refusal::Unauthentic));
        assert_eq!(reader.next().await.unwrap().body(), "hello");
        world.end().await;
    });
}

#[test]
fn t_a16_another_sender_another_key_another_session_are_refused_whole() {
    sim(async {
        let (world, _reader, identity) = scene(9).await;
        let victim = Mallory::dial(&world, world.enrol("victim", &["read:logs"], &[]).await).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let right = mallory.header("reader", "read:logs");
        let (name, key) = (victim.identity.name, *victim.identity.key.public().as_bytes());
        let session = victim.link.welcome.seen.session;
        let swarm = testudo_wire::SwarmId::of(&key_of("elsewhere").public());
        let forged = [
            (testudo_wire::Header { sender: name, ..right }, Refusal::WrongPeer),
            (testudo_wire::Header { sender: name, key, ..right }, Refusal::WrongPeer),
            (testudo_wire::Header { key, ..right }, Refusal::WrongPeer),
            (testudo_wire::Header { session, ..right }, Refusal::WrongSession),
            (testudo_wire::Header { swarm, ..right }, Refusal::WrongPeer),
        ];
        for (header, refusal) in forged {
            let bundle = mallory.bundle(&[header]);
            assert_eq!(mallory.try_send(bundle.bytes()).await, Some(refusal), "{header:?}");
        }
        // Captured whole on the victim's link, signature and all.
        let mut victim = victim;
        let captured = victim.good("reader", "read:logs");
        assert_eq!(mallory.try_send(captured.bytes()).await, Some(Refusal::WrongPeer));
        // Its own, from its own older link.
        let old = mallory.good("reader", "read:logs");
        let identity = mallory.identity.clone();
        let mut again = Mallory::dial(&world, identity).await;
        assert_eq!(again.try_send(old.bytes()).await, Some(Refusal::WrongSession));
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.failed), (7, 7), "{account:?}");
    });
}

#[test]
fn t_a16_a_bundle_signed_with_another_key_is_unauthentic() {
    sim(async {
        let (world, _reader, identity) = scene(10).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let header = mallory.header("reader", "read:logs");
        let envelope = Envelope::encode(header, b"hello");
        let forged = Bundle::sign(vec![envelope], &key_of("other"), &Limits::standard()).unwrap();
        assert_eq!(mallory.try_send(forged.bytes()).await, Some(Refusal::Unauthentic));
        world.end().await;
    });
}

#[test]
fn t_a40_a_stolen_token_and_a_right_that_is_not_there_are_unauthorised() {
    sim(async {
        let (world, _reader, identity) = scene(11).await;
        let victim = world.enrol("victim", &["read:mail"], &[]).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let stolen = victim.token.seal().unwrap();
        assert_eq!(mallory.present(&stolen).await, Some(Refusal::Unauthorised));
        let mut header = mallory.header("reader", "read:mail");
        let bundle = mallory.bundle(&[header]);
        assert_eq!(mallory.try_send(bundle.bytes()).await, Some(Refusal::Unauthorised), "its own token");
        header = mallory.header("reader", "read:mail");
        header.token = stolen.id();
        let bundle = mallory.bundle(&[header]);
        assert_eq!(mallory.try_send(bundle.bytes()).await, Some(Refusal::Unauthorised), "the stolen one");
        world.end().await;
    });
}

#[test]
fn an_answer_that_nobody_asked_for_is_unauthorised() {
    sim(async {
        let (world, _reader, identity) = scene(12).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let mut header = mallory.header("reader", "read:logs");
        header.in_reply_to = Some(header.message);
        (header.destination, header.capability) = (Destination::Reply(name("reader")), None);
        let bundle = mallory.bundle(&[header]);
        assert_eq!(mallory.try_send(bundle.bytes()).await, Some(Refusal::Unauthorised));
        world.end().await;
    });
}

#[test]
fn t_a51_presentations_are_limited_in_rate_and_number() {
    sim(async {
        let (world, _reader, identity) = scene(13).await;
        let sealed: Vec<_> = (0..33)
            .map(|_| {
                let grant = support::swarm::grant(&["read:logs"], &[]);
                let minted = world.node.registry().directory().sequence();
                world.swarm.token(identity.holder(), &grant, minted).seal().unwrap()
            })
            .collect();
        let mut mallory = Mallory::dial(&world, identity).await;
        pass(Duration::from_secs(2)).await;
        let mut over = 0;
        for token in &sealed[..11] {
            over += usize::from(mallory.present(token).await == Some(Refusal::OverQuota));
        }
        assert!((1..=2).contains(&over), "{over} of eleven within a second");
        pass(Duration::from_secs(2)).await;
        for token in &sealed {
            pass(Duration::from_millis(150)).await;
            assert_eq!(mallory.present(token).await, None);
        }
        // Of 33 and the identity's own 32 are kept: this one, and those shown last.
        for (token, kept) in [(&sealed[0], false), (&sealed[1], false), (&sealed[2], true)] {
            let header = testudo_wire::Header { token: token.id(), ..mallory.header("reader", "read:logs") };
            let bundle = mallory.bundle(&[header]);
            let refused = (!kept).then_some(Refusal::Unauthorised);
            assert_eq!(mallory.try_send(bundle.bytes()).await, refused);
        }
        let own = mallory.good("reader", "read:logs");
        assert_eq!(mallory.try_send(own.bytes()).await, None);
        world.end().await;
    });
}

#[test]
fn t_a65_no_record_no_delivery() {
    sim(async {
        let (world, reader, identity) = scene(14).await;
        let mut reader = reader;
        let mut mallory = Mallory::dial(&world, identity).await;
        world.node.audit().shutdown().await.unwrap();
        let bundle = mallory.good("reader", "read:logs");
        assert_eq!(mallory.try_send(bundle.bytes()).await, Some(Refusal::AuditUnavailable));
        let none = tokio::time::timeout(Duration::from_secs(5), reader.inbox.next()).await;
        assert!(none.is_err(), "nothing is delivered");
        let account = world.node.metrics().account();
        assert!(account.is_balanced() && account.delivered == 0 && account.failed == 1, "{account:?}");
        // No enrolment takes effect either.
        let holder = testudo_wire::Holder { name: name("late"), key: key_of("late").public() };
        let grant = support::swarm::grant(&["read:logs"], &[]);
        world.node.registry().enrol(holder, grant).await.unwrap_err();
    });
}

#[test]
fn t_a63_a_peer_that_never_acknowledges_is_bounded() {
    sim(async {
        let (world, _reader, identity) = scene(15).await;
        let mallory = Mallory::dial(&world, identity).await;
        let mut refused = 0;
        let mut senders = Vec::new();
        for n in 0..3 {
            senders.push(world.agent(&format!("sender{n}"), &["read:logs"], &[]).await);
        }
        let body = "x".repeat(60_000);
        for _ in 0..8 {
            for sender in &senders {
                match sender.client.tell(message("mallory", "read:logs", &body)).await {
                    Ok(_) => {}
                    Err(SendError::Refused { refusal: Refusal::Overloaded, .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let account = world.node.metrics().account();
        let held = (account.queued + account.in_flight) * 60_000;
        assert!(refused > 0 && held <= 1024 * 1024, "{refused} refused, {held} bytes held");
        assert_eq!(account.delivered, 0, "on a stream is not delivered");
        drop(mallory);
        world.end().await;
    });
}

#[test]
fn t_a63_a_peer_that_reads_nothing_loses_its_link() {
    sim(async {
        let (world, mut reader, identity) = scene(16).await;
        let mallory = Mallory::dial(&world, identity).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let body = "x".repeat(60_000);
        for _ in 0..8 {
            sender.client.post(message("mallory", "read:logs", &body)).await.unwrap();
        }
        mallory.vanish(&world);
        sender.client.tell(message("reader", "read:logs", "others go on")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "others go on");
        until("the link is gone", || !world.node.linked().contains(&name("mallory"))).await;
        world.end().await;
    });
}

#[test]
fn t_f30_a_guard_that_panics_refuses_counts_and_goes_on() {
    sim(async {
        // The guard is the first to look at the clock, and looks twice: to decide, and to record.
        for nth in [1, 2] {
            let (world, mut reader, identity) = scene(17).await;
            let mut mallory = Mallory::dial(&world, identity.clone()).await;
            let bundle = mallory.good("reader", "read:logs");
            world.swarm.env.panic_at(nth);
            mallory.send(bundle.bytes()).await;
            assert_eq!(mallory.closed().await, CloseReason::Protocol, "its windows may be half changed");
            assert!(world.swarm.env.has_panicked() && world.node.metrics().guard_faults() == 1);
            let mut mallory = Mallory::dial(&world, identity).await;
            let bundle = mallory.good("reader", "read:logs");
            assert_eq!(mallory.try_send(bundle.bytes()).await, None, "the guard lives");
            assert_eq!(reader.next().await.unwrap().body(), "hello");
            let (account, ledger) = world.end().await;
            assert_eq!((account.submitted, account.delivered), (1, 1), "{account:?}");
            assert_eq!(ledger.refused_bundles(), [Refusal::GuardFault]);
        }
    });
}

/// A thief who grants the node no stream is welcomed and then stuck; the owner's login must not end up
/// without a route for it.
#[test]
fn t_a13_a_thief_without_streams_takes_no_route_from_the_owner() {
    sim(async {
        let (world, _reader, identity) = scene(18).await;
        let (thief, _control, _answers) = Narrow::connect(&world, &identity, None).await;

        let mut owner = world.dial(identity).await.unwrap();
        assert_eq!(closed(&thief).await, CloseReason::Displaced);
        pass(Duration::from_secs(1)).await;
        assert_eq!(world.node.linked().len(), 2, "the owner and the reader");
        owner.client.tell(message("mallory", "read:logs", "to the owner")).await.unwrap();
        assert_eq!(owner.next().await.unwrap().body(), "to the owner");
        let (_, ledger) = world.end().await;
        let displaced = |what: &LinkChange| matches!(what, LinkChange::Displaced { .. });
        assert_eq!(ledger.links().filter(|link| displaced(&link.what)).count(), 1);
    });
}
