//! CAs and authority keys are rolled over while the swarm works (threat F27): nothing fails by it, and what is retired
//! is out at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testudo_bus::client::{Arrivals, Client, ClientIdentity, DialError, LearnError, Member, SendError};
use testudo_bus::env::Env as _;
use testudo_bus::roots::{Change, Holding, KeepError, RollError};
use testudo_rules::audit::{Event, NodeEvent};
use testudo_rules::trust::TrustError;
use testudo_wire::frame::CloseReason;
use testudo_wire::trust::SignedStatement;
use testudo_wire::{ContentType, Refusal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::site::{Site, Staying, image};
use crate::support::swarm::{Disk, Swarm, name};
use crate::support::tally::Tally;
use crate::support::world::message;
use crate::support::{World, pass, sim};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NAMES: [&str; 3] = ["a0", "a1", "a2"];

async fn roll(site: &Site, change: Change, force: bool) -> Result<SignedStatement, RollError> {
    site.node().office().roll(change, force, &site.swarm.kept, &*site.swarm.env).await
}

/// The same in a world.
async fn rolled(world: &World, change: Change, force: bool) -> Result<SignedStatement, RollError> {
    world.node.office().roll(change, force, &world.swarm.kept, &*world.swarm.env).await
}

/// Answers everything.
fn serve(member: Member, mut arrivals: Arrivals) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(delivery) = arrivals.next().await {
            if delivery.wants_reply() {
                // Some answers are under way whenever something changes.
                let member = member.clone();
                tokio::spawn(async move {
                    pass(Duration::from_millis(300)).await;
                    member.reply(&delivery, ContentType::text(), delivery.body()).await.unwrap();
                });
            }
        }
    })
}

/// Tells, delivers and asks without a pause; every single word must come to its good end.
fn speak(member: Member, next: &'static str, stop: Arc<AtomicBool>, said: Arc<AtomicU64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let [teller, deliverer, asker] = [(); 3].map(|()| member.clone());
            let (told, delivered, answer) = tokio::join!(
                teller.tell(message(next, "read:logs", "told")),
                deliverer.deliver(message(next, "read:logs", "delivered")),
                asker.request(message(next, "read:logs", "asked")),
            );
            told.unwrap_or_else(|why| panic!("tell: {why}"));
            delivered.unwrap_or_else(|why| panic!("deliver: {why}"));
            assert_eq!(answer.unwrap_or_else(|why| panic!("request: {why}")).body(), "asked");
            said.fetch_add(3, Ordering::Relaxed);
            pass(Duration::from_millis(50)).await;
        }
    })
}

#[test]
fn f27_three_rollovers_of_ca_and_authority_under_traffic_fail_no_send() {
    sim(async {
        let mut site = Site::new(21);
        let (stop, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut agents = Vec::new();
        for who in NAMES {
            let identity = site.enrol(who, &["read:logs"], &["read:logs"]).await;
            let Staying { member, arrivals, .. } = site.join(identity);
            member.connected().await.unwrap();
            agents.push((member.clone(), serve(member, arrivals)));
        }
        let speaking: Vec<_> = (0..3)
            .map(|n| speak(agents[n].0.clone(), NAMES[(n + 1) % 3], stop.clone(), said.clone()))
            .collect();
        for round in 1..=3_u64 {
            pass(5 * SECOND).await;
            roll(&site, Change::AddCa, false).await.unwrap();
            let before = said.load(Ordering::Relaxed);
            pass(SECOND).await;
            assert!(said.load(Ordering::Relaxed) > before, "the swarm talks on");
            let early = roll(&site, Change::RetireCas, false).await.unwrap_err();
            assert!(matches!(&early, RollError::Depend(who) if who.len() == 3), "{early}");
            roll(&site, Change::AddAuthority, false).await.unwrap();
            // Each renews in the minute after each of the two, and again where the node had just certified it.
            pass(5 * MINUTE).await;
            roll(&site, Change::RetireCas, false).await.unwrap_or_else(|why| panic!("round {round}: {why}"));
            roll(&site, Change::RetireAuthorities, false).await.unwrap();
            pass(3 * MINUTE).await;
            let now = site.node().office().roots.load().clone();
            assert_eq!(
                (now.trust.number(), now.trust.cas().len(), now.trust.authorities().len()),
                (4 * round, 1, 1)
            );
            for (member, _) in &agents {
                assert_eq!(member.identity().learnt.number(), 4 * round);
                assert!(member.identity().leaf(site.swarm.env.now()).is_ok());
            }
        }
        stop.store(true, Ordering::Relaxed);
        for one in speaking {
            one.await.unwrap();
        }
        pass(10 * SECOND).await;
        for (member, serving) in agents {
            assert_eq!((member.lost(), member.refused().len(), member.copies_refused().len()), (0, 0, 0));
            member.goodbye().await;
            drop(member);
            serving.await.unwrap();
        }
        let metrics = site.node().metrics().clone();
        let account = site.stop().await;
        let said = said.load(Ordering::Relaxed);
        println!("three rollovers: {said} words with an end, {account:?}");
        assert!(said > 3_000, "{said}");
        assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
        let mut tally = Tally::default();
        tally.read(&site.dir.path().join("audit"));
        tally.agrees_with(&account, &metrics);
    });
}

/// An agent that renews nothing by itself.
async fn idle(world: &World, who: &str) -> (Client, ClientIdentity) {
    let identity = world.enrol(who, &["read:logs"], &["read:logs"]).await;
    let agent = world.dial(identity.clone()).await.unwrap();
    let client = agent.client.clone();
    tokio::spawn(async move {
        let mut agent = agent;
        while agent.inbox.next().await.is_some() {}
    });
    (client, identity)
}

#[test]
fn f27_certificates_of_a_retired_ca_are_out_within_a_second() {
    sim(async {
        let world = World::new(22);
        let (client, identity) = idle(&world, "late").await;
        rolled(&world, Change::AddCa, false).await.unwrap();
        let why = rolled(&world, Change::RetireCas, false).await.unwrap_err();
        assert!(matches!(&why, RollError::Depend(who) if who == &[name("late")]), "{why}");
        assert!(why.to_string().starts_with("1 of the agents still depend"), "{why}");
        assert!(client.is_open());
        let began = Instant::now();
        rolled(&world, Change::RetireCas, true).await.unwrap();
        let why = timeout(SECOND, client.closed()).await.expect("out within a second");
        assert!(matches!(why, DialError::Closed(CloseReason::CaRetired)), "{why}");
        assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
        // It has heard of the new CA, so it knows the node; the node does not know its certificate.
        let again = world.dial(identity).await.err().unwrap();
        assert!(matches!(again, DialError::Certificate(48)), "{again}");
        assert!(again.to_string().contains("testudo agent renew"), "{again}");
        let only = rolled(&world, Change::RetireCas, false).await.unwrap_err();
        assert!(matches!(only, RollError::Only("ca")), "{only}");
        let (_, ledger) = world.end().await;
        let numbers = ledger.events().filter_map(|event| {
            if let Event::Node(NodeEvent::Trust { number, .. }) = event { Some(*number) } else { None }
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2], "each statement is on record");
    });
}

#[test]
fn f27_who_was_away_catches_up_and_who_stayed_away_too_long_is_told_what_to_do() {
    sim(async {
        let world = World::new(23);
        let away = world.enrol("away", &["read:logs"], &[]).await;
        let gone = world.enrol("gone", &["read:logs"], &[]).await;
        for change in [Change::AddCa, Change::AddAuthority, Change::AddCa] {
            rolled(&world, change, false).await.unwrap();
        }
        let agent = world.dial(away.clone()).await.unwrap();
        assert_eq!(away.learnt.number(), 3, "heard at the welcome, before anything else");
        let (other, _) = idle(&world, "other").await;
        let renewed = Arc::new(agent.client.certify().await.unwrap());
        assert_eq!(
            renewed.token.verify(&renewed.tokens()).unwrap().authority(),
            world.node.office().roots.load().trust.minting(),
            "minted under the newest"
        );
        let (_, endpoint) = world.endpoint();
        agent.client.renew(&endpoint, renewed).await.unwrap();
        agent.client.tell(message("other", "read:logs", "back")).await.unwrap();
        rolled(&world, Change::RetireCas, true).await.unwrap();
        let why = world.dial(gone).await.err().unwrap();
        assert!(matches!(why, DialError::NotOurNode(_)), "{why}");
        assert!(why.to_string().contains("testudo agent renew"), "{why}");
        other.closed().await;
        agent.client.goodbye().await;
        world.end().await;
    });
}

#[test]
fn f27_a_token_of_a_retired_authority_is_refused_at_the_node() {
    sim(async {
        let world = World::new(24);
        let (sender, identity) = idle(&world, "sender").await;
        let (_receiver, _) = idle(&world, "receiver").await;
        let away = world.enrol("away", &["read:logs"], &[]).await;
        sender.tell(message("receiver", "read:logs", "before")).await.unwrap();
        rolled(&world, Change::AddAuthority, false).await.unwrap();
        sender.tell(message("receiver", "read:logs", "in between")).await.unwrap();
        let why = rolled(&world, Change::RetireAuthorities, false).await.unwrap_err();
        assert!(matches!(&why, RollError::Depend(who) if who.len() == 3), "{why}");
        rolled(&world, Change::RetireAuthorities, true).await.unwrap();
        let refused = SendError::Refused { refusal: Refusal::Unauthorised, rules: Vec::new() };
        let told = sender.tell(message("receiver", "read:logs", "after")).await;
        assert_eq!(told.unwrap_err(), refused, "at once");
        let again = sender.present(&identity.token.seal().unwrap()).await;
        assert_eq!(again.unwrap_err(), refused, "nor can it be shown again");
        // Who was away, and has no newer one, is told what to do.
        let why = world.dial(away).await.err().unwrap();
        assert!(matches!(why, DialError::Token(Refusal::Unauthorised)), "{why}");
        assert!(why.to_string().contains("get a new one with `testudo agent renew`"), "{why}");
        // What it is given now counts.
        let renewed = Arc::new(sender.certify().await.unwrap());
        let (_, endpoint) = world.endpoint();
        sender.renew(&endpoint, renewed).await.unwrap();
        sender.tell(message("receiver", "read:logs", "anew")).await.unwrap();
        world.end().await;
    });
}

#[test]
fn f27_a_crash_before_or_after_each_write_leaves_a_swarm_that_goes_on() {
    sim(async {
        let mut site = Site::new(26);
        let identity = site.enrol("a0", &["read:logs"], &["read:logs"]).await;
        let Staying { member, arrivals, .. } = site.join(identity);
        member.connected().await.unwrap();
        let _serving = serve(member.clone(), arrivals);
        let changes = [Change::AddCa, Change::AddAuthority, Change::RetireCas, Change::RetireAuthorities];
        for (number, change) in (1..).zip(changes) {
            // Before: it was not kept, so it never was.
            site.swarm.kept.on(Disk::Fails);
            pass(5 * MINUTE).await;
            let why = roll(&site, change, false).await.unwrap_err();
            assert!(matches!(why, RollError::Keep(_)), "{change:?}: {why}");
            assert_eq!(site.node().office().roots.number(), number - 1);
            member.request(message("a0", "read:logs", "asked")).await.unwrap();
            // After: it was kept, and nobody has heard of it.
            site.swarm.kept.on(Disk::Last);
            let why = roll(&site, change, false).await.unwrap_err();
            assert!(matches!(why, RollError::Keep(KeepError::Unknown(_))), "{change:?}: {why}");
            // It is there, or it is not: another of its number would be a fork.
            site.swarm.kept.on(Disk::Works);
            let why = roll(&site, change, false).await.unwrap_err();
            assert!(matches!(why, RollError::Unsettled), "{change:?}: {why}");
            assert!(site.node().office().roots.is_unsettled());
            assert_eq!(member.identity().learnt.number(), number - 1);
            site.kill();
            site.start();
            assert_eq!(site.node().office().roots.number(), number);
            pass(MINUTE).await;
            member.connected().await.unwrap();
            member.request(message("a0", "read:logs", "asked")).await.unwrap();
            assert_eq!(member.identity().learnt.number(), number, "{change:?}");
        }
        member.goodbye().await;
        site.stop().await;
    });
}

#[test]
fn t_a75_a_node_starts_on_no_older_copy_of_its_keys() {
    sim(async {
        let mut site = Site::new(28);
        roll(&site, Change::AddCa, false).await.unwrap();
        roll(&site, Change::RetireCas, false).await.unwrap();
        let newest = site.swarm.kept.holding(&site.swarm);
        site.stop().await;
        for number in [0, 1] {
            let first = site.swarm.genesis();
            let chain = newest.chain[..number].to_vec();
            let cas = first.cas.iter().chain(newest.cas.iter().take(number)).cloned().collect();
            site.swarm.kept.put(Some(Holding { chain, cas, ..first }));
            // A start that is refused leaves the folder to the next one.
            let dir = image(site.dir.path());
            let (_, socket) = site.net.bind();
            let why = site.swarm.node(dir.path(), socket).err().unwrap();
            let says =
                format!("the keys go by trust statement {number}, the registry by 2: they are an old copy");
            assert!(why.to_string().starts_with(&says), "{why}");
        }
        site.swarm.kept.put(Some(newest));
        site.start();
        assert_eq!(site.node().office().roots.number(), 2);
        site.stop().await;
    });
}

/// Nothing on the disk shows that all of it is from before: its agents do.
#[test]
fn t_a75_a_node_on_an_old_copy_of_everything_is_not_believed() {
    sim(async {
        let mut site = Site::new(28);
        let identity = site.enrol("a0", &["read:logs"], &[]).await;
        let Staying { member, .. } = site.join(identity);
        member.connected().await.unwrap();
        let before = image(site.dir.path());
        roll(&site, Change::AddCa, false).await.unwrap();
        pass(SECOND).await;
        site.stop().await;
        site.swarm.kept.put(None);
        let _newer = std::mem::replace(&mut site.dir, before);
        site.start();
        let why = member.ended().await;
        assert!(why.to_string().contains("trust statement 0, this agent by 1"), "{why}");
        site.stop().await;
    });
}

/// What it was told just before its link was cut it may never have heard: then its certificate looks good to it.
#[test]
fn f27_a_member_whose_ca_was_retired_does_not_dial_for_ever() {
    sim(async {
        for seed in 0..4 {
            let site = Site::new(seed);
            let identity = site.enrol("late", &["read:logs"], &[]).await;
            let Staying { member, .. } = site.join(identity);
            member.connected().await.unwrap();
            roll(&site, Change::AddCa, false).await.unwrap();
            roll(&site, Change::RetireCas, true).await.unwrap();
            let why = timeout(10 * MINUTE, member.ended()).await.expect("it dials no more");
            assert!(why.to_string().contains("get a new identity with `testudo agent renew`"), "{why}");
            site.node().shut_down().await;
        }
    });
}

/// Whoever has node key and CA, but no authority key, signs what he likes with his own.
#[test]
fn f27_only_an_authority_of_the_statement_before_makes_a_node_or_an_agent_change() {
    sim(async {
        let world = World::new(29);
        let (_, identity) = idle(&world, "agent").await;
        let first = rolled(&world, Change::AddCa, false).await.unwrap();
        pass(SECOND).await;
        assert_eq!(identity.learnt.number(), 1);
        let thief = Swarm::of(world.swarm.env.another(), [0x66; 32]);
        let forged = |number: u64, authority: &testudo_wire::SecretKey| {
            let mut statement = first.statement.clone();
            statement.number = number;
            statement.authorities = vec![thief.authority.public()];
            statement.sign(authority).unwrap()
        };
        let learn = |signed: &SignedStatement| identity.learn(signed).unwrap_err();
        assert_eq!(learn(&forged(2, &thief.authority)), LearnError::Trust(TrustError::NotByAuthority));
        assert_eq!(learn(&forged(2, &world.swarm.node_key)), LearnError::Trust(TrustError::NotByAuthority));
        assert_eq!(learn(&forged(1, &world.swarm.authority)), LearnError::Trust(TrustError::Fork(1)));
        assert_eq!(
            learn(&forged(3, &world.swarm.authority)),
            LearnError::Trust(TrustError::Gap { have: 1, got: 3 })
        );
        assert_eq!(identity.learnt.number(), 1, "nothing has changed");
        // A folder with such a statement starts no node.
        let mut holding = world.swarm.kept.holding(&world.swarm);
        holding.chain.push(forged(2, &thief.authority));
        assert!(testudo_bus::roots::Roots::new(holding, None).is_err());
        world.end().await;
    });
}
