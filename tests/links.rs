//! Links: messages and answers, heartbeats, lost links, second logins, clocks. On one paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "links/faults.rs"]
mod faults;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::mallory::Mallory;
use support::swarm::name;
use support::world::{Agent, message};
use support::{World, pass, sim, until};
use testudo_bus::client::{DialError, SendError};
use testudo_bus::env::Env as _;
use testudo_rules::audit::{LinkChange, LinkEvent, RegistryChange};
use testudo_rules::token::{Attenuation, Fresh};
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::{RevocationCause, State};
use testudo_wire::{ContentType, Refusal};

const HEARTBEAT: Duration = Duration::from_secs(30);

fn refused(refusal: Refusal) -> SendError {
    SendError::Refused { refusal, rules: Vec::new() }
}

/// Takes whatever comes, and counts.
fn drain(mut agent: Agent) -> tokio::task::JoinHandle<BTreeSet<testudo_wire::MessageId>> {
    tokio::spawn(async move {
        let mut taken = BTreeSet::new();
        while let Some(delivery) = agent.inbox.next().await {
            assert!(taken.insert(delivery.message()), "the handler saw it twice");
        }
        taken
    })
}

async fn state(world: &World, who: &str) -> State {
    world.node.registry().get(name(who)).await.unwrap().unwrap().state
}

#[test]
fn a_request_is_answered_and_every_account_agrees() {
    sim(async {
        let world = World::new(1);
        let asker = world.agent("asker", &["read:logs"], &[]).await;
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let answering = tokio::spawn(async move {
            let request = reader.next().await.unwrap();
            assert_eq!(request.body(), "question");
            reader.client.reply(&request, ContentType::text(), "answer").await.unwrap();
            reader.next().await.unwrap()
        });
        let question = message("reader", "read:logs", "question");
        let answer = asker.client.request(question.clone()).await.unwrap();
        assert_eq!(answer.body(), "answer");
        let receipt = asker.client.tell(question).await.unwrap();
        assert_eq!(receipt.digest, answering.await.unwrap().digest());
        asker.client.flush().await;
        asker.client.goodbye().await;
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (3, 3), "{account:?}");
        assert!(ledger.fates().delivered.contains(&receipt.message));
    });
}

#[test]
fn three_accounts_agree_sender_node_and_log() {
    sim(async {
        let world = World::new(2);
        let sender = world.agent("sender", &["read:logs", "read:mail"], &[]).await;
        let reader = drain(world.agent("reader", &["write:nothing"], &["read:logs"]).await);
        let mut sent = BTreeSet::new();
        for n in 0..400 {
            let (to, what) = match n % 4 {
                0 | 1 => ("reader", "read:logs"),
                2 => ("reader", "read:mail"),
                _ => ("nobody", "read:logs"),
            };
            sent.insert(sender.client.post(message(to, what, "body")).await.unwrap());
            if n % 97 == 0 {
                pass(Duration::from_millis(3)).await;
            }
        }
        sender.client.flush().await;
        let heard = sender.client.refused();
        let (account, ledger) = world.end().await;
        let (fates, taken) = (ledger.fates(), reader.await.unwrap());
        assert_eq!(heard, [(Refusal::Unroutable, 200)].into());
        assert_eq!(fates.delivered, taken, "delivered is what the receiver took, message by message");
        let all: BTreeSet<_> = fates.delivered.iter().chain(fates.refused.keys()).copied().collect();
        assert_eq!(all, sent);
        assert_eq!((account.submitted, account.delivered, account.failed), (400, 200, 200));
    });
}

#[test]
fn t_m09_an_hour_of_heartbeats_under_loss_needs_one_dial() {
    sim(async {
        let world = World::new(3);
        let agent = world.agent("steady", &["read:logs"], &["read:logs"]).await;
        world.net.lose(50);
        for _ in 0..60 {
            pass(Duration::from_secs(60)).await;
            assert_eq!(state(&world, "steady").await, State::Active);
        }
        world.net.lose(0);
        agent.client.tell(message("steady", "read:logs", "still here")).await.unwrap();
        drop(drain(agent));
        let (_, ledger) = world.end().await;
        assert_eq!(ledger.opened(name("steady")), 1, "one dial");
        assert_eq!(ledger.changes(name("steady")), [RegistryChange::Enrolled]);
    });
}

#[test]
fn t_m12_what_a_partition_swallows_is_never_called_delivered() {
    sim(async {
        for seed in 0..6 {
            let world = World::new(seed);
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            let reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
            let (client, inbox) = (reader.client.clone(), reader.address);
            let reader = drain(reader);
            for n in 0..120_u64 {
                sender.client.post(message("reader", "read:logs", "body")).await.unwrap();
                if n == 20 * seed {
                    world.net.cut(inbox, world.address);
                }
                pass(Duration::from_micros(300)).await;
            }
            assert!(matches!(client.closed().await, DialError::Unreachable(_)), "the link times out");
            let taken = reader.await.unwrap();
            let (account, ledger) = world.end().await;
            let fates = ledger.fates();
            assert!(fates.delivered.is_subset(&taken), "delivered, but the receiver never had it");
            assert!(account.failed + account.dropped > 0, "{account:?}");
            assert_eq!(account.submitted, 120);
        }
    });
}

#[test]
fn t_a17_datagrams_sent_again_deliver_nothing_twice() {
    sim(async {
        let world = World::new(4);
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let reader = drain(world.agent("reader", &["write:nothing"], &["read:logs"]).await);
        world.net.capture();
        for _ in 0..50 {
            sender.client.tell(message("reader", "read:logs", "once")).await.unwrap();
        }
        assert!(world.net.replay() > 50);
        sender.client.tell(message("reader", "read:logs", "and the link lives")).await.unwrap();
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (51, 51), "{account:?}");
        assert_eq!(reader.await.unwrap().len(), 51);
    });
}

#[test]
fn t_a13_a_second_login_displaces_the_first_and_both_addresses_are_kept() {
    sim(async {
        let world = World::new(5);
        let identity = world.enrol("twin", &["read:logs"], &["read:logs"]).await;
        let older = world.dial(identity.clone()).await.unwrap();
        let mut newer = world.dial(identity).await.unwrap();
        assert!(matches!(older.client.closed().await, DialError::Closed(CloseReason::Displaced)));
        until("one live link", || world.node.metrics().links() == 1).await;
        assert_eq!(world.node.linked(), [name("twin")]);
        newer.client.tell(message("twin", "read:logs", "to the newer")).await.unwrap();
        assert_eq!(newer.next().await.unwrap().body(), "to the newer");
        let (ledger, by) = (world.ledger(), newer.address.to_string());
        let displaced = ledger.links().find(|link| matches!(link.what, LinkChange::Displaced { .. }));
        let displaced = displaced.expect("audited");
        assert_eq!(displaced.remote.as_str(), older.address.to_string());
        assert!(matches!(&displaced.what, LinkChange::Displaced { by: at } if at.as_str() == by));
        world.end().await;
    });
}

/// The node's bounds are wider than the window that it grants: an honest sender never meets them.
#[test]
fn t_a62_an_honest_sender_at_full_speed_is_never_overloaded() {
    sim(async {
        let world = World::new(61);
        let sender = world.agent("fast", &["read:logs"], &[]).await;
        let mut receiver = world.agent("slow", &[], &["read:logs"]).await;
        let client = sender.client.clone();
        let sending = tokio::spawn(async move {
            for _ in 0..6000 {
                client.post(message("slow", "read:logs", "all well")).await.unwrap();
            }
            client.flush().await;
            client.refused()
        });
        for _ in 0..6000 {
            receiver.next().await.unwrap();
        }
        assert_eq!(sending.await.unwrap(), std::collections::BTreeMap::new());
        world.end().await;
    });
}

#[test]
fn t_a13_more_than_three_displacements_a_minute_close_both() {
    sim(async {
        let world = World::new(6);
        let identity = world.enrol("twin", &["read:logs"], &[]).await;
        let mut last = world.dial(identity.clone()).await.unwrap();
        for _ in 0..3 {
            last = world.dial(identity.clone()).await.unwrap();
        }
        let refused = world.dial(identity.clone()).await.map(|_| ());
        let both = DialError::Closed(CloseReason::DisplacedTooOften);
        assert_eq!(refused.unwrap_err().to_string(), both.to_string(), "the newer hears why");
        assert_eq!(last.client.closed().await.to_string(), both.to_string(), "and so does the older");
        until("no link is left", || world.node.metrics().links() == 0).await;
        assert_eq!(world.node.linked(), []);
        assert!(world.dial(identity).await.is_ok(), "with no link to displace it may come back");
        let (_, ledger) = world.end().await;
        let alert = |link: &&LinkEvent| matches!(link.what, LinkChange::DisplacedTooOften { .. });
        assert_eq!(ledger.links().filter(alert).count(), 1, "an alert of its own on the log");
    });
}

#[test]
fn t_f18_a_node_that_stood_still_revokes_nobody() {
    sim(async {
        let world = World::new(7);
        let mut agents = Vec::new();
        for who in ["one", "two", "three"] {
            agents.push(world.agent(who, &["read:logs"], &["read:logs"]).await);
        }
        pass(HEARTBEAT).await;
        for _ in 0..3 {
            // The clock runs on while nothing is polled: a suspended machine.
            tokio::time::advance(Duration::from_secs(40)).await;
            pass(Duration::from_secs(5)).await;
        }
        for who in ["one", "two", "three"] {
            assert_eq!(state(&world, who).await, State::Active);
        }
        agents[0].client.tell(message("two", "read:logs", "all well")).await.unwrap();
        assert_eq!(agents[1].next().await.unwrap().body(), "all well");
        world.end().await;
    });
}

#[test]
fn t_f16_a_silent_agent_is_out_with_its_tokens_until_reinstated() {
    sim(async {
        let world = World::new(8);
        // One of its rights will be in other hands, and die with it. A token minted before its new holder
        // was enrolled counts for nothing, hence the order.
        let helper = world.enrol("helper", &["write:nothing"], &[]).await;
        let identity = world.enrol("silent", &["read:logs"], &[]).await;
        let silent = world.dial(identity.clone()).await.unwrap();
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let delegated = world.swarm.delegated(&identity, &helper, "read:logs").seal().unwrap();
        let helper = world.dial(helper).await.unwrap();
        let token = helper.client.present(&delegated).await.unwrap();
        let mut under = message("reader", "read:logs", "on behalf");
        under.token = Some(token);
        helper.client.tell(under.clone()).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "on behalf");

        world.net.cut(silent.address, world.address);
        pass(HEARTBEAT).await;
        assert_eq!(state(&world, "silent").await, State::Active, "one interval is forgiven");
        pass(HEARTBEAT + Duration::from_secs(3)).await;
        assert_eq!(state(&world, "silent").await, State::Revoked(RevocationCause::Silent));
        let dead = Err(SendError::Refused { refusal: Refusal::Revoked, rules: Vec::new() });
        assert_eq!(helper.client.tell(under).await, dead);
        assert!(matches!(world.dial(identity.clone()).await, Err(DialError::Revoked)));

        let back = world.node.registry().reinstate(name("silent")).await.unwrap();
        assert!(matches!(world.dial(identity.clone()).await, Err(DialError::Revoked)), "with its old token");
        let grant = support::swarm::grant(&["read:logs"], &[]);
        let renewed = world.swarm.identity(identity.key, identity.name, &grant, back);
        let silent = world.dial(renewed).await.unwrap();
        silent.client.tell(message("reader", "read:logs", "back")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "back");
        let (_, ledger) = world.end().await;
        let silenced = RegistryChange::Revoked(RevocationCause::Silent);
        assert_eq!(
            ledger.changes(name("silent")),
            [RegistryChange::Enrolled, silenced, RegistryChange::Reinstated]
        );
    });
}

#[test]
fn t_a19_t_a79_clocks_may_differ_by_five_minutes_inclusive() {
    sim(async {
        let world = World::new(9);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        // A receiver takes nothing from before its start; let it be old enough.
        pass(Duration::from_secs(400)).await;
        let edge = 300_000_i64;
        // A bundle travels one millisecond, and ages by it.
        for (skew, passes) in [(-edge + 2, true), (-edge - 1, false), (edge, true), (edge + 5, false)] {
            let env = world.swarm.env.another();
            let who = format!("skewed{}{passes}", skew.unsigned_abs());
            let identity = world.enrol(&who, &["read:logs"], &[]).await;
            let sender = world.dial_with(identity, None, env.clone()).await.unwrap();
            env.skew(skew);
            let told = sender.client.tell(message("reader", "read:logs", "when?")).await;
            if passes {
                told.unwrap();
                assert_eq!(reader.next().await.unwrap().body(), "when?", "skew {skew}");
            } else {
                let stale = SendError::Refused { refusal: Refusal::Stale, rules: Vec::new() };
                assert_eq!(told, Err(stale), "skew {skew}");
            }
        }
        world.end().await;
    });
}

/// Whose clock is right loses nothing when the node's is set back, by as much as may be and for as long as it lasts; nor
/// does anybody when it is set forward by mistake. No replay gets in, ever.
#[test]
fn t_a77_t_a78_a_wall_clock_that_is_set_lets_no_replay_in_and_costs_nobody_a_message() {
    sim(async {
        let world = World::new(12);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        // A receiver takes nothing from before its start; let it be old enough.
        pass(Duration::from_secs(400)).await;
        let right = world.agent("right", &["read:logs"], &[]).await;
        let mallory = world.enrol("mallory", &["read:logs"], &[]).await;
        let mut mallory = Mallory::dial(&world, mallory).await;
        let captured: Vec<_> = (0..20).map(|_| mallory.good("reader", "read:logs")).collect();
        for bundle in &captured {
            assert_eq!(mallory.try_send(bundle.bytes()).await, None);
            assert_eq!(reader.next().await.unwrap().body(), "hello");
        }
        // The node's wall clock, in seconds beside the right one. At first the bundles are of now, ten minutes later too
        // old by the node's own time, and as new as ever by a wall clock that was set back by those.
        let steps = [-10, 0, -240, -320, -600, 0, 86_400, 0, -86_400, 86_400, -600, 0];
        for (waits, of_now) in [(0, true), (600, false)] {
            for _ in 0..waits / 25 {
                pass(Duration::from_secs(25)).await;
                mallory.beat().await;
            }
            for beside in steps {
                world.swarm.env.skew(1000 * beside);
                for bundle in &captured {
                    let is_of_now = of_now || beside == -320 || beside == -600;
                    let expected = if is_of_now { Refusal::Replayed } else { Refusal::Stale };
                    assert_eq!(mallory.try_send(bundle.bytes()).await, Some(expected), "{beside} s");
                }
                let body = beside.to_string();
                right.client.tell(message("reader", "read:logs", &body)).await.unwrap();
                assert_eq!(reader.next().await.unwrap().body(), body, "and no replay before it");
            }
        }
        assert_eq!(world.node.linked().len(), 3, "nobody was revoked, no link was ended");
        world.end().await;
    });
}

/// What has expired does not come back with the clock, and what has not yet is not ended by a slip of it.
#[test]
fn t_a51_t_a77_t_a78_a_token_lives_as_long_as_it_was_to_live_whatever_the_wall_clock_shows() {
    sim(async {
        let world = World::new(13);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let (mut senders, start) = (Vec::new(), world.swarm.env.now());
        for lives in [100, 1000] {
            let mut identity = world.enrol(&format!("for{lives}"), &["read:logs"], &[]).await;
            let until = Some(start.after(Duration::from_secs(lives)));
            let brief = Attenuation { only: None, to: None, until };
            let fresh = Fresh::from_random([u8::try_from(lives / 10).unwrap(); 32]);
            identity.token = identity.token.attenuate(&brief, fresh).unwrap();
            senders.push(world.dial_with(identity, None, world.swarm.env.another()).await.unwrap());
        }
        let [short, long] = &senders[..] else { panic!("two") };
        let told = async |sender: &Agent| sender.client.tell(message("reader", "read:logs", "now")).await;
        told(short).await.unwrap();
        reader.next().await.unwrap();
        pass(Duration::from_secs(110)).await;
        let over = Err(refused(Refusal::ExpiredToken));
        for beside in [0, -60, -600, 86_400, 0, 3_600] {
            world.swarm.env.skew(1000 * beside);
            assert_eq!(told(short).await, over, "{beside} s");
            told(long).await.unwrap();
            assert_eq!(reader.next().await.unwrap().body(), "now", "{beside} s");
        }
        // What stays is believed at last, and then it is the others whose clocks are beside it.
        pass(Duration::from_secs(250)).await;
        told(long).await.unwrap();
        pass(Duration::from_secs(60)).await;
        assert_eq!(told(long).await, Err(refused(Refusal::Stale)));
        world.end().await;
    });
}

/// Not by a restart either: the node's time goes on from its log.
#[test]
fn t_a51_a_restart_under_a_clock_that_was_turned_back_revives_no_token() {
    sim(async {
        let world = World::new(14);
        let mut identity = world.enrol("brief", &["read:logs"], &[]).await;
        let until = Some(world.swarm.env.now().after(Duration::from_secs(100)));
        let brief = Attenuation { only: None, to: None, until };
        identity.token = identity.token.attenuate(&brief, Fresh::from_random([9; 32])).unwrap();
        // Its holder's clock is turned back, too.
        let present = async |world: &World, skew: i64| {
            let env = world.swarm.env.another();
            env.skew(skew);
            let linked = world.dial_with(identity.clone(), None, env).await;
            linked.map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(present(&world, 0).await, Ok(()), "it counts");
        pass(Duration::from_secs(110)).await;
        let expired = present(&world, -200_000).await;
        assert!(expired.as_ref().is_err_and(|error| error.contains("expired token")), "{expired:?}");
        let World { swarm, net, dir, address, node } = world;
        node.shut_down().await;
        drop(node);
        pass(Duration::from_secs(1)).await;
        swarm.env.skew(-200_000);
        let (node, _) = swarm.node(dir.path(), net.bind_at(address)).unwrap();
        let world = World { swarm, net, dir, address, node };
        assert_eq!(present(&world, -200_000).await, expired);
        world.end().await;
    });
}

/// A slip of the clock that lasted, and was mended: the node's own time stays ahead of everybody's.
#[test]
fn t_a78_a_node_whose_log_is_ahead_of_the_time_is_reached_by_who_has_the_right_one() {
    sim(async {
        let world = World::new(15);
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        world.swarm.env.skew(3_600_000);
        let told = async |sender: &Agent| sender.client.tell(message("reader", "read:logs", "now")).await;
        let (unroutable, stale) = (Err(refused(Refusal::Unroutable)), Err(refused(Refusal::Stale)));
        assert_eq!(told(&sender).await, unroutable);
        pass(Duration::from_secs(301)).await;
        assert_eq!(told(&sender).await, stale, "believed, and on record");
        let World { swarm, net, dir, address, node } = world;
        node.shut_down().await;
        drop(node);
        pass(Duration::from_secs(1)).await;
        swarm.env.skew(0);
        let (node, _) = swarm.node(dir.path(), net.bind_at(address)).unwrap();
        assert!(node.audit().began() > swarm.env.now().after(Duration::from_secs(3_000)));
        let world = World { swarm, net, dir, address, node };
        let sender = world.agent("another", &["read:logs"], &[]).await;
        assert_eq!(told(&sender).await, unroutable);
        world.node.shut_down().await;
    });
}

#[test]
fn t_a12_a_link_ends_with_its_certificate() {
    sim(async {
        let world = World::new(10);
        let agent = world.agent("daily", &["read:logs"], &[]).await;
        pass(Duration::from_secs(24 * 3600 - 10)).await;
        assert_eq!(world.node.linked(), [name("daily")]);
        let closed = tokio::time::timeout(Duration::from_secs(12), agent.client.closed()).await.unwrap();
        assert!(matches!(closed, DialError::Closed(CloseReason::CertificateExpired)), "{closed}");
        world.end().await;
    });
}

#[test]
fn t_a63_a_reader_that_takes_nothing_is_bounded_and_its_senders_hear_so() {
    sim(async {
        let world = World::new(11);
        let reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let mut senders = Vec::new();
        for who in ["one", "two", "three"] {
            senders.push(world.agent(who, &["read:logs"], &[]).await);
        }
        world.net.cut(reader.address, world.address);
        let body = "x".repeat(60_000);
        // One sender alone stops at its own window; together they meet the receiver's bound.
        for _ in 0..8 {
            for sender in &senders {
                sender.client.post(message("reader", "read:logs", &body)).await.unwrap();
            }
        }
        pass(Duration::from_secs(1)).await;
        let overloaded: u64 = senders
            .iter()
            .flat_map(|s| s.client.refused())
            .map(|(refusal, n)| {
                assert_eq!(refusal, Refusal::Overloaded);
                n
            })
            .sum();
        let account = world.node.metrics().account();
        let held = (account.queued + account.in_flight) * 60_000;
        assert!(overloaded > 0 && held <= 1024 * 1024, "{overloaded} refused, {held} bytes held");
        world.end().await;
    });
}

#[test]
fn goodbye_is_no_silence() {
    sim(async {
        let world = World::new(12);
        let agent = world.agent("leaver", &["read:logs"], &[]).await;
        agent.client.goodbye().await;
        pass(HEARTBEAT * 5).await;
        assert_eq!(state(&world, "leaver").await, State::Offline);
        world.end().await;
    });
}

/// An agent that is busy while hundreds of messages wait for it must still hear the answers to its own requests.
#[test]
fn a_full_inbox_does_not_stop_an_answer() {
    sim(async {
        let world = World::new(17);
        let crowd = world.agent("crowd", &["read:logs"], &[]).await;
        let busy = world.agent("busy", &["ask:oracle"], &["read:logs"]).await;
        let mut oracle = world.agent("oracle", &[], &["ask:oracle"]).await;
        for n in 0..2_000 {
            crowd.client.post(message("busy", "read:logs", &format!("message {n}"))).await.unwrap();
        }
        pass(Duration::from_secs(1)).await;
        let answering = tokio::spawn(async move {
            let request = oracle.next().await.unwrap();
            oracle.client.reply(&request, ContentType::text(), "forty-two").await.unwrap();
            oracle
        });
        let answer = busy.client.request(message("oracle", "ask:oracle", "why?")).await.unwrap();
        assert_eq!(answer.body(), "forty-two");
        let oracle = answering.await.unwrap();
        drop((crowd, busy, oracle));
        world.end().await;
    });
}

/// A handler that takes nothing for a long time costs its senders refusals by name, not itself its link.
#[test]
fn what_waits_too_long_for_a_busy_agent_is_refused_and_the_agent_stays() {
    sim(async {
        let world = World::new(18);
        let crowd = world.agent("crowd", &["read:logs"], &[]).await;
        let mut busy = world.agent("busy", &["read:logs"], &["read:logs"]).await;
        for n in 0..2_000 {
            crowd.client.post(message("busy", "read:logs", &format!("message {n}"))).await.unwrap();
        }
        pass(Duration::from_secs(120)).await;
        assert!(world.node.linked().contains(&name("busy")), "the busy agent lost its link");
        let mut taken = 0_u64;
        while busy.client.is_open() && taken < 2_000 {
            let Ok(Some(_)) = tokio::time::timeout(Duration::from_secs(1), busy.inbox.next()).await else {
                break;
            };
            taken += 1;
        }
        let refused = crowd.client.refused().get(&Refusal::Overloaded).copied().unwrap_or_default();
        assert!(taken >= 256 && refused > 0, "{taken} taken, {refused} refused");
        assert_eq!(taken + refused, 2_000, "each was taken or refused");
        drop((crowd, busy));
        world.end().await;
    });
}
